/**
 * The records of the crash test, in the same database as the queue: each job that is added, and each
 * change of a job's status, owner or attempts, by triggers; the handlers' work; and the faults of the
 * workers and of the jobs.
 *
 * The connection's `application_name` says who made a change. For a worker's connections it is the
 * `workerId`. Times are those of the machine, also if the server's clock is set to another
 * (`tell_time_by`).
 */

/** The programs that change jobs and are not workers. */
export const MONKEY = 'monkey';

/** The type of dead letters. */
export const BURIED = 'buried';

/** The end of the name of a worker that removes the jobs that it completes. */
export const REMOVING = '-removing';

export const auditTables = `
  create function machine_time() returns timestamptz language sql volatile as 'select clock_timestamp()';

  create table audit (
    seq bigserial primary key,
    job_id bigint not null,
    by_whom text not null default current_setting('application_name'),
    at timestamptz not null default machine_time(),
    -- The time that a statement goes by: when its transaction began, or a time between that and now.
    server_time timestamptz not null default greatest(now(), clock_timestamp()),
    xid xid8 not null default pg_current_xact_id(),
    -- Null where the job was deleted.
    status text,
    run_no bigint,
    attempts int,
    max_attempts int,
    locked_by text,
    old_status text,
    old_run_no bigint,
    old_attempts int,
    old_max_attempts int,
    old_locked_by text,
    old_lease_expires_at timestamptz,
    -- Of the entry that the change appended to error_history.
    failure text,
    failure_name text,
    -- It has failed for good, and is to leave a dead letter.
    buried boolean
  );
  create index on audit (job_id, seq);

  -- The trigger runs while the row is locked: of one job, seq has the order of the changes.
  create function note_change() returns trigger language plpgsql as $$
  declare
    failure jsonb := case
      when jsonb_array_length(new.error_history) > jsonb_array_length(old.error_history)
      then new.error_history -> -1 end;
  begin
    insert into audit (
      job_id, status, run_no, attempts, max_attempts, locked_by,
      old_status, old_run_no, old_attempts, old_max_attempts, old_locked_by, old_lease_expires_at,
      failure, failure_name, buried
    )
    values (
      old.id, new.status, new.run_no, new.attempts, new.max_attempts, new.locked_by,
      old.status, old.run_no, old.attempts, old.max_attempts, old.locked_by, old.lease_expires_at,
      failure ->> 'message', failure ->> 'name',
      new.status = 'failed' and new.ready_at is null and new.dead_letter_job_type is not null
    );
    return null;
  end
  $$;
  create trigger note_update after update on job_queue for each row
    when (old.job_type <> '${BURIED}' and (
      old.status is distinct from new.status or old.run_no is distinct from new.run_no
      or old.attempts is distinct from new.attempts
    ))
    execute function note_change();
  create trigger note_delete after delete on job_queue for each row
    when (old.job_type <> '${BURIED}') execute function note_change();

  -- The dead letters, by the jobs that have left them.
  create table letter (job_id bigint not null);

  -- Each job that was ever there, but for dead letters.
  create table ledger (
    job_id bigint primary key,
    key text not null,
    job_type text not null,
    at timestamptz not null default machine_time(),
    idempotency_key text
  );
  create function note_job() returns trigger language plpgsql as $$
  begin
    if new.job_type = '${BURIED}' then
      insert into letter values ((new.payload -> 'originalJob' ->> 'id')::bigint);
    else
      insert into ledger (job_id, key, job_type, idempotency_key)
      values (new.id, new.payload ->> 'key', new.job_type, new.idempotency_key);
    end if;
    return null;
  end
  $$;
  create trigger note_insert after insert on job_queue for each row execute function note_job();

  -- The jobs that are there, and those that were removed when they were completed.
  create view every_job as
    select ledger.job_id as id, ledger.key, ledger.job_type, coalesce(job.status, 'removed') as status,
      job.attempts, job.max_attempts, job.run_no, job.ready_at, job.locked_at, job.lease_expires_at
    from ledger left join job_queue job on job.id = ledger.job_id;

  -- The handlers' work: 'begun', 'ended', or 'committed' in the transaction that completes the job.
  create table effect (
    job_id bigint not null,
    worker text not null,
    attempt int not null,
    what text not null,
    xid xid8 not null default pg_current_xact_id()
  );

  -- The runs that were begun, as their handlers told the test without the database.
  create table begun (
    job_id bigint not null,
    worker text not null,
    attempt int not null,
    at timestamptz not null
  );

  -- The answers to the adders: id is null if the job may have been added or not.
  create table told (key text not null, id bigint);

  -- Requests to the queue: 'retry' or 'cancel'.
  create table asked (what text not null, job_id bigint not null);

  -- The faults; until is when a fault was over, by itself or by the test's hand.
  create table fault (
    kind text not null,
    -- 'worker', 'jobs' or 'server'.
    hits text not null,
    worker text,
    at timestamptz not null,
    until timestamptz
  );

  -- The jobs that a fault has met directly.
  create table touched (job_id bigint not null, what text not null);
`;

/**
 * Makes the records use the machine's time while the server's clock is set to another, by the file that says
 * how far that is off. Read from the disk each time, it is never out of step with the clock.
 */
export const tellTimeBy = (clockFile: string) => `
  create or replace function machine_time() returns timestamptz language sql volatile as $$
    select clock_timestamp() - pg_read_file('${clockFile}')::float8 * interval '1 second'
  $$;
`;
