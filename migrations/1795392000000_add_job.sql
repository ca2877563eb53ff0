-- Adds a job from SQL: from triggers, from psql, from other languages. What it takes, its defaults and
-- what it refuses are those of the API's addJob; what it refuses has the SQLSTATE 22023. It runs with the
-- rights of its caller, who needs what addJob needs: see docs/transactions.md.

-- Up Migration

-- Written by a string, since the schema that it belongs to is pinned by name: whatever the caller's
-- search_path, nothing of the caller's is found in place of what is meant.
do $migration$
begin
  execute format($statement$
    create or replace function %1$I.add_job(
      job_type text,
      payload jsonb,
      max_attempts integer default 3,
      priority integer default 0,
      run_at timestamptz default null,
      timeout_ms integer default null
    )
    returns bigint
    language plpgsql
    security invoker
    set search_path = %1$I, pg_temp
    as $function$
    declare
      added_id bigint;
    begin
      if coalesce(char_length(add_job.job_type), 0) not between 1 and 255 then
        raise 'add_job: job_type must have 1 to 255 characters'
          using errcode = 'invalid_parameter_value';
      elsif add_job.payload is null then
        raise 'add_job: payload must not be null; the JSON value null is ''null'''
          using errcode = 'invalid_parameter_value';
      elsif (add_job.max_attempts >= 1) is not true then
        raise 'add_job: max_attempts must be at least 1' using errcode = 'invalid_parameter_value';
      elsif add_job.priority is null then
        raise 'add_job: priority must not be null' using errcode = 'invalid_parameter_value';
      elsif not isfinite(add_job.run_at) then
        raise 'add_job: run_at must be finite' using errcode = 'invalid_parameter_value';
      elsif add_job.timeout_ms < 1 then
        raise 'add_job: timeout_ms must be at least 1' using errcode = 'invalid_parameter_value';
      end if;

      insert into job_queue (job_type, payload, max_attempts, priority, run_at, timeout_ms)
      values (
        add_job.job_type, add_job.payload, add_job.max_attempts, add_job.priority,
        coalesce(add_job.run_at, now()), add_job.timeout_ms
      )
      returning id into added_id;

      if coalesce(add_job.run_at <= now(), true) then
        -- Heard by idle workers when the transaction is committed.
        perform pg_notify(
          'pg_bg_job_queue', json_build_object('schema', %1$L, 'ready', true)::text
        );
      end if;
      return added_id;
    end
    $function$
  $statement$, current_schema());
end
$migration$;

-- Down Migration
drop function if exists add_job(text, jsonb, integer, integer, timestamptz, integer);
