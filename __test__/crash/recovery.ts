/** How long it took from a fault until the jobs that were held were run again, or settled. */
import type { Pool } from 'pg';

/** In milliseconds. */
export interface Times {
  count: number;
  median: number;
  max: number;
}

export interface Recovery {
  faults: number;
  /** To the claim by which a job that the worker held was run again. */
  runAgain: Times | null;
  /** The same, from the end of the lease. */
  runAgainAfterLease: Times | null;
  /** To the outcome that the worker still wrote of a job that it held. */
  settled: Times | null;
  /** To the first write of the worker that was struck; of all workers, where the server was. */
  workerBack: Times | null;
}

/**
 * Counts only the jobs of a higher priority: they do not wait in line once they are free. A request
 * from outside (a retry, a cancel) ends no measurement, but takes the job out; so
 * does an outage of the server meanwhile.
 */
const query = `
  with held as (
    select fault.kind, next.by_whom, next.run_no > last.run_no as again,
      next.at - fault.at as after, next.server_time - next.old_lease_expires_at as after_lease
    from fault
    join audit last on last.by_whom = fault.worker and last.at < fault.at
      and last.at > fault.at - interval '1 minute' and last.status = 'processing'
    join job_queue job on job.id = last.job_id and job.priority > 0
    cross join lateral (
      select * from audit next where next.job_id = last.job_id and next.seq > last.seq
      order by next.seq limit 1
    ) next
    where next.at > fault.at and not exists (
      select from fault outage
      where outage.hits = 'server' and outage.at < next.at and outage.until > fault.at
    )
  ),
  back as (
    select fault.kind, (
      select min(at) from audit
      where audit.at > fault.at and audit.at < fault.at + interval '2 minutes'
        and audit.by_whom = fault.worker
    ) - fault.at as after
    from fault where fault.worker is not null and fault.kind not in ('kill', 'deploy')
    union all
    select fault.kind, (
      select min(at) from audit
      where audit.at > fault.at + interval '100 milliseconds' and audit.by_whom like 'worker-%'
        and audit.at < fault.at + interval '2 minutes'
    ) - fault.at
    from fault where fault.hits = 'server'
  ),
  measured as (
    select kind, 'runAgain' as what, after from held where by_whom like 'worker-%' and again
    union all
    select kind, 'runAgainAfterLease', after_lease from held where by_whom like 'worker-%' and again
    union all
    select kind, 'settled', after from held where by_whom like 'worker-%' and not again
    union all
    select kind, 'workerBack', after from back
  )
  select kind, what, count(after)::int as count,
    round(1000 * percentile_disc(0.5) within group (order by extract(epoch from after)))::int as median,
    round(1000 * max(extract(epoch from after)))::int as max
  from measured where after is not null group by kind, what`;

export async function recovery(pool: Pool): Promise<Record<string, Recovery>> {
  const counted = await pool.query<{ kind: string; faults: number }>(
    `select kind, count(*)::int as faults from fault
    where kind <> 'stall' group by kind order by kind`,
  );
  const measured = await pool.query<Times & { kind: string; what: keyof Recovery }>(query);
  const recoveries: Record<string, Recovery> = {};
  for (const { kind, faults } of counted.rows) {
    const of = (wanted: keyof Recovery): Times | null => {
      const row = measured.rows.find((row) => row.kind === kind && row.what === wanted);
      return row ? { count: row.count, median: row.median, max: row.max } : null;
    };
    recoveries[kind] = {
      faults,
      runAgain: of('runAgain'),
      runAgainAfterLease: of('runAgainAfterLease'),
      settled: of('settled'),
      workerBack: of('workerBack'),
    };
  }
  return recoveries;
}
