/**
 * How long innocent jobs waited: those that no fault has met themselves, from when they were due to their
 * first run. The times are left out in which nobody could have run them, since the server was away, or the
 * whole table locked, or the clock had gone back.
 */
import type { Pool } from 'pg';
import type { Times } from './recovery.js';

/**
 * The longest that one may wait, in seconds: for a worker that asks in vain (5 s), for what it does until it
 * asks again (up to 15 s after an outage), and in line.
 */
export const LONGEST_INNOCENT_WAIT = 20;

/**
 * For how long what was done to a worker goes on to show when it is over: connections that nobody answers
 * are waited for, and a statement that was slow goes on.
 */
export const aftermath = `(
    case when fault.kind in ('halfOpen', 'slow') then interval '13 seconds' else interval '2 seconds' end
  )`;

/**
 * No innocents are jobs that somebody has locked, referred to, refused or asked something of, twins, and
 * those that a worker had claimed to which something happened before it ran them.
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

/** For what breaks the promise. */
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
