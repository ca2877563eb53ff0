/**
 * How long innocent jobs waited, from when they were due to their first run. A job is innocent if no fault has
 * met it directly. Times in which no worker could have run it are left out: the server was away, or the
 * whole table locked, or the clock had gone back.
 */
import type { Pool } from 'pg';
import type { Times } from './recovery.js';

/**
 * The longest that one may wait, in seconds: for a worker whose claim is not answered (5 s), for its wait until the
 * next claim (up to 15 s after an outage), and in line.
 */
export const LONGEST_INNOCENT_WAIT = 20;

/**
 * How long a worker's fault goes on to show when it is over: the worker waits for silent
 * connections, and a slow statement goes on.
 */
export const aftermath = `(
    case when fault.kind in ('halfOpen', 'slow') then interval '13 seconds' else interval '2 seconds' end
  )`;

/**
 * These jobs are not innocent: jobs that were locked, referred to, refused, retried or cancelled, twins, and
 * jobs of a worker that met a fault between their claim and their run.
 */
const waits = `
  with away as (
    select coalesce(range_agg(tstzrange(at, until)), '{}') as times from fault
    where hits = 'server' and until >= at
  ),
  first as (select job_id, min(at) as at from begun group by job_id),
  held as (
    select distinct first.job_id from first
    join audit on audit.job_id = first.job_id and audit.status = 'processing'
      and audit.run_no > audit.old_run_no and audit.at <= first.at
    join fault on fault.worker = audit.by_whom and fault.at <= first.at
      and (
        fault.kind in ('kill', 'deploy')
        or audit.at <= coalesce(fault.until, 'infinity') + ${aftermath}
      )
  )
  select ledger.job_id, ledger.job_type, ledger.at as due, first.at as begun,
    1000 * extract(epoch from first.at - ledger.at - (
      select coalesce(sum(upper(time) - lower(time)), interval '0')
      from unnest(times * tstzmultirange(tstzrange(ledger.at, greatest(ledger.at, first.at)))) time
    ))::float8 as ms
  from ledger
  join first using (job_id)
  cross join away
  where ledger.job_type <> 'twin'
    and not exists (select from touched where touched.job_id = ledger.job_id)
    and not exists (
      select from asked where asked.job_id = ledger.job_id and what in ('retry', 'cancel')
    )
    and not exists (select from held where held.job_id = ledger.job_id)`;

/** For jobs that break the promise. */
export const longWaits = `
  select * from (${waits}) waits where ms > 1000 * ${LONGEST_INNOCENT_WAIT} order by ms desc`;

export type Waits = Times & { ninetyNinth: number };

export async function innocentWaits(pool: Pool): Promise<Waits> {
  const { rows } = await pool.query<Waits>(
    `select count(*)::int, coalesce(round(percentile_disc(0.5) within group (order by ms)), 0)::int
        as median,
      coalesce(round(percentile_disc(0.99) within group (order by ms)), 0)::int as "ninetyNinth",
      coalesce(round(max(ms)), 0)::int as max
    from (${waits}) waits`,
  );
  return rows[0] as Waits;
}
