-- Adds a job from SQL: from triggers, from psql, from other languages. Its parameters, its defaults and its
-- checks are those of the API's addJob; a failed check has the SQLSTATE 22023. It runs with the
-- rights of its caller, who needs the same grants as addJob: see docs/transactions.md.
--
-- The one migration that is edited after a release: `migrate` applies it again in a schema whose function differs.

-- Up Migration

-- Created from a string, since the function names its schema: so with every search_path of the caller, it finds
-- no object of the caller's in place of the intended one. It also finds no function that somebody has
-- created in that schema: functions are named with their schema, and operators stand between types for which
-- Postgres has them. The table's own triggers run with the same path.
do $migration$
declare
  former regprocedure;
begin
  execute pg_catalog.format($statement$
    create or replace function %1$I.add_job(
      job_type text,
      payload jsonb,
      max_attempts integer default 3,
      priority integer default 0,
      run_at timestamptz default null,
      timeout_ms integer default null,
      retry_delay_ms integer default null,
      retry_factor double precision default null,
      retry_max_delay_ms integer default null,
      dead_letter_job_type text default null
    )
    returns bigint
    language plpgsql
    security invoker
    set search_path = %1$I, pg_temp
    as $function$
    declare
      payload_bytes integer;
      added_id bigint;
    begin
      if coalesce(pg_catalog.char_length(add_job.job_type), 0) not between 1 and 255 then
        raise 'add_job: job_type must have 1 to 255 characters'
          using errcode = 'invalid_parameter_value';
      elsif add_job.payload is null then
        raise 'add_job: payload must not be null; the JSON value null is ''null'''
          using errcode = 'invalid_parameter_value';
      elsif (add_job.max_attempts >= 1) is not true then
        raise 'add_job: max_attempts must be at least 1' using errcode = 'invalid_parameter_value';
      elsif add_job.priority is null then
        raise 'add_job: priority must not be null' using errcode = 'invalid_parameter_value';
      elsif not pg_catalog.isfinite(add_job.run_at) then
        raise 'add_job: run_at must be finite' using errcode = 'invalid_parameter_value';
      elsif add_job.timeout_ms < 1 then
        raise 'add_job: timeout_ms must be at least 1' using errcode = 'invalid_parameter_value';
      elsif add_job.retry_delay_ms < 0 then
        raise 'add_job: retry_delay_ms must be at least 0' using errcode = 'invalid_parameter_value';
      elsif add_job.retry_factor not between 1::double precision and 1000::double precision then
        raise 'add_job: retry_factor must be between 1 and 1000' using errcode = 'invalid_parameter_value';
      elsif add_job.retry_max_delay_ms < 0 then
        raise 'add_job: retry_max_delay_ms must be at least 0' using errcode = 'invalid_parameter_value';
      elsif pg_catalog.char_length(add_job.dead_letter_job_type) not between 1 and 255 then
        raise 'add_job: dead_letter_job_type must have 1 to 255 characters'
          using errcode = 'invalid_parameter_value';
      end if;

      begin
        payload_bytes := pg_catalog.octet_length(add_job.payload::text);
        -- A payload of less text is neither nested so deeply, nor has it so many members.
        if payload_bytes > 8000 then
          if pg_catalog.jsonb_path_exists(add_job.payload, 'strict $.**{4001}') then
            raise 'add_job: payload must be nested at most 4000 levels deep'
              using errcode = 'invalid_parameter_value';
          -- As many keys of an object do not fit into the text that a payload may have.
          elsif payload_bytes > 25165824 and pg_catalog.jsonb_path_exists(
            add_job.payload, 'strict $.** ? (@.type() == "array" && @.size() > 8388608)'
          ) then
            raise 'add_job: payload must have at most 8388608 members in an array'
              using errcode = 'invalid_parameter_value';
          end if;
        end if;
      exception when program_limit_exceeded or out_of_memory or internal_error then
        -- Some values are a few bytes in jsonb, and more text than Postgres can write.
        payload_bytes := null;
      end;
      if (payload_bytes <= 67108864) is not true then
        raise 'add_job: payload must be at most 67108864 bytes of text'
          using errcode = 'invalid_parameter_value';
      end if;

      insert into %1$I.job_queue (
        job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms,
        dead_letter_job_type
      )
      values (
        add_job.job_type, add_job.payload, add_job.max_attempts, add_job.priority,
        coalesce(add_job.run_at, pg_catalog.now()), add_job.timeout_ms,
        add_job.retry_delay_ms, add_job.retry_factor, add_job.retry_max_delay_ms,
        add_job.dead_letter_job_type
      )
      returning id into added_id;

      if coalesce(add_job.run_at <= pg_catalog.now(), true) then
        -- Heard by idle workers when the transaction is committed.
        perform pg_catalog.pg_notify(
          'pg_bg_job_queue',
          pg_catalog.json_build_object('schema', %1$L, 'ready', true)::text
        );
      end if;
      return added_id;
    end
    $function$
  $statement$, pg_catalog.current_schema());

  -- Drops the functions of other versions, which took other options: those that this transaction has not written.
  for former in
    select function.oid::regprocedure from pg_catalog.pg_proc function
    where function.pronamespace = pg_catalog.to_regnamespace(
        pg_catalog.quote_ident(pg_catalog.current_schema()::text)
      )::oid
      and function.proname::text = 'add_job' and function.proargnames[1] = 'job_type'
      and function.xmin::text <> (pg_catalog.txid_current() & 4294967295)::text
  loop
    execute 'drop function ' || former::text;
  end loop;
end
$migration$;

-- Down Migration
do $migration$
declare
  applied regprocedure;
begin
  for applied in
    select function.oid::regprocedure from pg_catalog.pg_proc function
    where function.pronamespace = pg_catalog.to_regnamespace(
        pg_catalog.quote_ident(pg_catalog.current_schema()::text)
      )::oid
      and function.proname::text = 'add_job' and function.proargnames[1] = 'job_type'
  loop
    execute 'drop function ' || applied::text;
  end loop;
end
$migration$;
