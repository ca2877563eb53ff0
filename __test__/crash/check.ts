/** The promises that have to hold when all is over. Each is a query for its violations. */
import type { Pool } from 'pg';
import { BURIED, MONKEY, REMOVING } from './audit.js';
import { aftermath, LONGEST_INNOCENT_WAIT, longWaits } from './innocents.js';

const isOver = (row: string) =>
  `(${row}status in ('completed', 'cancelled')
    or (${row}status = 'failed' and ${row}attempts >= ${row}max_attempts))`;

const isTheWorkers = `by_whom like 'worker-%'`;

/** A change by which a worker has completed a job. One of the workers then removes it. */
const isCompletion = `(status = 'completed' or (status is null and old_status = 'processing'))`;

/** A change by which a worker takes a job. */
const isClaim = `(status = 'processing' and run_no > old_run_no)`;

/**
 * A change by which an attempt is counted: a claim, or, for the last attempt, the worker's statement just before
 * the handler begins.
 */
const countsAttempt = `(status = 'processing' and attempts = old_attempts + 1)`;

/** Faults that lose a worker, its answers, or its leases. No run has to be lost by any other fault. */
const losses = `(
    'kill', 'deploy', 'freeze', 'silence', 'halfOpen', 'cut', 'terminate', 'restart', 'clock'
  )`;

/** Whether one of these met `worker` or the server between two times. */
const isLost = (worker: string, from: string, to: string) => `exists (
    select from fault
    where (fault.worker = ${worker} or fault.hits = 'server') and fault.kind in ${losses}
      and fault.at <= ${to} and (fault.kind in ('kill', 'deploy') or fault.until >= ${from})
  )`;

/** The jobs that have ended because no attempt was left, and not by the outcome of their last run. */
const exhausted = `
  select distinct job.id, job.job_type, job.attempts, job.max_attempts from every_job job
  join audit on audit.job_id = job.id and audit.seq = (
    select max(seq) from audit latest where latest.job_id = job.id
  )
  where job.status = 'failed' and audit.failure_name in ('WorkerLost', 'NoAttemptsLeft')`;

