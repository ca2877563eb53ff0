-- The engine's additions: leases, the fence, and the indexes of its statements. Applied twice, by two
-- tools that do not know of each other, it does nothing the second time.

-- A role that may create in the schema may have left functions and operators there that fit better than those of
-- Postgres. So functions are named with their schema, and operators stand between types for which Postgres has
-- them: it has none for varchar, which is compared as text.

-- Up Migration

-- Rows written by hand may lack values that every row now must have, or hold values that no row may hold any more.
update job_queue
set status = coalesce(status, 'pending'),
    created_at = coalesce(created_at, updated_at, run_at, current_timestamp),
    updated_at = coalesce(updated_at, created_at, current_timestamp),
    attempts = greatest(coalesce(attempts, 0), 0),
    max_attempts = coalesce(max_attempts, 3),
    priority = coalesce(priority, 0)
where status is null or created_at is null or updated_at is null
   or attempts is null or max_attempts is null or priority is null
   or attempts < 0;

-- A new table, which the first migration has just made in this transaction, counts its jobs in 64 bits. A table that
-- was there before keeps the type of its ids, because node-postgres gives a bigint to JavaScript as a string: see
-- docs/upgrading.md. The age of a table that this transaction has made is zero transactions.
do $$
begin
  if exists (
    select from pg_catalog.pg_class
    where oid = 'job_queue'::regclass::oid and pg_catalog.age(xmin) <= 0
  ) then
    alter table job_queue alter column id type bigint;
    execute pg_catalog.format(
      'alter sequence %s as bigint', pg_catalog.pg_get_serial_sequence('job_queue', 'id')
    );
  end if;
end
$$;

alter table job_queue
  alter column status set not null,
  alter column created_at set not null,
  alter column updated_at set not null,
  alter column attempts set not null,
  alter column max_attempts set not null,
  alter column priority set not null,
  -- The fence: every write of a run names it. It grows with every claim and is never given out twice, also
  -- if the server crashes or a standby takes over that has not heard of a claim: it is the time of the
  -- claim in microseconds, or one more than the last, if that is more. JavaScript can hold each of them exactly.
  add column if not exists run_no bigint not null default 0,
  -- Until when the worker that runs the job owns it.
  add column if not exists lease_expires_at timestamptz,
  -- How long a run may take, in milliseconds; null leaves it to the worker.
  add column if not exists timeout_ms integer check (timeout_ms > 0),
  -- The job's own retry policy, in milliseconds; null leaves it to the worker. Not checked, since each constraint makes
  -- every write dearer: the statements take any number for the nearest that they can use.
  add column if not exists retry_delay_ms integer,
  add column if not exists retry_factor double precision,
  add column if not exists retry_max_delay_ms integer,
  -- The type of the job that is added when this one has failed for good; null adds none.
  add column if not exists dead_letter_job_type varchar(255),
  -- Of the unsettled jobs of a type, one holds this key: see job_queue_keys; null holds none.
  add column if not exists idempotency_key varchar(255),
  -- How long the job holds its key: 'queued', 'unsettled', 'row', or milliseconds; null is 'unsettled'. 'released': no longer.
  add column if not exists idempotency_hold text,
  -- Why the last attempt that failed did so; null if none has, or the job is completed.
  add column if not exists failure_reason text,
  -- How often its handler has put the job off; null if it has not.
  add column if not exists snoozes integer,
  -- When cancelJob was called while the job ran.
  add column if not exists cancel_requested_at timestamptz,
  -- Which claim of which worker holds the job, so that a claim whose answer was lost is found again. Negative until
  -- the attempt is counted: for a job's last attempt, when its handler begins.
  add column if not exists claim_token bigint,
  -- How often in a row Postgres has refused to let the job be claimed, settled or brought back; null if it has not.
  add column if not exists refusals integer,
  -- From when the job may be claimed; null if it may not. Generated, so that an update by hand
  -- keeps it right.
  add column if not exists ready_at timestamptz generated always as (
    case status::text
      when 'pending' then greatest(coalesce(run_at, created_at), next_attempt_at)
      when 'failed' then case when attempts < max_attempts then next_attempt_at end
    end
  ) stored,
  -- Refuses numbers that the engine cannot handle, from every writer: negative ones, and those from 2^53 on, which
  -- JavaScript cannot tell apart, or which make its statements fail. One short constraint, because every insert and every update takes the time to set it up.
  -- A status is not restricted.
  drop constraint if exists job_queue_bearable,
  add constraint job_queue_bearable check (((id | run_no) >> 53) = 0);

-- Every claim and every outcome leaves a dead row behind. The default, a fifth of the table, lets
-- them pile up behind a long history.
alter table job_queue set (
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_analyze_scale_factor = 0.05
);

-- Each index holds only the rows that its statements look for, under a condition that only they state: no other
-- statement can use it, even when the planner's statistics are wrong. A job is in few of them at a time,
-- since each index makes every write of the job dearer.

