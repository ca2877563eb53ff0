-- The functions that add jobs: add_job, which is for users, and job_queue_add, which knows what to do about a key that
-- is held.
--
-- The one migration that is edited after a release: `migrate` applies it again in a schema whose functions differ.

-- Up Migration

-- Created from strings, since the functions name their schema: so with every search_path of the caller, they find
-- no object of the caller's in place of the intended one. They also find no function that somebody has
-- created in that schema: functions are named with their schema, and operators stand between types for which
-- Postgres has them. The table's own triggers run with the same path.

-- Adds a job, unless another holds its key: then it does as on_conflict says. It checks nothing, and is not for users:
-- add_job calls it, and the API, for the keys that were held when it tried to add their jobs.
--
-- Returns [id, outcome, status, asked_to_end]: the job that holds the key afterwards; 'added', 'kept', 'replaced',
-- 'postponed', 'superseded' or 'rejected'; the job's status, or null if its row is gone and its window holds; the job that
-- was superseded while it ran.
--
-- Each of its statements sees all that was committed before. If the holder changes between two of them, it begins
-- anew. Of those that add a key at the same time, the unique index job_queue_keys and the primary key of
-- job_queue_windows let one go on; the others wait for the end of its transaction.
do $migration$
begin
  execute pg_catalog.format($statement$
    create or replace function %1$I.job_queue_add(
      -- By their columns, and not a row: the table could not be dropped while a function took its rows.
      options jsonb,
      payload jsonb,
      on_conflict text,
      max_wait_ms bigint
    )
    returns jsonb
    language plpgsql
    security invoker
    set search_path = %1$I, pg_temp
    -- Statistics of a queue are always wrong.
    set enable_seqscan = off
    as $function$
    #variable_conflict use_column
    declare
      given %1$I.job_queue := pg_catalog.jsonb_populate_record(null::%1$I.job_queue, options);
      is_keyed boolean := given.idempotency_key is not null;
      window_ms double precision := case when given.idempotency_hold ~ '^[0-9]+$' then given.idempotency_hold end;
      held %1$I.job_queue_windows;
      is_in_window boolean := false;
      holder %1$I.job_queue;
      is_there boolean := false;
      is_lost boolean;
      moved timestamptz;
      unexplained integer := 0;
      outcome text := 'added';
      added_id bigint;
      asked_to_end bigint;
    begin
      loop
        if is_keyed then
          select * into held from %1$I.job_queue_windows held
          where held.job_type::text = given.job_type::text
            and held.idempotency_key::text = given.idempotency_key::text and held.held_until > pg_catalog.now();
          is_in_window := found;
          -- The statement has taken the window for this job, and a trigger keeps the job out.
          exit when held.job_id = given.id;
          if is_in_window then
            select * into holder from %1$I.job_queue job where job.id = held.job_id;
          else
            select * into holder from %1$I.job_queue job
            where job.job_type::text = given.job_type::text
              and job.idempotency_key::text = given.idempotency_key::text and job.idempotency_key is not null and case coalesce(job.idempotency_hold, 'unsettled')
                when 'unsettled' then job.status::text = 'pending' or job.status::text = 'processing'
                  or job.status::text = 'failed' and job.attempts < job.max_attempts and job.next_attempt_at is not null
                when 'queued' then job.status::text = 'pending' and job.attempts = 0 and job.snoozes is null
                when 'row' then true
                else false end;
          end if;
          is_there := found;
        end if;

        if is_there or is_in_window then
          unexplained := 0;
          holder.id := coalesce(holder.id, held.job_id);
          if on_conflict in ('keep', 'reject')
            and pg_catalog.current_setting('transaction_isolation') in ('repeatable read', 'serializable')
          then
            -- Refused (40001) if it has changed since the transaction looked first: else what ended long ago would be kept.
            perform from %1$I.job_queue_windows held_now
            where is_in_window and held_now.job_type::text = held.job_type::text
              and held_now.idempotency_key::text = held.idempotency_key::text
            for share;
            perform from %1$I.job_queue job where is_there and job.id = holder.id for share;
          end if;
          if on_conflict = 'reject' then
            return pg_catalog.jsonb_build_array(holder.id, 'rejected', holder.status, null);
          elsif on_conflict = 'keep' or on_conflict <> 'supersede' and (
            not is_there or holder.status::text not in ('pending', 'failed')
          ) then
            return pg_catalog.jsonb_build_array(holder.id, 'kept', holder.status, null);
          end if;

          -- From here on the holder is changed. Of two who change it, the second looks again.
          if is_in_window then
            perform from %1$I.job_queue_windows window_now
            where window_now.job_type::text = held.job_type::text
              and window_now.idempotency_key::text = held.idempotency_key::text
              and window_now.job_id = held.job_id and window_now.held_until = held.held_until
            for update;
            continue when not found;
          end if;
          if is_there then
            select * into holder from %1$I.job_queue job
            where job.id = holder.id and job.run_no = holder.run_no and job.status::text = holder.status::text
              and (is_in_window or job.idempotency_key is not null and case coalesce(job.idempotency_hold, 'unsettled')
                when 'unsettled' then job.status::text = 'pending' or job.status::text = 'processing'
                  or job.status::text = 'failed' and job.attempts < job.max_attempts and job.next_attempt_at is not null
                when 'queued' then job.status::text = 'pending' and job.attempts = 0 and job.snoozes is null
                when 'row' then true
                else false end)
            for no key update;
            continue when not found;
          end if;

          if on_conflict in ('replace', 'postpone') then
            -- Once the holder has waited for max_wait_ms, it is moved no further.
            moved := case when max_wait_ms is null then given.run_at else least(
              given.run_at,
              greatest(holder.run_at, holder.created_at + max_wait_ms::double precision * interval '1 millisecond')
            ) end;
          end if;
          if on_conflict = 'replace' then
            update %1$I.job_queue job
            set payload = job_queue_add.payload,
                max_attempts = given.max_attempts,
                priority = given.priority,
                run_at = moved,
                timeout_ms = given.timeout_ms,
                retry_delay_ms = given.retry_delay_ms,
                retry_factor = given.retry_factor,
                retry_max_delay_ms = given.retry_max_delay_ms,
                dead_letter_job_type = given.dead_letter_job_type,
                status = 'pending',
                updated_at = pg_catalog.now(),
                attempts = 0,
                next_attempt_at = null,
                snoozes = null,
                refusals = null,
                cancel_requested_at = null,
                failure_reason = null,
                pending_reason = null
            where job.id = holder.id;
            -- A trigger may keep it as it is.
            exit when not found;
            return pg_catalog.jsonb_build_array(holder.id, 'replaced', 'pending', null);
          elsif on_conflict = 'postpone' and holder.ready_at is null then
            return pg_catalog.jsonb_build_array(holder.id, 'kept', holder.status, null);
          elsif on_conflict = 'postpone' then
            update %1$I.job_queue job
            set run_at = moved,
                updated_at = pg_catalog.now(),
                next_attempt_at = case when job.status::text = 'failed'
                  then greatest(job.next_attempt_at, moved) else job.next_attempt_at end
            where job.id = holder.id;
            exit when not found;
            return pg_catalog.jsonb_build_array(holder.id, 'postponed', holder.status, null);
          end if;

          if is_in_window then
            delete from %1$I.job_queue_windows held_before
            where held_before.job_type::text = held.job_type::text
              and held_before.idempotency_key::text = held.idempotency_key::text;
          end if;
          if is_there then
            is_lost := holder.lease_expires_at > holder.locked_at and holder.lease_expires_at <= pg_catalog.now();
            update %1$I.job_queue job
            set status = case
                  when job.status::text = 'pending' or job.ready_at is not null then 'cancelled'
                  when job.status::text = 'processing' and is_lost then 'cancelled'
                  else job.status end,
                cancel_requested_at = case when job.status::text = 'processing' then pg_catalog.now() end,
                idempotency_hold = 'released',
                updated_at = pg_catalog.now()
            where job.id = holder.id;
            exit when not found;
            if holder.status::text = 'processing' and is_lost is not true then
              asked_to_end := holder.id;
              perform pg_catalog.pg_notify(
                'pg_bg_job_queue',
                pg_catalog.json_build_object('schema', %1$L, 'cancel', holder.id)::text
              );
            end if;
          end if;
          outcome := 'superseded';
        end if;

        if window_ms is not null and is_keyed then
          insert into %1$I.job_queue_windows as held_before (job_type, idempotency_key, job_id, held_until)
          values (
            given.job_type, given.idempotency_key, 0,
            pg_catalog.now() + window_ms * interval '1 millisecond'
          )
          on conflict (job_type, idempotency_key) do update
          set job_id = excluded.job_id, held_until = excluded.held_until
          where held_before.held_until <= pg_catalog.now();
          continue when not found;
          -- Some of the windows that have ended go: more than come, so that few are left.
          delete from %1$I.job_queue_windows past
          where past.ctid = any (array(
            select ended.ctid from %1$I.job_queue_windows ended
            where ended.held_until > '-infinity' and ended.held_until <= pg_catalog.now()
            order by ended.held_until
            limit 4
            for update skip locked
          ));
        end if;
        insert into %1$I.job_queue (
          job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor,
          retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold
        )
        values (
          given.job_type, job_queue_add.payload, given.max_attempts, given.priority, given.run_at,
          given.timeout_ms, given.retry_delay_ms, given.retry_factor, given.retry_max_delay_ms,
          given.dead_letter_job_type, given.idempotency_key, given.idempotency_hold
        )
        on conflict (job_type, idempotency_key) where idempotency_key is not null and case coalesce(idempotency_hold, 'unsettled')
                when 'unsettled' then status::text = 'pending' or status::text = 'processing'
                  or status::text = 'failed' and attempts < max_attempts and next_attempt_at is not null
                when 'queued' then status::text = 'pending' and attempts = 0 and snoozes is null
                when 'row' then true
                else false end do nothing
        returning job_queue.id into added_id;
        if found then
          if window_ms is not null and is_keyed then
            update %1$I.job_queue_windows held_now
            set job_id = added_id
            where held_now.job_type::text = given.job_type::text
              and held_now.idempotency_key::text = given.idempotency_key::text;
          end if;
          return pg_catalog.jsonb_build_array(added_id, outcome, 'pending', asked_to_end);
        end if;
        -- Somebody has added the key meanwhile, or a trigger keeps the job out.
        unexplained := unexplained + 1;
        exit when not is_keyed or window_ms is not null or unexplained > 5;
      end loop;
      raise 'kept out of job_queue' using errcode = '02000';
    end
    $function$
  $statement$, pg_catalog.current_schema());