const promises: Record<string, string> = {
  'what addJob resolved with is in the table': `
    select told.* from told
    left join every_job job on job.id = told.id and job.key = told.key
    where told.id is not null and job.id is null`,
  'no job is there twice': `
    select key, array_agg(id) as ids from every_job
    group by key having count(*) > 1`,
  'no job is there that nobody added': `
    select job.id from every_job job
    left join told on told.key = job.key where told.key is null`,
  'no job is in limbo': `
    select * from every_job job
    where not ${isOver('job.')} and status <> 'removed'`,
  'no dead letter is in limbo': `
    select * from job_queue where job_type = '${BURIED}' and not ${isOver('')}`,
  'a job leaves a dead letter each time that it fails for good, and at no other time': `
    select job_id, failures.count as failures, letters.count as letters
    from (select job_id, count(*) from audit where buried group by job_id) failures
    full join (select job_id, count(*) from letter group by job_id) letters using (job_id)
    where failures.count is distinct from letters.count`,
  // The next holder's insert waits for the commit of what releases the key: so the records have that order.
  'a key that is held until its job has settled is held by one job at a time': `
    select * from (
      select *, sum(change) over (partition by job_type, idempotency_key order by at, change) as holders
      from (
        select job_id, at, 1 as change from ledger
        union all
        select job_id, at, -1 from audit where (status is null or ${isOver('')}) and not ${isOver('old_')}
        union all
        select job_id, at, 1 from audit where ${isOver('old_')} and not ${isOver('')}
      ) change
      join (select job_id, job_type, idempotency_key from ledger) job using (job_id)
      where idempotency_key like 'unsettled-%'
    ) held
    where holders > 1`,
  'a key that is held for ever has been held by one job': `
    select job_type, idempotency_key, array_agg(job_id) as ids from ledger
    where idempotency_key like 'once-%'
    group by job_type, idempotency_key having count(*) > 1`,
  'a job is deleted by a worker that completes it and removes what is completed, and by nothing else': `
    select * from audit
    where status is null and not (
      old_status = 'processing' and by_whom = old_locked_by and by_whom like '%${REMOVING}'
    )`,
  'the audit has seen all': `
    select * from (
      select audit.*, lag(status, 1, 'pending') over jobs as status_before,
        lag(run_no, 1, 0::bigint) over jobs as run_no_before,
        lag(attempts, 1, 0) over jobs as attempts_before
      from audit window jobs as (partition by job_id order by seq)
    ) audit
    where old_status <> status_before or old_run_no <> run_no_before
      or old_attempts <> attempts_before`,
  'each job has ended once, and once more for each retry after its end': `
    select job_id, count(*) filter (where status is null or ${isOver('')}) as ends,
      count(*) filter (where ${isOver('old_')}) as reopened
    from audit group by job_id
    having count(*) filter (where status is null or ${isOver('')})
      - count(*) filter (where ${isOver('old_')}) <> 1`,
  'what is over changes by a retry alone': `
    select * from audit
    where ${isOver('old_')} and not coalesce(status = 'pending' and by_whom = '${MONKEY}', false)`,
  'a claim raises run_no, for the worker that makes it, and counts the attempt unless that is the last': `
    select * from audit
    where ${isClaim} and not (
      ${isTheWorkers} and locked_by = by_whom
      and (
        attempts = old_attempts + 1
        or (attempts = old_attempts and old_attempts + 1 >= old_max_attempts)
      )
    )`,
  'what runs changes by a claim, or by the count of its last attempt': `
    select * from audit
    where status = 'processing' and not ${isClaim} and not (
      old_status = 'processing' and run_no = old_run_no and locked_by = old_locked_by
      and attempts = old_attempts + 1 and attempts = max_attempts
    )`,
  'no job is taken from a run before its lease is over': `
    select * from audit
    where old_status = 'processing' and run_no <> old_run_no
      and not old_lease_expires_at <= server_time`,
  'run_no changes by claims, by retries, and when a job is taken from a lost worker': `
    select * from audit
    where run_no <> old_run_no
      and not (
        run_no > old_run_no
        and (
          ${isTheWorkers} or old_status = 'processing'
          or (by_whom = '${MONKEY}' and status = 'pending')
        )
      )`,
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
    where ${isCompletion} and not exists (
      select from effect
      where effect.job_id = audit.job_id and worker = old_locked_by and attempt = old_attempts
        and what in ('ended', 'committed')
    )`,
  'a transaction that completes a job has one effect, and has it only if the job is completed': `
    select audit.job_id as completed, effect.job_id as effect, coalesce(audit.xid, effect.xid) as xid
    from (
      select audit.job_id, audit.xid from audit
      join ledger on ledger.job_id = audit.job_id
      where ${isCompletion} and ledger.job_type = 'transaction'
    ) audit
    full join (select job_id, xid from effect where what = 'committed') effect
      on effect.job_id = audit.job_id and effect.xid = audit.xid
    where effect.job_id is null or audit.job_id is null`,
  'the effect of a job that is completed in its transaction is there exactly once': `
    select job.id, job.status, count(effect.job_id) as effects from every_job job
    left join effect on effect.job_id = job.id and effect.what = 'committed'
    where job.job_type = 'transaction'
    group by job.id, job.status
    having count(effect.job_id) <> (job.status in ('completed', 'removed'))::int`,
  'no more attempts are made than are granted': `
    select job_id, attempts, max_attempts from audit where attempts > max_attempts`,
  'each attempt that is counted runs its handler once at the most': `
    select * from (
      select job_id, worker, attempt, count(*) as begun from effect where what = 'begun'
      group by job_id, worker, attempt
    ) runs
    left join (
      select job_id, by_whom as worker, attempts as attempt, count(*) as counted from audit
      where ${countsAttempt} group by job_id, by_whom, attempts
    ) counts using (job_id, worker, attempt)
    where begun > coalesce(counted, 0)`,
  // Except in the moment from the count of the last attempt until the handler begins.
  'no job without a begun run ends for want of attempts': `
    select * from (${exhausted}) exhausted
    where not exists (select from begun where begun.job_id = exhausted.id)
      and not exists (
        select from audit counted
        where counted.job_id = exhausted.id and ${countsAttempt} and not ${isClaim}
          and ${isLost('counted.by_whom', "counted.at - interval '1 second'", "counted.at + interval '1 second'")}
      )`,
  'an attempt without a begun run is lost only with its worker': `
    select * from (
      select exhausted.*, (select count(*) from begun where begun.job_id = exhausted.id) as begun,
        (
          select count(*) from audit taken
          join lateral (
            select at from audit claim
            where claim.job_id = taken.job_id and claim.seq < taken.seq and ${isClaim}
            order by claim.seq desc limit 1
          ) claim on true
          where taken.job_id = exhausted.id and taken.old_status = 'processing'
            and taken.run_no <> taken.old_run_no
            and ${isLost('taken.old_locked_by', 'claim.at', 'taken.at')}
        ) as lost
      from (${exhausted}) exhausted
    ) exhausted
    where attempts > begun + lost`,
  // A foreign key to a job is no fault that could keep its worker from it.
  'no run that no fault has met is taken from its worker': `
    select taken.* from audit taken
    join lateral (
      select at from audit claim
      where claim.job_id = taken.job_id and claim.seq < taken.seq and ${isClaim}
      order by claim.seq desc limit 1
    ) claim on true
    where taken.old_status = 'processing' and taken.run_no <> taken.old_run_no
      and not exists (
        select from touched
        where touched.job_id = taken.job_id and touched.what not in ('refer', 'keep')
      )
      and not exists (select from asked where asked.job_id = taken.job_id)
      and not exists (
        select from fault
        where (fault.worker = taken.old_locked_by or fault.hits = 'server')
          and fault.at <= taken.at
          and (
            fault.kind in ('kill', 'deploy')
            or claim.at <= coalesce(fault.until, 'infinity') + ${aftermath}
          )
      )`,
  'no job is cancelled that nobody asked to cancel': `
    select * from audit
    where status = 'cancelled' and not exists (
      select from asked where asked.job_id = audit.job_id and asked.what = 'cancel'
    )`,
  [`no innocent job waits longer than ${LONGEST_INNOCENT_WAIT} seconds`]: longWaits,
};

export interface Violation {
  promise: string;
  count: number;
  /** Some of the violations, with the records of their jobs. */
  examples: unknown[];
}

export async function check(pool: Pool): Promise<Violation[]> {
  const violations: Violation[] = [];
  await pool.query('create index if not exists effect_by_job on effect (job_id)');
  await pool.query('create index if not exists begun_by_job on begun (job_id)');
  await pool.query('create index if not exists touched_by_job on touched (job_id)');
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
