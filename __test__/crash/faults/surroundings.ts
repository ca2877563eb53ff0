/** The targets of the crash test's faults, and the means. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';
import type { EmbeddedPostgres } from '../../../tools/embedded-postgres.js';
import type { Crew } from '../crew.js';
import type { Random } from '../random.js';

export interface Surroundings {
  server: EmbeddedPostgres;
  crew: Crew;
  /** Of other programs that use the database; past the proxies. */
  pool: Pool;
  random: Random;
  /** Aborted when no more is to go wrong. */
  ended: AbortSignal;
  /** Records that a fault meets these jobs directly. */
  touch(what: string, ids: string[]): void;
}

/** A fault, and its frequency relative to the others. */
export interface FaultOf<Struck extends unknown[]> {
  weight: number;
  /** Resolves when it is over. */
  strike(...struck: Struck): Promise<void>;
}

/**
 * How long a fault holds a lock that the workers need: from a fifth of a lease to three, at times for longer than
 * a worker waits for an answer.
 */
export function holdingTime({ crew, random }: Surroundings): number {
  if (random.chance(0.15)) return random.between(5_500, 9_000);
  const lease = random.pick(crew.places).leaseDuration;
  return random.between(0.2 * lease, 3 * lease);
}

/** Resolves after this number of milliseconds, or when no more is to go wrong. */
export const holdFor = (milliseconds: number, { ended }: Surroundings): Promise<void> =>
  delay(milliseconds, undefined, { signal: ended }).catch(() => {});

/**
 * Runs statements in a transaction that is rolled back. It does not wait long for a lock itself:
 * no other session gets past a lock that a session waits for.
 */
export async function inTransaction(
  pool: Pool,
  work: (client: PoolClient) => Promise<void>,
): Promise<void> {
  const client = await pool.connect();
  let broken = true;
  try {
    await client.query(`begin; set local lock_timeout = '2s'`);
    await work(client);
    await client.query('rollback');
    broken = false;
  } finally {
    client.release(broken);
  }
}

/** Ids of jobs, some of each: that run, that wait, and that were added lately, most of which have ended. */
export async function someJobs(pool: Pool, ofEach: number): Promise<string[]> {
  const { rows } = await pool.query<{ id: string }>(
    `(select id from job_queue where status = 'processing' order by random() limit $1)
    union
    (select id from job_queue where status = 'pending' order by random() limit $1)
    union
    (
      select id from (select id from job_queue order by id desc limit 300) latest
      order by random() limit $1
    )`,
    [ofEach],
  );
  return rows.map(({ id }) => id);
}
