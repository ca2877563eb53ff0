/** What has to be true when all is over. Each is a query for what violates it. */
import type { Pool } from 'pg';
import { MONKEY } from './audit.js';

const isOver = (row: string) =>
  `(${row}status in ('completed', 'cancelled')
    or (${row}status = 'failed' and ${row}attempts >= ${row}max_attempts))`;

const isTheWorkers = `by_whom like 'worker-%'`;

const promises: Record<string, string> = {
  'what addJob resolved with is in the table': `
    select told.* from told
    left join job_queue job on job.id = told.id and job.payload ->> 'key' = told.key
    where told.id is not null and job.id is null`,
  'no job is there twice': `
    select payload ->> 'key' as key, array_agg(id) as ids from job_queue
    group by 1 having count(*) > 1`,
  'no job is there that nobody added': `
    select job.id from job_queue job
    left join told on told.key = job.payload ->> 'key' where told.key is null`,
  'no job is in limbo': `
    select id, job_type, status, attempts, max_attempts, run_no, ready_at from job_queue job
    where not ${isOver('job.')}`,
  'no job is deleted': `select * from audit where status is null`,
  'the audit has seen all': `
    select * from (
      select audit.*, lag(status, 1, 'pending') over jobs as status_before,
        lag(run_no, 1, 0::bigint) over jobs as run_no_before
      from audit window jobs as (partition by job_id order by seq)
    ) audit
    where old_status <> status_before or old_run_no <> run_no_before`,
  'each job has ended once, and once more for each retry after its end': `
    select job_id, count(*) filter (where ${isOver('')}) as ends,
      count(*) filter (where ${isOver('old_')}) as reopened
    from audit group by job_id
    having count(*) filter (where ${isOver('')}) - count(*) filter (where ${isOver('old_')}) <> 1`,
  'what is over changes by a retry alone': `
    select * from audit
    where ${isOver('old_')} and not (status = 'pending' and by_whom = '${MONKEY}')`,
  'a claim raises run_no and counts the attempt, for the worker that makes it': `
    select * from audit
    where status = 'processing' and not (
      ${isTheWorkers} and run_no > old_run_no and attempts = old_attempts + 1
      and locked_by = by_whom
    )`,
  'no job is taken from a run before its lease is over': `
    select * from audit
    where old_status = 'processing' and run_no <> old_run_no and not old_lease_expires_at <= at`,
  'run_no changes by the claims of workers, and when a job is taken from a lost one': `
    select * from audit
    where run_no <> old_run_no
      and not ((${isTheWorkers} or old_status = 'processing') and run_no > old_run_no)`,
  'a run is settled by the worker that owns it': `
    select * from audit
    where old_status = 'processing' and run_no = old_run_no
      and by_whom <> old_locked_by and by_whom <> '${MONKEY}'`,
  'a failure that is written is that of the run that owns the job': `
    select * from audit
    where failure like 'by worker-%'
      and not starts_with(
        failure, 'by ' || old_locked_by || ' in attempt ' || old_attempts || ':'
      )`,
  'a run that is completed has had its effect': `
    select audit.* from audit
    where status = 'completed' and not exists (
      select from effect
      where effect.job_id = audit.job_id and worker = old_locked_by and attempt = old_attempts
        and what in ('ended', 'committed')
    )`,
  'a transaction that completes a job has one effect, and has it only if the job is completed': `
    select audit.job_id as completed, effect.job_id as effect, coalesce(audit.xid, effect.xid) as xid
    from (
      select audit.job_id, audit.xid from audit
      join job_queue job on job.id = audit.job_id
      where audit.status = 'completed' and job.job_type = 'transaction'
    ) audit
    full join (select job_id, xid from effect where what = 'committed') effect
      on effect.job_id = audit.job_id and effect.xid = audit.xid
    where effect.job_id is null or audit.job_id is null`,
  'the effect of a job that is completed in its transaction is there exactly once': `
    select job.id, job.status, count(effect.job_id) as effects from job_queue job
    left join effect on effect.job_id = job.id and effect.what = 'committed'
    where job.job_type = 'transaction'
    group by job.id, job.status
    having count(effect.job_id) <> (job.status = 'completed')::int`,
  'no more attempts are made than are granted': `
    select job_id, attempts, max_attempts from audit where attempts > max_attempts`,
  'each claim runs its handler once at the most': `
    select * from (
      select job_id, worker, attempt, count(*) as begun from effect where what = 'begun'
      group by job_id, worker, attempt
    ) runs
    left join (
      select job_id, by_whom as worker, attempts as attempt, count(*) as claimed from audit
      where status = 'processing' group by job_id, by_whom, attempts
    ) claims using (job_id, worker, attempt)
    where begun > coalesce(claimed, 0)`,
};

export interface Violation {
  promise: string;
  count: number;
  /** Some of them, with what the audit knows of the jobs. */
  examples: unknown[];
}

export async function check(pool: Pool): Promise<Violation[]> {
  const violations: Violation[] = [];
  await pool.query('create index if not exists effect_by_job on effect (job_id)');
  await pool.query('create index if not exists audit_by_whom on audit (by_whom, at)');
  await pool.query('analyze');
  for (const [promise, query] of Object.entries(promises)) {
    const { rows } = await pool.query<{ job_id?: string; id?: string }>(query);
    if (rows.length === 0) continue;
    const examples = [];
    for (const row of rows.slice(0, 3)) {
      const id = row.job_id ?? row.id;
      const history =
        id === undefined
          ? []
          : (await pool.query('select * from audit where job_id = $1 order by seq', [id])).rows;
      examples.push({ row, history });
    }
    violations.push({ promise, count: rows.length, examples });
  }
  return violations;
}