-- The order of the claim; the same within a job type, for workers that take some types only.
create index if not exists job_queue_ready on job_queue (priority desc, ready_at, id)
  where ready_at < 'infinity';
create index if not exists job_queue_ready_by_type on job_queue (job_type, priority desc, ready_at, id)
  where ready_at is not null and job_type::text >= '';
-- Running jobs, in the order in which their leases end.
create index if not exists job_queue_leases on job_queue (lease_expires_at)
  where status::text = 'processing';
-- The lists of pending jobs, newest first: without the status in the key, which would make each insert into it
-- twice as dear.
create index if not exists job_queue_pending on job_queue (created_at, id)
  where status::text = 'pending';
-- The lists of all other jobs, newest first, and the clean-up, oldest first.
create index if not exists job_queue_by_status on job_queue (status, created_at, id)
  where status::text <> 'pending' and status::text <> 'processing';
-- The jobs that hold their keys, as their hold says: until a worker first claims the job, until it has settled, or as
-- long as there is a row. A key that is held for some time is in job_queue_windows, and not here. The condition stands
-- in src/store/key.rs and in job_queue_add too, and is the same there, letter by letter.
create unique index if not exists job_queue_keys on job_queue (job_type, idempotency_key)
  where idempotency_key is not null and case coalesce(idempotency_hold, 'unsettled')
    when 'unsettled' then status::text = 'pending' or status::text = 'processing'
      or status::text = 'failed' and attempts < max_attempts and next_attempt_at is not null
    when 'queued' then status::text = 'pending' and attempts = 0 and snoozes is null
    when 'row' then true
    else false end;

-- The keys that are held for some time, whatever becomes of the job or its row. What has ended is deleted by those who
-- add other keys.
create table if not exists job_queue_windows (
  job_type varchar(255) not null,
  idempotency_key varchar(255) not null,
  job_id bigint not null,
  held_until timestamptz not null,
  primary key (job_type, idempotency_key)
);
create index if not exists job_queue_windows_by_end on job_queue_windows (held_until)
  where held_until > '-infinity';

-- The primary key gets three entries for each job: when it is added, claimed and settled. A page that is
-- filled to a third at first has room for them all. Else the page is searched for dead entries and split, which
-- costs a tenth of a worker's throughput, and saves only 20 bytes a job.
alter index if exists job_queue_pkey set (fillfactor = 33);

drop index if exists idx_job_queue_status;
drop index if exists idx_job_queue_next_attempt;
drop index if exists idx_job_queue_run_at;
drop index if exists idx_job_queue_priority;

-- Down Migration

-- Workers may be running. Their jobs would stay theirs for ever, without a lease that ends: so the jobs are put back,
-- and no worker claims more before the columns are gone.
lock table job_queue in access exclusive mode;
update job_queue
set status = case when cancel_requested_at is null then 'pending' else 'cancelled' end,
    updated_at = current_timestamp,
    -- A last attempt is not counted before its handler begins.
    attempts = greatest(attempts - (coalesce(claim_token, 1::bigint) > 0::bigint)::int, 0),
    locked_at = null,
    locked_by = null
where status::text = 'processing' and lease_expires_at > locked_at;

create index if not exists idx_job_queue_status on job_queue (status);
create index if not exists idx_job_queue_next_attempt on job_queue (next_attempt_at);
create index if not exists idx_job_queue_run_at on job_queue (run_at);
create index if not exists idx_job_queue_priority on job_queue (priority);

drop table if exists job_queue_windows;
drop index if exists job_queue_keys;
drop index if exists job_queue_by_status;
drop index if exists job_queue_pending;
drop index if exists job_queue_leases;
drop index if exists job_queue_ready_by_type;
drop index if exists job_queue_ready;

alter index if exists job_queue_pkey reset (fillfactor);

alter table job_queue reset (autovacuum_vacuum_scale_factor, autovacuum_analyze_scale_factor);

alter table job_queue
  drop constraint if exists job_queue_bearable,
  drop column if exists ready_at,
  drop column if exists lease_expires_at,
  drop column if exists timeout_ms,
  drop column if exists snoozes,
  drop column if exists dead_letter_job_type,
  drop column if exists idempotency_key,
  drop column if exists idempotency_hold,
  drop column if exists failure_reason,
  drop column if exists retry_delay_ms,
  drop column if exists retry_factor,
  drop column if exists retry_max_delay_ms,
  drop column if exists cancel_requested_at,
  drop column if exists claim_token,
  drop column if exists refusals,
  drop column if exists run_no,
  alter column priority drop not null,
  alter column max_attempts drop not null,
  alter column attempts drop not null,
  alter column updated_at drop not null,
  alter column created_at drop not null,
  alter column status drop not null;

-- The ids keep their type: some may have grown beyond 32 bits.
