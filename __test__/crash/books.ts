/** The records of the crash test's runner, beside those of the database, and their counts. */
import type { Pool } from 'pg';
import type { Chaos, Fault } from './chaos.js';
import type { Crew } from './crew.js';
import type { Stall } from './stalls.js';

/** Ids of the jobs by their keys: null for those that may have been added or not. */
export type Told = Map<string, number | null>;

export interface JobCounts {
  added: number;
  /** `addJob` has rejected them, and some of them are there all the same. */
  unsure: number;
  unsureAndAdded: number;
  runs: number;
  byStatus: Record<string, number>;
  /** How many of them faults have met directly. */
  touched: Record<string, number>;
}

interface Books extends Pick<Chaos, 'touched' | 'asked'>, Pick<Crew, 'begun' | 'stalls'> {
  told: Told;
  faults: Fault[];
  /** When the test itself stood still, and with it all workers' proxies to the database. */
  ownStalls: Stall[];
}

export async function keepBooks(pool: Pool, books: Books): Promise<void> {
  const { told, begun, touched, asked, stalls, ownStalls } = books;
  const faults = [
    ...books.faults,
    ...stalls.map((stall) => ({ ...asFault(stall), hits: 'worker', worker: stall.worker })),
    ...ownStalls.map((stall) => ({ ...asFault(stall), hits: 'server', worker: null })),
  ];
  await pool.query('insert into told select * from unnest($1::text[], $2::bigint[])', [
    [...told.keys()],
    [...told.values()],
  ]);
  await pool.query(
    `insert into fault select * from unnest(
      $1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[]
    )`,
    [
      faults.map(({ kind }) => kind),
      faults.map(({ hits }) => hits),
      faults.map(({ worker }) => worker),
      faults.map(({ at }) => at),
      faults.map(({ until }) => until),
    ],
  );
  await pool.query('insert into touched select * from unnest($1::bigint[], $2::text[])', [
    touched.map(({ id }) => id),
    touched.map(({ what }) => what),
  ]);
  await pool.query('insert into asked select * from unnest($1::text[], $2::bigint[])', [
    asked.map(({ what }) => what),
    asked.map(({ id }) => id),
  ]);
  await pool.query(
    `insert into begun
    select job_id, worker, attempt, to_timestamp(at / 1000)
    from unnest($1::bigint[], $2::text[], $3::int[], $4::float8[]) run (job_id, worker, attempt, at)`,
    [
      begun.map(({ jobId }) => jobId),
      begun.map(({ worker }) => worker),
      begun.map(({ attempt }) => attempt),
      begun.map(({ at }) => at),
    ],
  );
}

/** It is none of the test's, and does the same. */
const asFault = ({ at, until }: Stall) => ({
  kind: 'stall',
  at: new Date(at),
  until: new Date(until),
});

export async function countJobs(pool: Pool, told: Told): Promise<JobCounts> {
  const statuses = await pool.query<{ status: string; count: number }>(
    'select status, count(*)::int from every_job group by status order by status',
  );
  const touched = await pool.query<{ what: string; count: number }>(
    'select what, count(distinct job_id)::int from touched group by what order by what',
  );
  const { rows } = await pool.query<{ there: number; runs: number }>(
    `select (
      select count(*)::int from told
      join every_job job on job.key = told.key where told.id is null
    ) as there,
    (select count(*)::int from begun) as runs`,
  );
  const ids = [...told.values()];
  return {
    added: ids.filter((id) => id !== null).length,
    unsure: ids.filter((id) => id === null).length,
    unsureAndAdded: rows[0]?.there ?? 0,
    runs: rows[0]?.runs ?? 0,
    byStatus: Object.fromEntries(statuses.rows.map(({ status, count }) => [status, count])),
    touched: Object.fromEntries(touched.rows.map(({ what, count }) => [what, count])),
  };
}