end
$migration$;

-- Adds a job from SQL: from triggers, from psql, from other languages. Its parameters, its defaults and its
-- checks are those of the API's addJob; a failed check has the SQLSTATE 22023. It runs with the
-- rights of its caller, who needs the same grants as addJob: see docs/transactions.md.
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
      dead_letter_job_type text default null,
      idempotency_key text default null,
      idempotency_hold text default null,
      on_conflict text default 'keep',
      max_wait_ms bigint default null
    )
    returns bigint
    language plpgsql
    security invoker
    set search_path = %1$I, pg_temp
    as $function$
    declare
      payload_bytes integer;
      answer jsonb;
      holder_id bigint;
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
      elsif pg_catalog.char_length(add_job.idempotency_key) not between 1 and 255 then
        raise 'add_job: idempotency_key must have 1 to 255 characters'
          using errcode = 'invalid_parameter_value';
      elsif add_job.idempotency_hold not in ('queued', 'unsettled', 'row') and not (case
        when add_job.idempotency_hold ~ '^[1-9][0-9]{0,12}$' then add_job.idempotency_hold::bigint <= 3155760000000
        else false end) then
        raise 'add_job: idempotency_hold must be queued, unsettled, row, or 1 to 3155760000000 milliseconds'
          using errcode = 'invalid_parameter_value';
      elsif (add_job.on_conflict in ('keep', 'replace', 'postpone', 'supersede', 'reject')) is not true then
        raise 'add_job: on_conflict must be keep, replace, postpone, supersede or reject'
          using errcode = 'invalid_parameter_value';
      elsif add_job.on_conflict <> 'keep' and add_job.idempotency_key is null then
        raise 'add_job: on_conflict needs an idempotency_key' using errcode = 'invalid_parameter_value';
      elsif add_job.max_wait_ms not between 0 and 3155760000000 then
        raise 'add_job: max_wait_ms must be between 0 and 3155760000000'
          using errcode = 'invalid_parameter_value';
      elsif add_job.max_wait_ms is not null and add_job.on_conflict not in ('replace', 'postpone') then
        raise 'add_job: max_wait_ms needs on_conflict replace or postpone'
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

      if add_job.idempotency_key is null then
        -- It needs no right but to insert.
        insert into %1$I.job_queue (
          job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor,
          retry_max_delay_ms, dead_letter_job_type
        )
        values (
          add_job.job_type, add_job.payload, add_job.max_attempts, add_job.priority,
          coalesce(add_job.run_at, pg_catalog.now()), add_job.timeout_ms,
          add_job.retry_delay_ms, add_job.retry_factor, add_job.retry_max_delay_ms,
          add_job.dead_letter_job_type
        )
        returning id into holder_id;
      else
        answer := %1$I.job_queue_add(
          pg_catalog.jsonb_build_object(
            'job_type', add_job.job_type,
            'max_attempts', add_job.max_attempts,
            'priority', add_job.priority,
            'run_at', coalesce(add_job.run_at, pg_catalog.now()),
            'timeout_ms', add_job.timeout_ms,
            'retry_delay_ms', add_job.retry_delay_ms,
            'retry_factor', add_job.retry_factor,
            'retry_max_delay_ms', add_job.retry_max_delay_ms,
            'dead_letter_job_type', add_job.dead_letter_job_type,
            'idempotency_key', add_job.idempotency_key,
            'idempotency_hold', add_job.idempotency_hold
          ),
          add_job.payload, add_job.on_conflict, add_job.max_wait_ms
        );
        holder_id := answer ->> 0;
        if answer ->> 1 = 'rejected' then
          raise 'add_job: job %% holds the key', holder_id using errcode = 'unique_violation';
        end if;
      end if;

      if coalesce(add_job.run_at <= pg_catalog.now(), true) then
        -- Heard by idle workers when the transaction is committed.
        perform pg_catalog.pg_notify(
          'pg_bg_job_queue',
          pg_catalog.json_build_object('schema', %1$L, 'ready', true)::text
        );
      end if;
      return holder_id;
    end
    $function$
  $statement$, pg_catalog.current_schema());

  -- Drops the functions of other versions, which took other options: those that this transaction has not written.
  for former in
    select function.oid::regprocedure from pg_catalog.pg_proc function
    where function.pronamespace = pg_catalog.to_regnamespace(
        pg_catalog.quote_ident(pg_catalog.current_schema()::text)
      )::oid
      and (
        function.proname::text = 'add_job' and function.proargnames[1] = 'job_type'
        or function.proname::text = 'job_queue_add' and function.proargnames[1] = 'options'
      )
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
      and (
        function.proname::text = 'add_job' and function.proargnames[1] = 'job_type'
        or function.proname::text = 'job_queue_add' and function.proargnames[1] = 'options'
      )
  loop
    execute 'drop function ' || applied::text;
  end loop;
end
$migration$;
