/**
 * What the crash test writes down beside the queue, in the same database: each change of a job's
 * status or owner, by a trigger; what handlers did; and what was done to the workers.
 *
 * Who made a change is told by the connection's `application_name`. A worker's connections have its
 * `workerId` for theirs.
 */

/** Those who change jobs and are no workers. */
export const MONKEY = 'monkey';

export const auditTables = `
  create table audit (
    seq bigserial primary key,
    job_id bigint not null,
    by_whom text not null default current_setting('application_name'),
    at timestamptz not null default clock_timestamp(),
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
    failure text
  );
  create index on audit (job_id, seq);

  -- The trigger runs while the row is locked: of one job, seq has the order of the changes.
  create function note_change() returns trigger language plpgsql as $$
  begin
    insert into audit (
      job_id, status, run_no, attempts, max_attempts, locked_by,
      old_status, old_run_no, old_attempts, old_max_attempts, old_locked_by, old_lease_expires_at,
      failure
    )
    values (
      old.id, new.status, new.run_no, new.attempts, new.max_attempts, new.locked_by,
      old.status, old.run_no, old.attempts, old.max_attempts, old.locked_by, old.lease_expires_at,
      case when jsonb_array_length(new.error_history) > jsonb_array_length(old.error_history)
        then new.error_history -> -1 ->> 'message' end
    );
    return null;
  end
  $$;
  create trigger note_update after update on job_queue for each row
    when (old.status is distinct from new.status or old.run_no is distinct from new.run_no)
    execute function note_change();
  create trigger note_delete after delete on job_queue for each row execute function note_change();

  -- What handlers did: 'begun', 'ended', or 'committed' in the transaction that completes the job.
  create table effect (
    job_id bigint not null,
    worker text not null,
    attempt int not null,
    what text not null,
    xid xid8 not null default pg_current_xact_id()
  );

  -- What the adders were told: id is null if the job may have been added or not.
  create table told (key text not null, id bigint);

  -- What was done to whom; until is when it was over, by itself or by the test's hand.
  create table fault (
    kind text not null,
    worker text,
    at timestamptz not null,
    until timestamptz
  );
`;
