-- claim: all types, from the beginning
-- $1 below
-- $2 tries_locks
-- $3 limit
-- $4 worker
-- $5 lease_ms
-- $6 token
with recursive lane (priority, began_at, step) as (
                select $1::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0
                union all
                select (
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority
                order by job.priority desc limit 1
            ), lane.began_at, lane.step + 1
                from lane
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.ready_at < 'infinity' and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $2::boolean)
                    order by job.ready_at, job.id
                    limit $3
                    for no key update skip locked
                ) job
                limit $3
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $4::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $5::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $6::bigint
                            else - $6::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            ) select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed cross join (
                select pg_catalog.set_config('synchronous_commit', 'off', true)
            ) unflushed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $3::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- claim: all types, from the cursor
-- $1 passed_priorities
-- $2 passed_times
-- $3 passed_ids
-- $4 below
-- $5 tries_locks
-- $6 limit
-- $7 worker
-- $8 lease_ms
-- $9 token
with recursive passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $4::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.ready_at < 'infinity' and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $5::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $6
                    for no key update skip locked
                ) job
                limit $6
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $7::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $8::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $9::bigint
                            else - $9::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            ) select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed cross join (
                select pg_catalog.set_config('synchronous_commit', 'off', true)
            ) unflushed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $6::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (completed, kept) and claim: all types
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 passed_priorities
-- $4 passed_times
-- $5 passed_ids
-- $6 below
-- $7 tries_locks
-- $8 limit
-- $9 worker
-- $10 lease_ms
-- $11 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                update "public"."job_queue" job
                set status = 'completed', updated_at = now(), next_attempt_at = null, pending_reason = null,
                    failure_reason = null, lease_expires_at = null, claim_token = null, refusals = null
                from ended where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::bigint[]),
                    pg_catalog.unnest($5::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $6::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.ready_at < 'infinity' and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $7::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $8
                    for no key update skip locked
                ) job
                limit $8
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $9::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $10::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $11::bigint
                            else - $11::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $8::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (completed, removed) and claim: all types
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 passed_priorities
-- $4 passed_times
-- $5 passed_ids
-- $6 below
-- $7 tries_locks
-- $8 limit
-- $9 worker
-- $10 lease_ms
-- $11 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                delete from "public"."job_queue" job using ended where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::bigint[]),
                    pg_catalog.unnest($5::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $6::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.ready_at < 'infinity' and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $7::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $8
                    for no key update skip locked
                ) job
                limit $8
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $9::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $10::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $11::bigint
                            else - $11::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $8::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (any) and claim: all types
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 outcomes
-- $4 entries
-- $5 pending_reasons
-- $6 retries
-- $7 failure_reasons
-- $8 sent_before
-- $9 passed_priorities
-- $10 passed_times
-- $11 passed_ids
-- $12 below
-- $13 tries_locks
-- $14 limit
-- $15 worker
-- $16 lease_ms
-- $17 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[]),
                    pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::text[])
                ) as ended (id, run_no, outcome, entry, pending_reason, retry, failure_reason)
            ),
            settled as (
                update "public"."job_queue" job
                set status = case
                        when ended.outcome <> 'completed' and job.cancel_requested_at is not null
                        then 'cancelled'
                        when ended.outcome in ('behind', 'snoozed') then 'pending'
                        when ended.outcome = 'unfinished' then
                            case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                        when ended.outcome in ('refused', 'due', 'snoozed as failed') then 'failed'
                        else ended.outcome end,
                    updated_at = now(),
                    attempts = case
                        when ended.outcome in ('pending', 'behind', 'snoozed', 'snoozed as failed')
                            or ended.outcome = 'due' and ended.entry is null
                        then greatest(job.attempts - (coalesce(job.claim_token, 1::bigint) > 0::bigint)::int, 0)
                        when ended.outcome = 'refused' then greatest(job.attempts, job.max_attempts)
                        else job.attempts end,
                    next_attempt_at = case
                        when job.cancel_requested_at is not null then null
                        when ended.outcome = 'failed' and job.attempts < job.max_attempts
                        then case
                            when (ended.retry::jsonb ->> 'never'::text) is not null then null
                            when coalesce((ended.retry::jsonb ->> 'at'::text)::double precision, (ended.retry::jsonb ->> 'after'::text)::double precision) is not null then greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            )
                            when coalesce(ended.retry, job.retry_delay_ms::text, job.retry_factor::text, job.retry_max_delay_ms::text) is null
                            then now() + pg_catalog.power(
                                2::double precision, greatest(least(job.attempts, 30), 0)::double precision
                            ) * interval '1 minute'
                            else now() + least(
                                greatest(least(coalesce(job.retry_max_delay_ms::double precision, (ended.retry::jsonb ->> 'maxDelay'::text)::double precision, 3600000::double precision), 2147483647::double precision), 0::double precision),
                                greatest(least(coalesce(job.retry_delay_ms::double precision, (ended.retry::jsonb ->> 'delay'::text)::double precision, 1000::double precision), 2147483647::double precision), 0::double precision) * pg_catalog.exp(least(
                                    pg_catalog.ln(greatest(least(coalesce(job.retry_factor::double precision, (ended.retry::jsonb ->> 'factor'::text)::double precision, 2::double precision), 1000::double precision), 1::double precision)) * greatest(job.attempts - 1, 0)::double precision,
                                    600::double precision
                                ))
                            ) * (1::double precision - greatest(least(coalesce(null::double precision, (ended.retry::jsonb ->> 'jitter'::text)::double precision, 0.25::double precision), 1::double precision), 0::double precision) * pg_catalog.random()) * interval '1 millisecond'
                            end
                        when ended.outcome in ('snoozed', 'snoozed as failed') then greatest(greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            ), now() + interval '1 second')
                        when ended.outcome in ('behind', 'due') then now()
                        when ended.outcome = 'unfinished' and job.attempts < job.max_attempts then now()
                        end,
                    snoozes = case when ended.outcome in ('snoozed', 'snoozed as failed')
                        then greatest(least(coalesce(job.snoozes, 0), 2147483646), 0) + 1 else job.snoozes end,
                    pending_reason = ended.pending_reason,
                    failure_reason = case when ended.outcome = 'completed' then null
                        else coalesce(ended.failure_reason, job.failure_reason) end,
                    error_history = case
                        when ended.entry is not null and (
                            ended.failure_reason is not null
                            or job.error_history -> -1 ->> 'name'::text <> 'WorkerLost'
                        ) is not false then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((ended.entry::jsonb || pg_catalog.jsonb_build_object('attempt', job.attempts)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end,
                    locked_at = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_at end,
                    locked_by = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_by end,
                    lease_expires_at = null,
                    claim_token = null,
                    refusals = null
                from ended ended
                where ended.outcome <> 'removed'
                    and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ),
            removed as (
                delete from "public"."job_queue" job using ended ended
                where ended.outcome = 'removed'
                    and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ),
            written as (
                select ended.id, ended.run_no from ended
                where $8::boolean and case ended.outcome
                    when 'removed' then not exists (
                        select from "public"."job_queue" job where job.id = any (array[ended.id])
                    )
                    else exists (
                        select from "public"."job_queue" job
                        where job.id = any (array[ended.id])
                            and job.run_no = ended.run_no
                            and (
                                job.status::text = case ended.outcome
                                    when 'behind' then 'pending'
                                    when 'snoozed' then 'pending'
                                    when 'snoozed as failed' then 'failed'
                                    when 'unfinished' then
                                        case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                                    when 'refused' then 'failed'
                                    when 'due' then 'failed'
                                    else ended.outcome end
                                or (job.status::text = 'cancelled' and ended.outcome <> 'completed')
                            ) is true
                    ) end
            ),
            settled_rows as (
                select id, run_no from settled union all select * from removed union all select * from written
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($9::bigint[]), pg_catalog.unnest($10::bigint[]),
                    pg_catalog.unnest($11::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $12::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.ready_at < 'infinity' and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $13::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $14
                    for no key update skip locked
                ) job
                limit $14
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $15::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $16::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $17::bigint
                            else - $17::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $14::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- list what is due: all types
-- $1 below
-- $2 aside
-- $3 limit
with recursive lane (priority, began_at, step) as (
                select $1::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0
                union all
                select (
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority
                order by job.priority desc limit 1
            ), lane.began_at, lane.step + 1
                from lane
                where lane.priority is not null and lane.step < 1000
            ) select job.id::bigint from lane cross join lateral (
                    select job.id from "public"."job_queue" job
                    where job.ready_at < 'infinity' and job.priority = lane.priority
                        and job.ready_at <= now() and job.id <> all ($2::bigint[])
                    order by job.ready_at, job.id
                    limit $3::bigint
                ) job
                limit $3::bigint;

-- claim these
-- $1 ids
-- $2 limit
-- $3 worker
-- $4 lease_ms
-- $5 token
with due as (
                        select job.* from pg_catalog.unnest($1::bigint[]) as named (id) cross join lateral (
                            select job.id, job.ready_at, (pg_catalog.date_part('epoch', now()) * 1000000::double precision)::bigint as began_at, now() as found_at,
                                case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null
                                    then 'failed' else 'processing' end as fate
                            from "public"."job_queue" job
                            where job.id = any (array[named.id]) and (job.ready_at <= now()) is true
                            for no key update skip locked
                        ) job
                        limit $2::bigint
                    ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $3::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $4::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $5::bigint
                            else - $5::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            ) select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then null::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select id::bigint, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            from due where id not in (select id from claimed);

-- claim: one type, from the beginning
-- $1 below
-- $2 types
-- $3 tries_locks
-- $4 limit
-- $5 worker
-- $6 lease_ms
-- $7 token
with recursive lane (priority, began_at, step) as (
                select $1::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0
                union all
                select (
                select job.priority from "public"."job_queue" job
                where job.job_type::text = ($2::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority
                order by job.priority desc limit 1
            ), lane.began_at, lane.step + 1
                from lane
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.job_type::text = ($2::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $3::boolean)
                    order by job.ready_at, job.id
                    limit $4
                    for no key update skip locked
                ) job
                limit $4
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $5::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $6::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $7::bigint
                            else - $7::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            ) select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed cross join (
                select pg_catalog.set_config('synchronous_commit', 'off', true)
            ) unflushed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $4::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- claim: one type, from the cursor
-- $1 passed_priorities
-- $2 passed_times
-- $3 passed_ids
-- $4 below
-- $5 types
-- $6 tries_locks
-- $7 limit
-- $8 worker
-- $9 lease_ms
-- $10 token
with recursive passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $4::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = ($5::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.job_type::text = ($5::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $6::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $7
                    for no key update skip locked
                ) job
                limit $7
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $8::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $9::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $10::bigint
                            else - $10::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            ) select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed cross join (
                select pg_catalog.set_config('synchronous_commit', 'off', true)
            ) unflushed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $7::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (completed, kept) and claim: one type
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 passed_priorities
-- $4 passed_times
-- $5 passed_ids
-- $6 below
-- $7 types
-- $8 tries_locks
-- $9 limit
-- $10 worker
-- $11 lease_ms
-- $12 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                update "public"."job_queue" job
                set status = 'completed', updated_at = now(), next_attempt_at = null, pending_reason = null,
                    failure_reason = null, lease_expires_at = null, claim_token = null, refusals = null
                from ended where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::bigint[]),
                    pg_catalog.unnest($5::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $6::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = ($7::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.job_type::text = ($7::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $8::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $9
                    for no key update skip locked
                ) job
                limit $9
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $10::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $11::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $12::bigint
                            else - $12::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $9::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (completed, removed) and claim: one type
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 passed_priorities
-- $4 passed_times
-- $5 passed_ids
-- $6 below
-- $7 types
-- $8 tries_locks
-- $9 limit
-- $10 worker
-- $11 lease_ms
-- $12 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                delete from "public"."job_queue" job using ended where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::bigint[]),
                    pg_catalog.unnest($5::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $6::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = ($7::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.job_type::text = ($7::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $8::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $9
                    for no key update skip locked
                ) job
                limit $9
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $10::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $11::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $12::bigint
                            else - $12::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $9::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (any) and claim: one type
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 outcomes
-- $4 entries
-- $5 pending_reasons
-- $6 retries
-- $7 failure_reasons
-- $8 sent_before
-- $9 passed_priorities
-- $10 passed_times
-- $11 passed_ids
-- $12 below
-- $13 types
-- $14 tries_locks
-- $15 limit
-- $16 worker
-- $17 lease_ms
-- $18 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[]),
                    pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::text[])
                ) as ended (id, run_no, outcome, entry, pending_reason, retry, failure_reason)
            ),
            settled as (
                update "public"."job_queue" job
                set status = case
                        when ended.outcome <> 'completed' and job.cancel_requested_at is not null
                        then 'cancelled'
                        when ended.outcome in ('behind', 'snoozed') then 'pending'
                        when ended.outcome = 'unfinished' then
                            case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                        when ended.outcome in ('refused', 'due', 'snoozed as failed') then 'failed'
                        else ended.outcome end,
                    updated_at = now(),
                    attempts = case
                        when ended.outcome in ('pending', 'behind', 'snoozed', 'snoozed as failed')
                            or ended.outcome = 'due' and ended.entry is null
                        then greatest(job.attempts - (coalesce(job.claim_token, 1::bigint) > 0::bigint)::int, 0)
                        when ended.outcome = 'refused' then greatest(job.attempts, job.max_attempts)
                        else job.attempts end,
                    next_attempt_at = case
                        when job.cancel_requested_at is not null then null
                        when ended.outcome = 'failed' and job.attempts < job.max_attempts
                        then case
                            when (ended.retry::jsonb ->> 'never'::text) is not null then null
                            when coalesce((ended.retry::jsonb ->> 'at'::text)::double precision, (ended.retry::jsonb ->> 'after'::text)::double precision) is not null then greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            )
                            when coalesce(ended.retry, job.retry_delay_ms::text, job.retry_factor::text, job.retry_max_delay_ms::text) is null
                            then now() + pg_catalog.power(
                                2::double precision, greatest(least(job.attempts, 30), 0)::double precision
                            ) * interval '1 minute'
                            else now() + least(
                                greatest(least(coalesce(job.retry_max_delay_ms::double precision, (ended.retry::jsonb ->> 'maxDelay'::text)::double precision, 3600000::double precision), 2147483647::double precision), 0::double precision),
                                greatest(least(coalesce(job.retry_delay_ms::double precision, (ended.retry::jsonb ->> 'delay'::text)::double precision, 1000::double precision), 2147483647::double precision), 0::double precision) * pg_catalog.exp(least(
                                    pg_catalog.ln(greatest(least(coalesce(job.retry_factor::double precision, (ended.retry::jsonb ->> 'factor'::text)::double precision, 2::double precision), 1000::double precision), 1::double precision)) * greatest(job.attempts - 1, 0)::double precision,
                                    600::double precision
                                ))
                            ) * (1::double precision - greatest(least(coalesce(null::double precision, (ended.retry::jsonb ->> 'jitter'::text)::double precision, 0.25::double precision), 1::double precision), 0::double precision) * pg_catalog.random()) * interval '1 millisecond'
                            end
                        when ended.outcome in ('snoozed', 'snoozed as failed') then greatest(greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            ), now() + interval '1 second')
                        when ended.outcome in ('behind', 'due') then now()
                        when ended.outcome = 'unfinished' and job.attempts < job.max_attempts then now()
                        end,
                    snoozes = case when ended.outcome in ('snoozed', 'snoozed as failed')
                        then greatest(least(coalesce(job.snoozes, 0), 2147483646), 0) + 1 else job.snoozes end,
                    pending_reason = ended.pending_reason,
                    failure_reason = case when ended.outcome = 'completed' then null
                        else coalesce(ended.failure_reason, job.failure_reason) end,
                    error_history = case
                        when ended.entry is not null and (
                            ended.failure_reason is not null
                            or job.error_history -> -1 ->> 'name'::text <> 'WorkerLost'
                        ) is not false then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((ended.entry::jsonb || pg_catalog.jsonb_build_object('attempt', job.attempts)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end,
                    locked_at = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_at end,
                    locked_by = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_by end,
                    lease_expires_at = null,
                    claim_token = null,
                    refusals = null
                from ended ended
                where ended.outcome <> 'removed'
                    and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ),
            removed as (
                delete from "public"."job_queue" job using ended ended
                where ended.outcome = 'removed'
                    and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ),
            written as (
                select ended.id, ended.run_no from ended
                where $8::boolean and case ended.outcome
                    when 'removed' then not exists (
                        select from "public"."job_queue" job where job.id = any (array[ended.id])
                    )
                    else exists (
                        select from "public"."job_queue" job
                        where job.id = any (array[ended.id])
                            and job.run_no = ended.run_no
                            and (
                                job.status::text = case ended.outcome
                                    when 'behind' then 'pending'
                                    when 'snoozed' then 'pending'
                                    when 'snoozed as failed' then 'failed'
                                    when 'unfinished' then
                                        case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                                    when 'refused' then 'failed'
                                    when 'due' then 'failed'
                                    else ended.outcome end
                                or (job.status::text = 'cancelled' and ended.outcome <> 'completed')
                            ) is true
                    ) end
            ),
            settled_rows as (
                select id, run_no from settled union all select * from removed union all select * from written
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($9::bigint[]), pg_catalog.unnest($10::bigint[]),
                    pg_catalog.unnest($11::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $12::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = ($13::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                    where job.job_type::text = ($13::text[])[1] and job.job_type::text >= '' and job.ready_at is not null and job.priority = lane.priority and job.ready_at <= now()
                        and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $14::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $15
                    for no key update skip locked
                ) job
                limit $15
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $16::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $17::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $18::bigint
                            else - $18::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $15::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- list what is due: one type
-- $1 below
-- $2 aside
-- $3 types
-- $4 limit
with recursive lane (priority, began_at, step) as (
                select $1::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0
                union all
                select (
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority
                order by job.priority desc limit 1
            ), lane.began_at, lane.step + 1
                from lane
                where lane.priority is not null and lane.step < 1000
            ) select job.id::bigint from lane cross join lateral (
                    select job.id from "public"."job_queue" job
                    where job.ready_at < 'infinity' and job.priority = lane.priority
                        and job.ready_at <= now() and job.id <> all ($2::bigint[]) and job.job_type::text = any ($3::text[])
                    order by job.ready_at, job.id
                    limit $4::bigint
                ) job
                limit $4::bigint;

-- claim: several types, from the beginning
-- $1 below
-- $2 types
-- $3 tries_locks
-- $4 limit
-- $5 worker
-- $6 lease_ms
-- $7 token
with recursive lane (priority, began_at, step) as (
                select $1::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0
                union all
                select (
                select pg_catalog.max(top.priority) from pg_catalog.unnest($2::text[]) type (name)
                cross join lateral ((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = type.name and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority
                order by job.priority desc limit 1
            )) top
            ), lane.began_at, lane.step + 1
                from lane
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id, offered.number from pg_catalog.unnest($2::text[]) type (name)
                        cross join lateral (
                            select job.id, job.ready_at, pg_catalog.row_number() over () as number
                            from (
                                select job.id, job.ready_at from "public"."job_queue" job
                                where job.job_type::text = type.name and job.job_type::text >= ''
                                    and job.priority = lane.priority
                                    and job.ready_at is not null and job.ready_at <= now()
                                    and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $3::boolean)
                                order by job.ready_at, job.id
                                limit $4 * 4::bigint + 100::bigint
                            ) job
                        ) offered
                        order by offered.ready_at, offered.id
                    ) candidate
                    cross join lateral (
                        select * from (
                            select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                            where job.id = any (array[candidate.id])
                                and (job.ready_at <= now()) is true
                            for no key update skip locked
                        ) locked
                        union all
                        select null, null, lane.began_at, clock_timestamp(), 'more'
                        where candidate.number = $4 * 4::bigint + 100::bigint
                    ) locked
                    limit $4
                ) job
                limit $4
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $5::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $6::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $7::bigint
                            else - $7::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            ) select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed cross join (
                select pg_catalog.set_config('synchronous_commit', 'off', true)
            ) unflushed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $4::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- claim: several types, from the cursor
-- $1 passed_priorities
-- $2 passed_times
-- $3 passed_ids
-- $4 below
-- $5 types
-- $6 tries_locks
-- $7 limit
-- $8 worker
-- $9 lease_ms
-- $10 token
with recursive passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $4::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select pg_catalog.max(top.priority) from pg_catalog.unnest($5::text[]) type (name)
                cross join lateral ((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = type.name and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            )) top
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id, offered.number from pg_catalog.unnest($5::text[]) type (name)
                        cross join lateral (
                            select job.id, job.ready_at, pg_catalog.row_number() over () as number
                            from (
                                select job.id, job.ready_at from "public"."job_queue" job
                                where job.job_type::text = type.name and job.job_type::text >= ''
                                    and job.priority = lane.priority
                                    and job.ready_at is not null and job.ready_at <= now()
                                    and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $6::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                                order by job.ready_at, job.id
                                limit $7 * 4::bigint + 100::bigint
                            ) job
                        ) offered
                        order by offered.ready_at, offered.id
                    ) candidate
                    cross join lateral (
                        select * from (
                            select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                            where job.id = any (array[candidate.id])
                                and (job.ready_at <= now()) is true
                            for no key update skip locked
                        ) locked
                        union all
                        select null, null, lane.began_at, clock_timestamp(), 'more'
                        where candidate.number = $7 * 4::bigint + 100::bigint
                    ) locked
                    limit $7
                ) job
                limit $7
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $8::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $9::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $10::bigint
                            else - $10::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            ) select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed cross join (
                select pg_catalog.set_config('synchronous_commit', 'off', true)
            ) unflushed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $7::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (completed, kept) and claim: several types
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 passed_priorities
-- $4 passed_times
-- $5 passed_ids
-- $6 below
-- $7 types
-- $8 tries_locks
-- $9 limit
-- $10 worker
-- $11 lease_ms
-- $12 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                update "public"."job_queue" job
                set status = 'completed', updated_at = now(), next_attempt_at = null, pending_reason = null,
                    failure_reason = null, lease_expires_at = null, claim_token = null, refusals = null
                from ended where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::bigint[]),
                    pg_catalog.unnest($5::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $6::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select pg_catalog.max(top.priority) from pg_catalog.unnest($7::text[]) type (name)
                cross join lateral ((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = type.name and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            )) top
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id, offered.number from pg_catalog.unnest($7::text[]) type (name)
                        cross join lateral (
                            select job.id, job.ready_at, pg_catalog.row_number() over () as number
                            from (
                                select job.id, job.ready_at from "public"."job_queue" job
                                where job.job_type::text = type.name and job.job_type::text >= ''
                                    and job.priority = lane.priority
                                    and job.ready_at is not null and job.ready_at <= now()
                                    and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $8::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                                order by job.ready_at, job.id
                                limit $9 * 4::bigint + 100::bigint
                            ) job
                        ) offered
                        order by offered.ready_at, offered.id
                    ) candidate
                    cross join lateral (
                        select * from (
                            select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                            where job.id = any (array[candidate.id])
                                and (job.ready_at <= now()) is true
                            for no key update skip locked
                        ) locked
                        union all
                        select null, null, lane.began_at, clock_timestamp(), 'more'
                        where candidate.number = $9 * 4::bigint + 100::bigint
                    ) locked
                    limit $9
                ) job
                limit $9
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $10::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $11::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $12::bigint
                            else - $12::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $9::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (completed, removed) and claim: several types
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 passed_priorities
-- $4 passed_times
-- $5 passed_ids
-- $6 below
-- $7 types
-- $8 tries_locks
-- $9 limit
-- $10 worker
-- $11 lease_ms
-- $12 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                delete from "public"."job_queue" job using ended where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($3::bigint[]), pg_catalog.unnest($4::bigint[]),
                    pg_catalog.unnest($5::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $6::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select pg_catalog.max(top.priority) from pg_catalog.unnest($7::text[]) type (name)
                cross join lateral ((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = type.name and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            )) top
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id, offered.number from pg_catalog.unnest($7::text[]) type (name)
                        cross join lateral (
                            select job.id, job.ready_at, pg_catalog.row_number() over () as number
                            from (
                                select job.id, job.ready_at from "public"."job_queue" job
                                where job.job_type::text = type.name and job.job_type::text >= ''
                                    and job.priority = lane.priority
                                    and job.ready_at is not null and job.ready_at <= now()
                                    and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $8::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                                order by job.ready_at, job.id
                                limit $9 * 4::bigint + 100::bigint
                            ) job
                        ) offered
                        order by offered.ready_at, offered.id
                    ) candidate
                    cross join lateral (
                        select * from (
                            select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                            where job.id = any (array[candidate.id])
                                and (job.ready_at <= now()) is true
                            for no key update skip locked
                        ) locked
                        union all
                        select null, null, lane.began_at, clock_timestamp(), 'more'
                        where candidate.number = $9 * 4::bigint + 100::bigint
                    ) locked
                    limit $9
                ) job
                limit $9
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $10::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $11::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $12::bigint
                            else - $12::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $9::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- settle (any) and claim: several types
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 outcomes
-- $4 entries
-- $5 pending_reasons
-- $6 retries
-- $7 failure_reasons
-- $8 sent_before
-- $9 passed_priorities
-- $10 passed_times
-- $11 passed_ids
-- $12 below
-- $13 types
-- $14 tries_locks
-- $15 limit
-- $16 worker
-- $17 lease_ms
-- $18 token
with recursive ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[]),
                    pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::text[])
                ) as ended (id, run_no, outcome, entry, pending_reason, retry, failure_reason)
            ),
            settled as (
                update "public"."job_queue" job
                set status = case
                        when ended.outcome <> 'completed' and job.cancel_requested_at is not null
                        then 'cancelled'
                        when ended.outcome in ('behind', 'snoozed') then 'pending'
                        when ended.outcome = 'unfinished' then
                            case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                        when ended.outcome in ('refused', 'due', 'snoozed as failed') then 'failed'
                        else ended.outcome end,
                    updated_at = now(),
                    attempts = case
                        when ended.outcome in ('pending', 'behind', 'snoozed', 'snoozed as failed')
                            or ended.outcome = 'due' and ended.entry is null
                        then greatest(job.attempts - (coalesce(job.claim_token, 1::bigint) > 0::bigint)::int, 0)
                        when ended.outcome = 'refused' then greatest(job.attempts, job.max_attempts)
                        else job.attempts end,
                    next_attempt_at = case
                        when job.cancel_requested_at is not null then null
                        when ended.outcome = 'failed' and job.attempts < job.max_attempts
                        then case
                            when (ended.retry::jsonb ->> 'never'::text) is not null then null
                            when coalesce((ended.retry::jsonb ->> 'at'::text)::double precision, (ended.retry::jsonb ->> 'after'::text)::double precision) is not null then greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            )
                            when coalesce(ended.retry, job.retry_delay_ms::text, job.retry_factor::text, job.retry_max_delay_ms::text) is null
                            then now() + pg_catalog.power(
                                2::double precision, greatest(least(job.attempts, 30), 0)::double precision
                            ) * interval '1 minute'
                            else now() + least(
                                greatest(least(coalesce(job.retry_max_delay_ms::double precision, (ended.retry::jsonb ->> 'maxDelay'::text)::double precision, 3600000::double precision), 2147483647::double precision), 0::double precision),
                                greatest(least(coalesce(job.retry_delay_ms::double precision, (ended.retry::jsonb ->> 'delay'::text)::double precision, 1000::double precision), 2147483647::double precision), 0::double precision) * pg_catalog.exp(least(
                                    pg_catalog.ln(greatest(least(coalesce(job.retry_factor::double precision, (ended.retry::jsonb ->> 'factor'::text)::double precision, 2::double precision), 1000::double precision), 1::double precision)) * greatest(job.attempts - 1, 0)::double precision,
                                    600::double precision
                                ))
                            ) * (1::double precision - greatest(least(coalesce(null::double precision, (ended.retry::jsonb ->> 'jitter'::text)::double precision, 0.25::double precision), 1::double precision), 0::double precision) * pg_catalog.random()) * interval '1 millisecond'
                            end
                        when ended.outcome in ('snoozed', 'snoozed as failed') then greatest(greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            ), now() + interval '1 second')
                        when ended.outcome in ('behind', 'due') then now()
                        when ended.outcome = 'unfinished' and job.attempts < job.max_attempts then now()
                        end,
                    snoozes = case when ended.outcome in ('snoozed', 'snoozed as failed')
                        then greatest(least(coalesce(job.snoozes, 0), 2147483646), 0) + 1 else job.snoozes end,
                    pending_reason = ended.pending_reason,
                    failure_reason = case when ended.outcome = 'completed' then null
                        else coalesce(ended.failure_reason, job.failure_reason) end,
                    error_history = case
                        when ended.entry is not null and (
                            ended.failure_reason is not null
                            or job.error_history -> -1 ->> 'name'::text <> 'WorkerLost'
                        ) is not false then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((ended.entry::jsonb || pg_catalog.jsonb_build_object('attempt', job.attempts)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end,
                    locked_at = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_at end,
                    locked_by = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_by end,
                    lease_expires_at = null,
                    claim_token = null,
                    refusals = null
                from ended ended
                where ended.outcome <> 'removed'
                    and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ),
            removed as (
                delete from "public"."job_queue" job using ended ended
                where ended.outcome = 'removed'
                    and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ),
            written as (
                select ended.id, ended.run_no from ended
                where $8::boolean and case ended.outcome
                    when 'removed' then not exists (
                        select from "public"."job_queue" job where job.id = any (array[ended.id])
                    )
                    else exists (
                        select from "public"."job_queue" job
                        where job.id = any (array[ended.id])
                            and job.run_no = ended.run_no
                            and (
                                job.status::text = case ended.outcome
                                    when 'behind' then 'pending'
                                    when 'snoozed' then 'pending'
                                    when 'snoozed as failed' then 'failed'
                                    when 'unfinished' then
                                        case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                                    when 'refused' then 'failed'
                                    when 'due' then 'failed'
                                    else ended.outcome end
                                or (job.status::text = 'cancelled' and ended.outcome <> 'completed')
                            ) is true
                    ) end
            ),
            settled_rows as (
                select id, run_no from settled union all select * from removed union all select * from written
            ), passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest($9::bigint[]), pg_catalog.unnest($10::bigint[]),
                    pg_catalog.unnest($11::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            lane (priority, began_at, step, ready_at, id) as (
                select $12::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0, timestamptz '-infinity', 0::bigint
                union all
                select next.priority, lane.began_at, lane.step + 1, coalesce(passed.ready_at, '-infinity'),
                    coalesce(passed.id, -9223372036854775808)
                from lane
                cross join lateral (
                    select coalesce(max(passed.priority), -2147483649) as priority
                    from passed where passed.priority < lane.priority
                ) known
                cross join lateral (
                    select coalesce((
                select pg_catalog.max(top.priority) from pg_catalog.unnest($13::text[]) type (name)
                cross join lateral ((
                select job.priority from "public"."job_queue" job
                where job.job_type::text = type.name and job.job_type::text >= '' and job.ready_at is not null and job.priority < lane.priority and job.priority > known.priority
                order by job.priority desc limit 1
            )) top
            ), nullif(known.priority, -2147483649)) as priority
                    -- Keeps this from being merged into the outer query, which would look once for each use.
                    offset 0
                ) next
                left join passed on passed.priority = next.priority
                where lane.priority is not null and lane.step < 1000
            ),
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id, offered.number from pg_catalog.unnest($13::text[]) type (name)
                        cross join lateral (
                            select job.id, job.ready_at, pg_catalog.row_number() over () as number
                            from (
                                select job.id, job.ready_at from "public"."job_queue" job
                                where job.job_type::text = type.name and job.job_type::text >= ''
                                    and job.priority = lane.priority
                                    and job.ready_at is not null and job.ready_at <= now()
                                    and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) or $14::boolean) and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                                order by job.ready_at, job.id
                                limit $15 * 4::bigint + 100::bigint
                            ) job
                        ) offered
                        order by offered.ready_at, offered.id
                    ) candidate
                    cross join lateral (
                        select * from (
                            select job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate from "public"."job_queue" job
                            where job.id = any (array[candidate.id])
                                and (job.ready_at <= now()) is true
                            for no key update skip locked
                        ) locked
                        union all
                        select null, null, lane.began_at, clock_timestamp(), 'more'
                        where candidate.number = $15 * 4::bigint + 100::bigint
                    ) locked
                    limit $15
                ) job
                limit $15
            ), claimed as (
                update "public"."job_queue" job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $16::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $17::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then $18::bigint
                            else - $18::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' || job.attempts::text || ' of ' || job.max_attempts::text || ' were made; retryJob grants one more')) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, null::int as attempts, null::int as max_attempts, null::int as priority, null::bigint as run_at, null::bigint as timeout_ms
            from settled_rows
            union all
            select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then 'processing, with a dead letter' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then (pg_catalog.date_part('epoch', ready_at) * 1000000::double precision)::bigint end as ready_at,
                (pg_catalog.date_part('epoch', found_at) * 1000000::double precision)::bigint - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then payload::text end as payload,
                attempts::int, max_attempts::int, priority::int, case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at, timeout_ms::bigint from claimed
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, null, null, null, null, null
            from lane
            where (select pg_catalog.count(*) from claimed) < $15::bigint and lane.step = 1000 and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, null, null, null, null, null
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, null, null, null, null, null
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed);

-- list what is due: several types
-- $1 below
-- $2 aside
-- $3 types
-- $4 limit
with recursive lane (priority, began_at, step) as (
                select $1::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0
                union all
                select (
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority
                order by job.priority desc limit 1
            ), lane.began_at, lane.step + 1
                from lane
                where lane.priority is not null and lane.step < 1000
            ) select job.id::bigint from lane cross join lateral (
                    select job.id from "public"."job_queue" job
                    where job.ready_at < 'infinity' and job.priority = lane.priority
                        and job.ready_at <= now() and job.id <> all ($2::bigint[]) and job.job_type::text = any ($3::text[])
                    order by job.ready_at, job.id
                    limit $4::bigint
                ) job
                limit $4::bigint;

-- settle (completed, kept)
-- $1 ended_ids
-- $2 ended_run_nos
with ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                update "public"."job_queue" job
                set status = 'completed', updated_at = now(), next_attempt_at = null, pending_reason = null,
                    failure_reason = null, lease_expires_at = null, claim_token = null, refusals = null
                from ended where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ) select id::bigint, run_no, 'settled' as fate from settled_rows;

-- settle (completed, removed)
-- $1 ended_ids
-- $2 ended_run_nos
with ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                delete from "public"."job_queue" job using ended where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ) select id::bigint, run_no, 'settled' as fate from settled_rows;

-- settle (any)
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 outcomes
-- $4 entries
-- $5 pending_reasons
-- $6 retries
-- $7 failure_reasons
-- $8 sent_before
with ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[]),
                    pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::text[])
                ) as ended (id, run_no, outcome, entry, pending_reason, retry, failure_reason)
            ),
            settled as (
                update "public"."job_queue" job
                set status = case
                        when ended.outcome <> 'completed' and job.cancel_requested_at is not null
                        then 'cancelled'
                        when ended.outcome in ('behind', 'snoozed') then 'pending'
                        when ended.outcome = 'unfinished' then
                            case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                        when ended.outcome in ('refused', 'due', 'snoozed as failed') then 'failed'
                        else ended.outcome end,
                    updated_at = now(),
                    attempts = case
                        when ended.outcome in ('pending', 'behind', 'snoozed', 'snoozed as failed')
                            or ended.outcome = 'due' and ended.entry is null
                        then greatest(job.attempts - (coalesce(job.claim_token, 1::bigint) > 0::bigint)::int, 0)
                        when ended.outcome = 'refused' then greatest(job.attempts, job.max_attempts)
                        else job.attempts end,
                    next_attempt_at = case
                        when job.cancel_requested_at is not null then null
                        when ended.outcome = 'failed' and job.attempts < job.max_attempts
                        then case
                            when (ended.retry::jsonb ->> 'never'::text) is not null then null
                            when coalesce((ended.retry::jsonb ->> 'at'::text)::double precision, (ended.retry::jsonb ->> 'after'::text)::double precision) is not null then greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            )
                            when coalesce(ended.retry, job.retry_delay_ms::text, job.retry_factor::text, job.retry_max_delay_ms::text) is null
                            then now() + pg_catalog.power(
                                2::double precision, greatest(least(job.attempts, 30), 0)::double precision
                            ) * interval '1 minute'
                            else now() + least(
                                greatest(least(coalesce(job.retry_max_delay_ms::double precision, (ended.retry::jsonb ->> 'maxDelay'::text)::double precision, 3600000::double precision), 2147483647::double precision), 0::double precision),
                                greatest(least(coalesce(job.retry_delay_ms::double precision, (ended.retry::jsonb ->> 'delay'::text)::double precision, 1000::double precision), 2147483647::double precision), 0::double precision) * pg_catalog.exp(least(
                                    pg_catalog.ln(greatest(least(coalesce(job.retry_factor::double precision, (ended.retry::jsonb ->> 'factor'::text)::double precision, 2::double precision), 1000::double precision), 1::double precision)) * greatest(job.attempts - 1, 0)::double precision,
                                    600::double precision
                                ))
                            ) * (1::double precision - greatest(least(coalesce(null::double precision, (ended.retry::jsonb ->> 'jitter'::text)::double precision, 0.25::double precision), 1::double precision), 0::double precision) * pg_catalog.random()) * interval '1 millisecond'
                            end
                        when ended.outcome in ('snoozed', 'snoozed as failed') then greatest(greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            ), now() + interval '1 second')
                        when ended.outcome in ('behind', 'due') then now()
                        when ended.outcome = 'unfinished' and job.attempts < job.max_attempts then now()
                        end,
                    snoozes = case when ended.outcome in ('snoozed', 'snoozed as failed')
                        then greatest(least(coalesce(job.snoozes, 0), 2147483646), 0) + 1 else job.snoozes end,
                    pending_reason = ended.pending_reason,
                    failure_reason = case when ended.outcome = 'completed' then null
                        else coalesce(ended.failure_reason, job.failure_reason) end,
                    error_history = case
                        when ended.entry is not null and (
                            ended.failure_reason is not null
                            or job.error_history -> -1 ->> 'name'::text <> 'WorkerLost'
                        ) is not false then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((ended.entry::jsonb || pg_catalog.jsonb_build_object('attempt', job.attempts)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end,
                    locked_at = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_at end,
                    locked_by = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_by end,
                    lease_expires_at = null,
                    claim_token = null,
                    refusals = null
                from ended ended
                where ended.outcome <> 'removed'
                    and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ),
            removed as (
                delete from "public"."job_queue" job using ended ended
                where ended.outcome = 'removed'
                    and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true and (job.xmax = '0'::xid or job.xmax = job.xmin or pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())))
                returning job.id, job.run_no
            ),
            written as (
                select ended.id, ended.run_no from ended
                where $8::boolean and case ended.outcome
                    when 'removed' then not exists (
                        select from "public"."job_queue" job where job.id = any (array[ended.id])
                    )
                    else exists (
                        select from "public"."job_queue" job
                        where job.id = any (array[ended.id])
                            and job.run_no = ended.run_no
                            and (
                                job.status::text = case ended.outcome
                                    when 'behind' then 'pending'
                                    when 'snoozed' then 'pending'
                                    when 'snoozed as failed' then 'failed'
                                    when 'unfinished' then
                                        case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                                    when 'refused' then 'failed'
                                    when 'due' then 'failed'
                                    else ended.outcome end
                                or (job.status::text = 'cancelled' and ended.outcome <> 'completed')
                            ) is true
                    ) end
            ),
            settled_rows as (
                select id, run_no from settled union all select * from removed union all select * from written
            ) select id::bigint, run_no, 'settled' as fate from settled_rows;

-- read the payload of a claimed job
-- $1 id
-- $2 run_no
select job.payload::text as payload from "public"."job_queue" job
        where job.id = any (array[$1::bigint]) and job.run_no = $2::bigint;

-- settle one by one
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 outcomes
-- $4 entries
-- $5 pending_reasons
-- $6 retries
-- $7 failure_reasons
-- $8 sent_before
with ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[]),
                    pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::text[])
                ) as ended (id, run_no, outcome, entry, pending_reason, retry, failure_reason)
            ),
            kept as (
                select ended.* from ended cross join lateral (
                    select from "public"."job_queue" job
                    where ended.outcome <> 'removed' and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
                    for no key update skip locked
                ) free
            ),
            gone as (
                select ended.* from ended cross join lateral (
                    select from "public"."job_queue" job
                    where ended.outcome = 'removed' and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
                    for update skip locked
                ) free
            ),
            free as (
                select * from kept union all select * from gone
            ),
            settled as (
                update "public"."job_queue" job
                set status = case
                        when ended.outcome <> 'completed' and job.cancel_requested_at is not null
                        then 'cancelled'
                        when ended.outcome in ('behind', 'snoozed') then 'pending'
                        when ended.outcome = 'unfinished' then
                            case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                        when ended.outcome in ('refused', 'due', 'snoozed as failed') then 'failed'
                        else ended.outcome end,
                    updated_at = now(),
                    attempts = case
                        when ended.outcome in ('pending', 'behind', 'snoozed', 'snoozed as failed')
                            or ended.outcome = 'due' and ended.entry is null
                        then greatest(job.attempts - (coalesce(job.claim_token, 1::bigint) > 0::bigint)::int, 0)
                        when ended.outcome = 'refused' then greatest(job.attempts, job.max_attempts)
                        else job.attempts end,
                    next_attempt_at = case
                        when job.cancel_requested_at is not null then null
                        when ended.outcome = 'failed' and job.attempts < job.max_attempts
                        then case
                            when (ended.retry::jsonb ->> 'never'::text) is not null then null
                            when coalesce((ended.retry::jsonb ->> 'at'::text)::double precision, (ended.retry::jsonb ->> 'after'::text)::double precision) is not null then greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            )
                            when coalesce(ended.retry, job.retry_delay_ms::text, job.retry_factor::text, job.retry_max_delay_ms::text) is null
                            then now() + pg_catalog.power(
                                2::double precision, greatest(least(job.attempts, 30), 0)::double precision
                            ) * interval '1 minute'
                            else now() + least(
                                greatest(least(coalesce(job.retry_max_delay_ms::double precision, (ended.retry::jsonb ->> 'maxDelay'::text)::double precision, 3600000::double precision), 2147483647::double precision), 0::double precision),
                                greatest(least(coalesce(job.retry_delay_ms::double precision, (ended.retry::jsonb ->> 'delay'::text)::double precision, 1000::double precision), 2147483647::double precision), 0::double precision) * pg_catalog.exp(least(
                                    pg_catalog.ln(greatest(least(coalesce(job.retry_factor::double precision, (ended.retry::jsonb ->> 'factor'::text)::double precision, 2::double precision), 1000::double precision), 1::double precision)) * greatest(job.attempts - 1, 0)::double precision,
                                    600::double precision
                                ))
                            ) * (1::double precision - greatest(least(coalesce(null::double precision, (ended.retry::jsonb ->> 'jitter'::text)::double precision, 0.25::double precision), 1::double precision), 0::double precision) * pg_catalog.random()) * interval '1 millisecond'
                            end
                        when ended.outcome in ('snoozed', 'snoozed as failed') then greatest(greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            ), now() + interval '1 second')
                        when ended.outcome in ('behind', 'due') then now()
                        when ended.outcome = 'unfinished' and job.attempts < job.max_attempts then now()
                        end,
                    snoozes = case when ended.outcome in ('snoozed', 'snoozed as failed')
                        then greatest(least(coalesce(job.snoozes, 0), 2147483646), 0) + 1 else job.snoozes end,
                    pending_reason = ended.pending_reason,
                    failure_reason = case when ended.outcome = 'completed' then null
                        else coalesce(ended.failure_reason, job.failure_reason) end,
                    error_history = case
                        when ended.entry is not null and (
                            ended.failure_reason is not null
                            or job.error_history -> -1 ->> 'name'::text <> 'WorkerLost'
                        ) is not false then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((ended.entry::jsonb || pg_catalog.jsonb_build_object('attempt', job.attempts)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end,
                    locked_at = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_at end,
                    locked_by = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_by end,
                    lease_expires_at = null,
                    claim_token = null,
                    refusals = null,
                    idempotency_hold = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then case when job.idempotency_hold = 'queued' and (
                select true from "public"."job_queue" rival
            where rival.job_type::text = job.job_type::text and rival.idempotency_key::text = job.idempotency_key::text
                and rival.id <> job.id and rival.idempotency_key is not null and case coalesce(rival.idempotency_hold, 'unsettled')
                when 'unsettled' then rival.status::text = 'pending' or rival.status::text = 'processing'
                  or rival.status::text = 'failed' and rival.attempts < rival.max_attempts and rival.next_attempt_at is not null
                when 'queued' then rival.status::text = 'pending' and rival.attempts = 0 and rival.snoozes is null
                when 'row' then true
                else false end
                limit 1
            ) then 'released' else job.idempotency_hold end else job.idempotency_hold end
                from free ended
                where ended.outcome <> 'removed'
                    and job.id = any (array[ended.id]) and true
                returning job.id, job.run_no
            ),
            removed as (
                delete from "public"."job_queue" job using free ended
                where ended.outcome = 'removed'
                    and job.id = any (array[ended.id]) and true
                returning job.id, job.run_no
            ),
            written as (
                select ended.id, ended.run_no from ended
                where $8::boolean and case ended.outcome
                    when 'removed' then not exists (
                        select from "public"."job_queue" job where job.id = any (array[ended.id])
                    )
                    else exists (
                        select from "public"."job_queue" job
                        where job.id = any (array[ended.id])
                            and job.run_no = ended.run_no
                            and (
                                job.status::text = case ended.outcome
                                    when 'behind' then 'pending'
                                    when 'snoozed' then 'pending'
                                    when 'snoozed as failed' then 'failed'
                                    when 'unfinished' then
                                        case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                                    when 'refused' then 'failed'
                                    when 'due' then 'failed'
                                    else ended.outcome end
                                or (job.status::text = 'cancelled' and ended.outcome <> 'completed')
                            ) is true
                    ) end
            ),
            settled_rows as (
                select id, run_no from settled union all select * from removed union all select * from written
            )
        select ended.id::bigint, ended.run_no, case
            when exists (
                select from settled_rows
                where settled_rows.id = ended.id and settled_rows.run_no = ended.run_no
            ) then 'written'
            when exists (
                select from free where free.id = ended.id and free.run_no = ended.run_no
            ) then 'passed over'
            when exists (
                select from "public"."job_queue" job where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
            ) then 'locked'
            else 'lost' end as fate
        from ended;

-- settle one by one (with dead letters)
-- $1 ended_ids
-- $2 ended_run_nos
-- $3 outcomes
-- $4 entries
-- $5 pending_reasons
-- $6 retries
-- $7 failure_reasons
-- $8 sent_before
with ended as (
                select * from rows from (
                    pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[]),
                    pg_catalog.unnest($3::text[]), pg_catalog.unnest($4::text[]), pg_catalog.unnest($5::text[]),
                    pg_catalog.unnest($6::text[]), pg_catalog.unnest($7::text[])
                ) as ended (id, run_no, outcome, entry, pending_reason, retry, failure_reason)
            ),
            kept as (
                select ended.* from ended cross join lateral (
                    select from "public"."job_queue" job
                    where ended.outcome <> 'removed' and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
                    for no key update skip locked
                ) free
            ),
            gone as (
                select ended.* from ended cross join lateral (
                    select from "public"."job_queue" job
                    where ended.outcome = 'removed' and job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
                    for update skip locked
                ) free
            ),
            free as (
                select * from kept union all select * from gone
            ),
            settled as (
                update "public"."job_queue" job
                set status = case
                        when ended.outcome <> 'completed' and job.cancel_requested_at is not null
                        then 'cancelled'
                        when ended.outcome in ('behind', 'snoozed') then 'pending'
                        when ended.outcome = 'unfinished' then
                            case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                        when ended.outcome in ('refused', 'due', 'snoozed as failed') then 'failed'
                        else ended.outcome end,
                    updated_at = now(),
                    attempts = case
                        when ended.outcome in ('pending', 'behind', 'snoozed', 'snoozed as failed')
                            or ended.outcome = 'due' and ended.entry is null
                        then greatest(job.attempts - (coalesce(job.claim_token, 1::bigint) > 0::bigint)::int, 0)
                        when ended.outcome = 'refused' then greatest(job.attempts, job.max_attempts)
                        else job.attempts end,
                    next_attempt_at = case
                        when job.cancel_requested_at is not null then null
                        when ended.outcome = 'failed' and job.attempts < job.max_attempts
                        then case
                            when (ended.retry::jsonb ->> 'never'::text) is not null then null
                            when coalesce((ended.retry::jsonb ->> 'at'::text)::double precision, (ended.retry::jsonb ->> 'after'::text)::double precision) is not null then greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            )
                            when coalesce(ended.retry, job.retry_delay_ms::text, job.retry_factor::text, job.retry_max_delay_ms::text) is null
                            then now() + pg_catalog.power(
                                2::double precision, greatest(least(job.attempts, 30), 0)::double precision
                            ) * interval '1 minute'
                            else now() + least(
                                greatest(least(coalesce(job.retry_max_delay_ms::double precision, (ended.retry::jsonb ->> 'maxDelay'::text)::double precision, 3600000::double precision), 2147483647::double precision), 0::double precision),
                                greatest(least(coalesce(job.retry_delay_ms::double precision, (ended.retry::jsonb ->> 'delay'::text)::double precision, 1000::double precision), 2147483647::double precision), 0::double precision) * pg_catalog.exp(least(
                                    pg_catalog.ln(greatest(least(coalesce(job.retry_factor::double precision, (ended.retry::jsonb ->> 'factor'::text)::double precision, 2::double precision), 1000::double precision), 1::double precision)) * greatest(job.attempts - 1, 0)::double precision,
                                    600::double precision
                                ))
                            ) * (1::double precision - greatest(least(coalesce(null::double precision, (ended.retry::jsonb ->> 'jitter'::text)::double precision, 0.25::double precision), 1::double precision), 0::double precision) * pg_catalog.random()) * interval '1 millisecond'
                            end
                        when ended.outcome in ('snoozed', 'snoozed as failed') then greatest(greatest(
                                coalesce(
                                    timestamptz 'epoch' + (ended.retry::jsonb ->> 'at'::text)::double precision * interval '1 millisecond',
                                    now() + (ended.retry::jsonb ->> 'after'::text)::double precision * interval '1 millisecond'
                                ),
                                now()
                            ), now() + interval '1 second')
                        when ended.outcome in ('behind', 'due') then now()
                        when ended.outcome = 'unfinished' and job.attempts < job.max_attempts then now()
                        end,
                    snoozes = case when ended.outcome in ('snoozed', 'snoozed as failed')
                        then greatest(least(coalesce(job.snoozes, 0), 2147483646), 0) + 1 else job.snoozes end,
                    pending_reason = ended.pending_reason,
                    failure_reason = case when ended.outcome = 'completed' then null
                        else coalesce(ended.failure_reason, job.failure_reason) end,
                    error_history = case
                        when ended.entry is not null and (
                            ended.failure_reason is not null
                            or job.error_history -> -1 ->> 'name'::text <> 'WorkerLost'
                        ) is not false then (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((ended.entry::jsonb || pg_catalog.jsonb_build_object('attempt', job.attempts)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')))) else job.error_history end,
                    locked_at = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_at end,
                    locked_by = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then null else job.locked_by end,
                    lease_expires_at = null,
                    claim_token = null,
                    refusals = null,
                    idempotency_hold = case when ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed') then case when job.idempotency_hold = 'queued' and (
                select true from "public"."job_queue" rival
            where rival.job_type::text = job.job_type::text and rival.idempotency_key::text = job.idempotency_key::text
                and rival.id <> job.id and rival.idempotency_key is not null and case coalesce(rival.idempotency_hold, 'unsettled')
                when 'unsettled' then rival.status::text = 'pending' or rival.status::text = 'processing'
                  or rival.status::text = 'failed' and rival.attempts < rival.max_attempts and rival.next_attempt_at is not null
                when 'queued' then rival.status::text = 'pending' and rival.attempts = 0 and rival.snoozes is null
                when 'row' then true
                else false end
                limit 1
            ) then 'released' else job.idempotency_hold end else job.idempotency_hold end
                from free ended
                where ended.outcome <> 'removed'
                    and job.id = any (array[ended.id]) and true
                returning job.id, job.run_no, job.status, job.ready_at, job.job_type, job.payload, job.attempts, job.max_attempts, job.priority,
                    job.error_history, job.failure_reason, job.dead_letter_job_type
            ),
            removed as (
                delete from "public"."job_queue" job using free ended
                where ended.outcome = 'removed'
                    and job.id = any (array[ended.id]) and true
                returning job.id, job.run_no
            ),
            written as (
                select ended.id, ended.run_no from ended
                where $8::boolean and case ended.outcome
                    when 'removed' then not exists (
                        select from "public"."job_queue" job where job.id = any (array[ended.id])
                    )
                    else exists (
                        select from "public"."job_queue" job
                        where job.id = any (array[ended.id])
                            and job.run_no = ended.run_no
                            and (
                                job.status::text = case ended.outcome
                                    when 'behind' then 'pending'
                                    when 'snoozed' then 'pending'
                                    when 'snoozed as failed' then 'failed'
                                    when 'unfinished' then
                                        case when job.attempts < job.max_attempts then 'pending' else 'failed' end
                                    when 'refused' then 'failed'
                                    when 'due' then 'failed'
                                    else ended.outcome end
                                or (job.status::text = 'cancelled' and ended.outcome <> 'completed')
                            ) is true
                    ) end
            ),
            buried as (
                insert into "public"."job_queue" (job_type, payload, priority)
                select settled.dead_letter_job_type,
                    pg_catalog.jsonb_build_object(
                        'originalJob', pg_catalog.jsonb_build_object(
                            'id', settled.id, 'jobType', settled.job_type,
                            'attempts', settled.attempts, 'maxAttempts', settled.max_attempts
                        ),
                        'originalPayload', settled.payload,
                        'failure', pg_catalog.jsonb_build_object(
                            'message', settled.error_history -> -1 ->> 'message'::text,
                            'reason', settled.failure_reason,
                            'failedAt', settled.error_history -> -1 ->> 'timestamp'::text
                        )
                    ),
                    settled.priority
                from settled
                where settled.status::text = 'failed' and settled.ready_at is null
                    and settled.dead_letter_job_type is not null
                returning id
            ),
            -- A trigger may discard a dead letter without an error.
            unburied as (
                select settled.id, settled.run_no from settled
                where settled.status::text = 'failed' and settled.ready_at is null
                    and settled.dead_letter_job_type is not null
                    and (select pg_catalog.count(*) from buried) < (
                        select pg_catalog.count(*) from settled
                        where settled.status::text = 'failed' and settled.ready_at is null
                    and settled.dead_letter_job_type is not null
                    )
            ),
            settled_rows as (
                select settled.id, settled.run_no from settled
                cross join (
                    select case when exists (select from buried) then pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'ready', true)::text) end
                ) notified
                union all select * from removed union all select * from written
            )
        select ended.id::bigint, ended.run_no, case
            when exists (
                select from unburied
                where unburied.id = ended.id and unburied.run_no = ended.run_no
            ) then 'unburied'
            when exists (
                select from settled_rows
                where settled_rows.id = ended.id and settled_rows.run_no = ended.run_no
            ) then 'written'
            when exists (
                select from free where free.id = ended.id and free.run_no = ended.run_no
            ) then 'passed over'
            when exists (
                select from "public"."job_queue" job where job.id = any (array[ended.id]) and job.run_no = ended.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
            ) then 'locked'
            else 'lost' end as fate
        from ended;

-- begin last attempts
-- $1 ids
-- $2 run_nos
-- $3 lease_ms
with free as (
                select job.id, job.run_no from rows from (
                pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
            ) as run (id, run_no)
                cross join lateral (
                    select job.id, job.run_no from "public"."job_queue" job
                    where job.id = any (array[run.id]) and job.run_no = run.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
                    for no key update skip locked
                ) job
            ),
            begun as (
                update "public"."job_queue" job
                set attempts = case when job.claim_token < 0::bigint then job.attempts + 1 else job.attempts end,
                    claim_token = case
                        when job.claim_token < 0::bigint then - job.claim_token else job.claim_token end,
                    lease_expires_at = now() + $3::double precision * interval '1 millisecond',
                    locked_at = least(job.locked_at, now()),
                    updated_at = now()
                from free
                where job.id = any (array[free.id])
                returning job.id
            )
            select id::bigint, run_no, id not in (select id from begun) as passed_over from free;

-- find what a claim took whose answer was lost
-- $1 tokens
select job.id::bigint, job.run_no from "public"."job_queue" job
        where job.status::text = 'processing' and job.lease_expires_at > '-infinity'
            and job.claim_token = any ($1::bigint[]);

-- extend leases
-- $1 ids
-- $2 run_nos
-- $3 lease_ms
with owned as (
            select job.*, free.id as free from rows from (
                pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
            ) as run (id, run_no)
            cross join lateral (
                select job.id, job.run_no, job.cancel_requested_at from "public"."job_queue" job
                where job.id = any (array[run.id]) and job.run_no = run.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
            ) job
            left join lateral (
                select job.id from "public"."job_queue" job
                where job.id = any (array[run.id]) and job.run_no = run.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
                for no key update skip locked
            ) free on true
        ),
        extended as (
            update "public"."job_queue" job
            set lease_expires_at = now() + $3::double precision * interval '1 millisecond',
                locked_at = least(job.locked_at, now())
            from owned
            where job.id = any (array[owned.free])
            returning job.id
        )
        select id::bigint, run_no, free is null as locked,
            free is not null and id not in (select id from extended) as passed_over,
            cancel_requested_at is not null as cancel_requested
        from owned;

-- look for requests to cancel
-- $1 ids
-- $2 run_nos
select job.id::bigint, job.run_no
        from rows from (
                pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
            ) as run (id, run_no)
        cross join lateral (
            select job.id, job.run_no from "public"."job_queue" job
            where job.id = any (array[run.id]) and job.run_no = run.run_no
                and job.cancel_requested_at is not null
        ) job;

-- recover
-- $1 from
with ended as (
                select job.id, (case when job.xmax = '0'::xid then job.lease_expires_at > now() - interval '1 minute' else job.xmax <> job.xmin and pg_catalog.txid_visible_in_snapshot((select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) - 2147483648 + ((job.xmax::text::bigint - (select pg_catalog.txid_snapshot_xmax(pg_catalog.txid_current_snapshot())) + 2147483648) & 4294967295), (select pg_catalog.txid_current_snapshot())) end) as was_locked from "public"."job_queue" job
                where job.status::text = 'processing' and job.lease_expires_at > job.locked_at and job.lease_expires_at <= now()
                    and job.lease_expires_at > timestamptz 'epoch'
                        + $1::bigint::double precision * interval '1 microsecond'
                    and (select clock_timestamp() - now()) < interval '500 milliseconds'
                order by job.lease_expires_at
            ),
            free as (
                select job.id, ended.was_locked from ended cross join lateral (
                    select job.id from "public"."job_queue" job
                    where job.id = any (array[ended.id]) and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at and job.lease_expires_at <= now()) is true
                    for no key update skip locked
                ) job
                limit 1000
            ),
            recovered as (
                update "public"."job_queue" job
                set status = case
                    when job.cancel_requested_at is not null then 'cancelled'
                    when (job.attempts < job.max_attempts or job.dead_letter_job_type is not null) then 'pending'
                    else 'failed' end,
                updated_at = now(),
                failure_reason = 'worker_lost',
                idempotency_hold = case when job.idempotency_hold = 'queued' then 'released' else job.idempotency_hold end,
                run_no = job.run_no + 1::bigint,
                locked_at = null,
                locked_by = null,
                lease_expires_at = null,
                claim_token = null,
                next_attempt_at = case
                    when job.cancel_requested_at is null and ((job.attempts < job.max_attempts or job.dead_letter_job_type is not null)) then now() end,
                error_history = (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'WorkerLost', 'attempt', (job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end), 'message', 'Worker lost: ' || coalesce(job.locked_by::text, 'unknown') || case when coalesce(job.claim_token, 1::bigint) > 0::bigint then ' did not finish attempt ' else ' did not begin attempt ' end || ((job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end))::text || ' of ' || job.max_attempts::text)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))
                from free
                where job.id = any (array[free.id]) and not free.was_locked
                returning job.id, job.job_type, job.status, job.next_attempt_at
            ),
            spared as (
                update "public"."job_queue" job
                set lease_expires_at = now() + interval '3 seconds',
                    locked_at = least(job.locked_at, now())
                from free
                where job.id = any (array[free.id]) and free.was_locked
                returning job.id
            ),
            ahead as (
                select job.id from "public"."job_queue" job
                where $1::bigint = 0::bigint
                    and (
                        select pg_catalog.bool_or(furthest.locked_at > now() + interval '1 second')
                        from (
                            select job.locked_at from "public"."job_queue" job
                            where job.status::text = 'processing' and job.lease_expires_at > now()
                                and job.lease_expires_at < 'infinity'
                            order by job.lease_expires_at desc
                            limit 10
                        ) furthest
                    )
                    and job.status::text = 'processing' and job.lease_expires_at > now()
                    and job.locked_at > now() + interval '1 second'
                    and job.lease_expires_at > job.locked_at and job.lease_expires_at < 'infinity'
                    and job.locked_at < 'infinity'
                for no key update skip locked
            ),
            moved as (
                update "public"."job_queue" job
                set lease_expires_at = now() + (job.lease_expires_at - job.locked_at), locked_at = now()
                from ahead
                where job.id = any (array[ahead.id])
            )
            select id::bigint, job_type::text, case when ready then 'pending' else status end as fate,
                null::bigint as looked_at
            from (
                select id, job_type, status::text as status,
                    status::text = 'pending' or status::text = 'failed' and next_attempt_at is not null as ready
                from recovered
            ) recovered
            union all
            select id::bigint, null, 'spared', null from spared
            union all
            select id::bigint, null, 'passed over', null from free
            where id not in (select id from recovered union all select id from spared)
            union all
            select null, null, 'looked', (
                select (pg_catalog.date_part('epoch', now()) * 1000000::double precision)::bigint
                where (select pg_catalog.count(*) from free) < 1000
                    and not exists (
                        select from ended where ended.id <> all (array(select free.id from free))
                    )
                    and (select clock_timestamp() - now()) < interval '500 milliseconds'
            )
            from (
                select case when exists (select from recovered where status::text = 'pending') then pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'ready', true)::text) end
            ) notified;

-- list what can be recovered
-- $1 aside
-- $2 limit
select job.id::bigint from "public"."job_queue" job
            where job.status::text = 'processing' and job.lease_expires_at > job.locked_at and job.lease_expires_at <= now()
                and job.id <> all ($1::bigint[])
            order by job.lease_expires_at
            limit $2::bigint;

-- recover these
-- $1 ids
with ended as (
                    select id, false as was_locked from pg_catalog.unnest($1::bigint[]) as named (id)
                ),
                free as (
                select job.id, ended.was_locked from ended cross join lateral (
                    select job.id from "public"."job_queue" job
                    where job.id = any (array[ended.id]) and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at and job.lease_expires_at <= now()) is true
                    for no key update skip locked
                ) job
                limit 1000
            ),
            recovered as (
                update "public"."job_queue" job
                set status = case
                    when job.cancel_requested_at is not null then 'cancelled'
                    when (job.attempts < job.max_attempts or job.dead_letter_job_type is not null) then 'pending'
                    else 'failed' end,
                updated_at = now(),
                failure_reason = 'worker_lost',
                idempotency_hold = case when job.idempotency_hold = 'queued' then 'released' else job.idempotency_hold end,
                run_no = job.run_no + 1::bigint,
                locked_at = null,
                locked_by = null,
                lease_expires_at = null,
                claim_token = null,
                next_attempt_at = case
                    when job.cancel_requested_at is null and ((job.attempts < job.max_attempts or job.dead_letter_job_type is not null)) then now() end,
                error_history = (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'WorkerLost', 'attempt', (job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end), 'message', 'Worker lost: ' || coalesce(job.locked_by::text, 'unknown') || case when coalesce(job.claim_token, 1::bigint) > 0::bigint then ' did not finish attempt ' else ' did not begin attempt ' end || ((job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end))::text || ' of ' || job.max_attempts::text)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))
                from free
                where job.id = any (array[free.id]) and not free.was_locked
                returning job.id, job.job_type, job.status, job.next_attempt_at
            ),
            spared as (
                update "public"."job_queue" job
                set lease_expires_at = now() + interval '3 seconds',
                    locked_at = least(job.locked_at, now())
                from free
                where job.id = any (array[free.id]) and free.was_locked
                returning job.id
            )
            select id::bigint, job_type::text, case when ready then 'pending' else status end as fate,
                null::bigint as looked_at
            from (
                select id, job_type, status::text as status,
                    status::text = 'pending' or status::text = 'failed' and next_attempt_at is not null as ready
                from recovered
            ) recovered
            union all
            select id::bigint, null, 'spared', null from spared
            union all
            select id::bigint, null, 'passed over', null from free
            where id not in (select id from recovered union all select id from spared);

-- recover these as failed
-- $1 ids
with ended as (
                    select id, false as was_locked from pg_catalog.unnest($1::bigint[]) as named (id)
                ),
                free as (
                select job.id, ended.was_locked from ended cross join lateral (
                    select job.id from "public"."job_queue" job
                    where job.id = any (array[ended.id]) and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at and job.lease_expires_at <= now()) is true
                    for no key update skip locked
                ) job
                limit 1000
            ),
            recovered as (
                update "public"."job_queue" job
                set status = case
                    when job.cancel_requested_at is not null then 'cancelled'
                    when (job.attempts < job.max_attempts or job.dead_letter_job_type is not null) then 'failed'
                    else 'failed' end,
                updated_at = now(),
                failure_reason = 'worker_lost',
                idempotency_hold = case when job.idempotency_hold = 'queued' then 'released' else job.idempotency_hold end,
                run_no = job.run_no + 1::bigint,
                locked_at = null,
                locked_by = null,
                lease_expires_at = null,
                claim_token = null,
                next_attempt_at = case
                    when job.cancel_requested_at is null and ((job.attempts < job.max_attempts or job.dead_letter_job_type is not null)) then now() end,
                error_history = (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'WorkerLost', 'attempt', (job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end), 'message', 'Worker lost: ' || coalesce(job.locked_by::text, 'unknown') || case when coalesce(job.claim_token, 1::bigint) > 0::bigint then ' did not finish attempt ' else ' did not begin attempt ' end || ((job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end))::text || ' of ' || job.max_attempts::text)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))
                from free
                where job.id = any (array[free.id]) and not free.was_locked
                returning job.id, job.job_type, job.status, job.next_attempt_at
            ),
            spared as (
                update "public"."job_queue" job
                set lease_expires_at = now() + interval '3 seconds',
                    locked_at = least(job.locked_at, now())
                from free
                where job.id = any (array[free.id]) and free.was_locked
                returning job.id
            )
            select id::bigint, job_type::text, case when ready then 'pending' else status end as fate,
                null::bigint as looked_at
            from (
                select id, job_type, status::text as status,
                    status::text = 'pending' or status::text = 'failed' and next_attempt_at is not null as ready
                from recovered
            ) recovered
            union all
            select id::bigint, null, 'spared', null from spared
            union all
            select id::bigint, null, 'passed over', null from free
            where id not in (select id from recovered union all select id from spared);

-- note a refused claim
-- $1 id
-- $2 longest
-- $3 reason
with free as (
                select job.id from "public"."job_queue" job
                where job.id = $1::bigint and (job.ready_at <= now()) is true
                for no key update skip locked
            )
            update "public"."job_queue" job
            set next_attempt_at = now() + least(
                    pg_catalog.power(
                        2::double precision,
                        greatest(least(coalesce(job.refusals, 0), 16), 0)::double precision
                    ),
                    $2::double precision
                ) * interval '1 second',
                refusals = greatest(least(coalesce(job.refusals, 0), 1000), 0) + 1,
                pending_reason = $3::text,
                updated_at = now()
            from free
            where job.id = any (array[free.id])
            returning job.refusals;

-- note a refused outcome
-- $1 id
-- $2 run_no
-- $3 lease_ms
-- $4 reason
with free as (
                select job.id from "public"."job_queue" job
                where job.id = $1::bigint and (job.run_no = $2::bigint and job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
                for no key update skip locked
            )
            update "public"."job_queue" job
            set lease_expires_at = now() + $3::double precision * interval '1 millisecond',
                locked_at = least(job.locked_at, now()),
                refusals = greatest(least(coalesce(job.refusals, 0), 1000), 0) + 1,
                pending_reason = $4::text,
                updated_at = now()
            from free
            where job.id = any (array[free.id])
            returning job.refusals;

-- note a refused recovery
-- $1 id
-- $2 seconds
-- $3 reason
with free as (
                select job.id from "public"."job_queue" job
                where job.id = $1::bigint and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at and job.lease_expires_at <= now()) is true
                for no key update skip locked
            )
            update "public"."job_queue" job
            set lease_expires_at = now() + $2::double precision * interval '1 second',
                locked_at = least(job.locked_at, now()),
                refusals = greatest(least(coalesce(job.refusals, 0), 1000), 0) + 1,
                pending_reason = $3::text,
                updated_at = now()
            from free
            where job.id = any (array[free.id])
            returning job.refusals;

-- complete in a transaction
-- $1 run_no
-- $2 id
update "public"."job_queue" job
        set status = 'completed', updated_at = now(), pending_reason = null, failure_reason = null,
            lease_expires_at = null, claim_token = null, refusals = null
        from (select $1::text::bigint as run_no) run
        where job.id = $2::text::bigint and job.run_no = run.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
        returning job.id::text as result;

-- complete and remove in a transaction
-- $1 run_no
-- $2 id
delete from "public"."job_queue" job using (select $1::text::bigint as run_no) run
        where job.id = $2::text::bigint and job.run_no = run.run_no and (job.status::text = 'processing' and job.lease_expires_at > job.locked_at) is true
        returning job.id::text as result;

-- ask how transactions ended
-- $1 ids
-- $2 run_nos
select run.id, run.run_no, case
            when free.id is not null then case
                when free.run_no <> run.run_no then 'lost'
                when free.status = 'processing' then 'rolled back'
                when free.status = 'completed' then 'committed'
                else 'lost' end
            when seen.id is null then 'committed'
            when seen.run_no = run.run_no and seen.status = 'processing' then 'open'
            else 'lost' end as fate
        from rows from (
                pg_catalog.unnest($1::bigint[]), pg_catalog.unnest($2::bigint[])
            ) as run (id, run_no)
        left join lateral (
            select job.id, job.run_no, job.status::text as status from "public"."job_queue" job
            where job.id = any (array[run.id])
        ) seen on true
        left join lateral (
            select job.id, job.run_no, job.status::text as status from "public"."job_queue" job
            where job.id = any (array[run.id])
            for update skip locked
        ) free on true;

-- add one job
-- $1 job_type
-- $2 payload
-- $3 max_attempts
-- $4 priority
-- $5 run_at
-- $6 timeout_ms
insert into "public"."job_queue" (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            select job.job_type, job.payload::jsonb, job.max_attempts, job.priority, coalesce(
                    timestamptz 'epoch' + job.run_at::float8 * interval '1 millisecond', pg_catalog.now()
                ), job.timeout_ms
            from (values ($1::text, $2::text, $3::text::bigint, $4::text::bigint, $5::text::bigint, $6::text::bigint)) as job (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            returning '[' || id::text || ']' as result;

-- add jobs
-- $1 job_type
-- $2 payload
-- $3 max_attempts
-- $4 priority
-- $5 run_at
-- $6 timeout_ms
with added as (insert into "public"."job_queue" (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            select job.job_type, job.payload::jsonb, job.max_attempts, job.priority, coalesce(
                    timestamptz 'epoch' + job.run_at::float8 * interval '1 millisecond', pg_catalog.now()
                ), job.timeout_ms
            from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) as job (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            returning id), answer as (select case
                when pg_catalog.count(*) = pg_catalog.cardinality($1::text[])
                then pg_catalog.translate(pg_catalog.array_agg(id order by id)::text, '{}', '[]')
                else ('kept out of job_queue, but for ' || pg_catalog.count(*)::text)::boolean::text
                end as result from added)
            select result from answer;

-- add one job, announced
-- $1 job_type
-- $2 payload
-- $3 max_attempts
-- $4 priority
-- $5 run_at
-- $6 timeout_ms
with added as (insert into "public"."job_queue" (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            select job.job_type, job.payload::jsonb, job.max_attempts, job.priority, coalesce(
                    timestamptz 'epoch' + job.run_at::float8 * interval '1 millisecond', pg_catalog.now()
                ), job.timeout_ms
            from (values ($1::text, $2::text, $3::text::bigint, $4::text::bigint, $5::text::bigint, $6::text::bigint)) as job (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            returning id), answer as (select '[' || id::text || ']' as result from added)
            select result from answer cross join (select pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'ready', true)::text)) announced;

-- add jobs, announced
-- $1 job_type
-- $2 payload
-- $3 max_attempts
-- $4 priority
-- $5 run_at
-- $6 timeout_ms
with added as (insert into "public"."job_queue" (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            select job.job_type, job.payload::jsonb, job.max_attempts, job.priority, coalesce(
                    timestamptz 'epoch' + job.run_at::float8 * interval '1 millisecond', pg_catalog.now()
                ), job.timeout_ms
            from unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) as job (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            returning id), answer as (select case
                when pg_catalog.count(*) = pg_catalog.cardinality($1::text[])
                then pg_catalog.translate(pg_catalog.array_agg(id order by id)::text, '{}', '[]')
                else ('kept out of job_queue, but for ' || pg_catalog.count(*)::text)::boolean::text
                end as result from added)
            select result from answer cross join (select pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'ready', true)::text)) announced;

-- add one job with a key
-- $1 job_type
-- $2 payload
-- $3 max_attempts
-- $4 priority
-- $5 run_at
-- $6 timeout_ms
-- $7 retry_delay_ms
-- $8 retry_factor
-- $9 retry_max_delay_ms
-- $10 dead_letter_job_type
-- $11 idempotency_key
-- $12 idempotency_hold
-- $13 on_conflict
-- $14 max_wait_ms
-- $15 lock_timeout
with given (on_conflict, max_wait_ms, job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold) as materialized (
            select job.on_conflict, job.max_wait_ms, job.job_type, job.payload::jsonb, job.max_attempts, job.priority, coalesce(
                    timestamptz 'epoch' + job.run_at::float8 * interval '1 millisecond', pg_catalog.now()
                ), job.timeout_ms, job.retry_delay_ms, job.retry_factor::float8, job.retry_max_delay_ms, job.dead_letter_job_type, job.idempotency_key, job.idempotency_hold
            from (values ($1::text, $2::text, $3::text::bigint, $4::text::bigint, $5::text::bigint, $6::text::bigint, $7::text::bigint, $8::text, $9::text::bigint, $10::text, $11::text, $12::text, $13::text, $14::text::bigint)) as job (job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold, on_conflict, max_wait_ms)
            cross join (select pg_catalog.set_config('lock_timeout', coalesce(
                $15::text, pg_catalog.current_setting('lock_timeout')
            ), true)) limited
        ),
        added as (
            insert into "public"."job_queue" (job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold)
            select job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold from given
            where (
                    select true from "public"."job_queue" holder
                    where holder.job_type::text = given.job_type and holder.idempotency_key::text = given.idempotency_key
                        and holder.idempotency_key is not null and case coalesce(holder.idempotency_hold, 'unsettled')
                when 'unsettled' then holder.status::text = 'pending' or holder.status::text = 'processing'
                  or holder.status::text = 'failed' and holder.attempts < holder.max_attempts and holder.next_attempt_at is not null
                when 'queued' then holder.status::text = 'pending' and holder.attempts = 0 and holder.snoozes is null
                when 'row' then true
                else false end
                    limit 1
                ) is not true
                and (
                    select true from "public"."job_queue_windows" held
                    where held.job_type::text = given.job_type and held.idempotency_key::text = given.idempotency_key
                        and held.held_until > now()
                    limit 1
                ) is not true
            on conflict (job_type, idempotency_key) where idempotency_key is not null and case coalesce(idempotency_hold, 'unsettled')
                when 'unsettled' then status::text = 'pending' or status::text = 'processing'
                  or status::text = 'failed' and attempts < max_attempts and next_attempt_at is not null
                when 'queued' then status::text = 'pending' and attempts = 0 and snoozes is null
                when 'row' then true
                else false end do nothing
            returning id
        )
        select '[' || coalesce(
            (select '[' || added.id::text || ',"added","pending",null]' from added),
            "public"."job_queue_add"(
                    pg_catalog.jsonb_build_object('job_type', job_type, 'max_attempts', max_attempts, 'priority', priority, 'run_at', run_at, 'timeout_ms', timeout_ms, 'retry_delay_ms', retry_delay_ms, 'retry_factor', retry_factor, 'retry_max_delay_ms', retry_max_delay_ms, 'dead_letter_job_type', dead_letter_job_type, 'idempotency_key', idempotency_key, 'idempotency_hold', idempotency_hold) || pg_catalog.jsonb_build_object('id', null), given.payload, coalesce(given.on_conflict, 'keep'), given.max_wait_ms
                )::text
        ) || ']' as result
        from given;

-- add jobs with keys
-- $1 lock_timeout
-- $2 job_type
-- $3 payload
-- $4 max_attempts
-- $5 priority
-- $6 run_at
-- $7 timeout_ms
-- $8 retry_delay_ms
-- $9 retry_factor
-- $10 retry_max_delay_ms
-- $11 dead_letter_job_type
-- $12 idempotency_key
-- $13 idempotency_hold
-- $14 on_conflicts
-- $15 max_waits_ms
-- $16 ranks
-- $17 repeats
with sequence as materialized (
            select pg_catalog.pg_get_serial_sequence(name, 'id')::regclass as name
            from (select pg_catalog.format('%I.job_queue', E'public') as name) named
            cross join (select pg_catalog.set_config('lock_timeout', coalesce(
                $1::text, pg_catalog.current_setting('lock_timeout')
            ), true)) limited
        ),
        given (on_conflict, max_wait_ms, rank, repeats, place, job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold) as materialized (
            select job.on_conflict, job.max_wait_ms, job.rank, job.repeats, job.place, job.job_type, job.payload::jsonb, job.max_attempts, job.priority, coalesce(
                    timestamptz 'epoch' + job.run_at::float8 * interval '1 millisecond', pg_catalog.now()
                ), job.timeout_ms, job.retry_delay_ms, job.retry_factor::float8, job.retry_max_delay_ms, job.dead_letter_job_type, job.idempotency_key, job.idempotency_hold
            from unnest(
                $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[],
                $17::bigint[]
            ) with ordinality as job (job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold, on_conflict, max_wait_ms, rank, repeats, place)
        ),
        drawn as materialized (
            select given.*, case
                when given.idempotency_key is null or given.repeats = 0::bigint and (
                    select true from "public"."job_queue" holder
                    where holder.job_type::text = given.job_type and holder.idempotency_key::text = given.idempotency_key
                        and holder.idempotency_key is not null and case coalesce(holder.idempotency_hold, 'unsettled')
                when 'unsettled' then holder.status::text = 'pending' or holder.status::text = 'processing'
                  or holder.status::text = 'failed' and holder.attempts < holder.max_attempts and holder.next_attempt_at is not null
                when 'queued' then holder.status::text = 'pending' and holder.attempts = 0 and holder.snoozes is null
                when 'row' then true
                else false end
                    limit 1
                ) is not true
                and (
                    select true from "public"."job_queue_windows" held
                    where held.job_type::text = given.job_type and held.idempotency_key::text = given.idempotency_key
                        and held.held_until > now()
                    limit 1
                ) is not true
                then pg_catalog.nextval(sequence.name) end as id
            from sequence cross join given
        ),
        added as (
            insert into "public"."job_queue" (id, job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold)
            select id, job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold from drawn
            where id is not null
            order by rank
            on conflict (job_type, idempotency_key) where idempotency_key is not null and case coalesce(idempotency_hold, 'unsettled')
                when 'unsettled' then status::text = 'pending' or status::text = 'processing'
                  or status::text = 'failed' and attempts < max_attempts and next_attempt_at is not null
                when 'queued' then status::text = 'pending' and attempts = 0 and snoozes is null
                when 'row' then true
                else false end do nothing
            returning id
        ),
        met as materialized (
            -- Looked up in a hash, which the sessions of workers do not have for a join.
            select drawn.*, drawn.id is not null and drawn.id in (select added.id::bigint from added) as is_added
            from drawn
            order by rank
        ),
        decided as materialized (
            select place, case when is_added then '[' || id::text || ',"added","pending",null]'
                -- The count has all rows inserted before.
                when (select pg_catalog.count(*) from added) >= 0::bigint then "public"."job_queue_add"(
                    pg_catalog.jsonb_build_object('job_type', job_type, 'max_attempts', max_attempts, 'priority', priority, 'run_at', run_at, 'timeout_ms', timeout_ms, 'retry_delay_ms', retry_delay_ms, 'retry_factor', retry_factor, 'retry_max_delay_ms', retry_max_delay_ms, 'dead_letter_job_type', dead_letter_job_type, 'idempotency_key', idempotency_key, 'idempotency_hold', idempotency_hold) || pg_catalog.jsonb_build_object('id', id), met.payload, coalesce(met.on_conflict, 'keep'), met.max_wait_ms
                )::text end as decision
            from met
        )
        select '[' || coalesce(pg_catalog.string_agg(decision, ',' order by place), '') || ']' as result
        from decided;

-- add jobs with keys that are held for some time
-- $1 lock_timeout
-- $2 job_type
-- $3 payload
-- $4 max_attempts
-- $5 priority
-- $6 run_at
-- $7 timeout_ms
-- $8 retry_delay_ms
-- $9 retry_factor
-- $10 retry_max_delay_ms
-- $11 dead_letter_job_type
-- $12 idempotency_key
-- $13 idempotency_hold
-- $14 on_conflicts
-- $15 max_waits_ms
-- $16 ranks
-- $17 repeats
with sequence as materialized (
            select pg_catalog.pg_get_serial_sequence(name, 'id')::regclass as name
            from (select pg_catalog.format('%I.job_queue', E'public') as name) named
            cross join (select pg_catalog.set_config('lock_timeout', coalesce(
                $1::text, pg_catalog.current_setting('lock_timeout')
            ), true)) limited
        ),
        given (on_conflict, max_wait_ms, rank, repeats, place, job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold) as materialized (
            select job.on_conflict, job.max_wait_ms, job.rank, job.repeats, job.place, job.job_type, job.payload::jsonb, job.max_attempts, job.priority, coalesce(
                    timestamptz 'epoch' + job.run_at::float8 * interval '1 millisecond', pg_catalog.now()
                ), job.timeout_ms, job.retry_delay_ms, job.retry_factor::float8, job.retry_max_delay_ms, job.dead_letter_job_type, job.idempotency_key, job.idempotency_hold
            from unnest(
                $2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::text[], $10::bigint[], $11::text[], $12::text[], $13::text[], $14::text[], $15::bigint[], $16::bigint[],
                $17::bigint[]
            ) with ordinality as job (job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold, on_conflict, max_wait_ms, rank, repeats, place)
        ),
        drawn as materialized (
            select given.*, case
                when given.idempotency_key is null or given.repeats = 0::bigint and (
                    select true from "public"."job_queue" holder
                    where holder.job_type::text = given.job_type and holder.idempotency_key::text = given.idempotency_key
                        and holder.idempotency_key is not null and case coalesce(holder.idempotency_hold, 'unsettled')
                when 'unsettled' then holder.status::text = 'pending' or holder.status::text = 'processing'
                  or holder.status::text = 'failed' and holder.attempts < holder.max_attempts and holder.next_attempt_at is not null
                when 'queued' then holder.status::text = 'pending' and holder.attempts = 0 and holder.snoozes is null
                when 'row' then true
                else false end
                    limit 1
                ) is not true
                and (
                    select true from "public"."job_queue_windows" held
                    where held.job_type::text = given.job_type and held.idempotency_key::text = given.idempotency_key
                        and held.held_until > now()
                    limit 1
                ) is not true
                then pg_catalog.nextval(sequence.name) end as id
            from sequence cross join given
        ),
        windowed as (
            insert into "public"."job_queue_windows" as held (job_type, idempotency_key, job_id, held_until)
            select job_type, idempotency_key, id,
                now() + idempotency_hold::double precision * interval '1 millisecond'
            from drawn
            where id is not null and idempotency_hold ~ '^[0-9]'
            order by rank
            on conflict (job_type, idempotency_key) do update
            set job_id = excluded.job_id, held_until = excluded.held_until
            where held.held_until <= now()
            returning job_id
        ),
        past as (
            delete from "public"."job_queue_windows" past
            where past.ctid = any (array(
                select ended.ctid from "public"."job_queue_windows" ended
                where ended.held_until > '-infinity' and ended.held_until <= now()
                    and (ended.job_type::text, ended.idempotency_key::text) not in (
                        select job_type, idempotency_key from drawn where idempotency_key is not null
                    )
                order by ended.held_until
                limit 4::bigint + 2::bigint * (select pg_catalog.count(*) from drawn)
                for update skip locked
            ))
        ),
        added as (
            insert into "public"."job_queue" (id, job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold)
            select id, job_type, payload, max_attempts, priority, run_at, timeout_ms, retry_delay_ms, retry_factor, retry_max_delay_ms, dead_letter_job_type, idempotency_key, idempotency_hold from drawn
            where id is not null and (
                (idempotency_hold ~ '^[0-9]') is not true or id in (select job_id from windowed)
            )
            order by rank
            on conflict (job_type, idempotency_key) where idempotency_key is not null and case coalesce(idempotency_hold, 'unsettled')
                when 'unsettled' then status::text = 'pending' or status::text = 'processing'
                  or status::text = 'failed' and attempts < max_attempts and next_attempt_at is not null
                when 'queued' then status::text = 'pending' and attempts = 0 and snoozes is null
                when 'row' then true
                else false end do nothing
            returning id
        ),
        met as materialized (
            -- Looked up in a hash, which the sessions of workers do not have for a join.
            select drawn.*, drawn.id is not null and drawn.id in (select added.id::bigint from added) as is_added
            from drawn
            order by rank
        ),
        decided as materialized (
            select place, case when is_added then '[' || id::text || ',"added","pending",null]'
                -- The count has all rows inserted before.
                when (select pg_catalog.count(*) from added) >= 0::bigint then "public"."job_queue_add"(
                    pg_catalog.jsonb_build_object('job_type', job_type, 'max_attempts', max_attempts, 'priority', priority, 'run_at', run_at, 'timeout_ms', timeout_ms, 'retry_delay_ms', retry_delay_ms, 'retry_factor', retry_factor, 'retry_max_delay_ms', retry_max_delay_ms, 'dead_letter_job_type', dead_letter_job_type, 'idempotency_key', idempotency_key, 'idempotency_hold', idempotency_hold) || pg_catalog.jsonb_build_object('id', id), met.payload, coalesce(met.on_conflict, 'keep'), met.max_wait_ms
                )::text end as decision
            from met
        )
        select '[' || coalesce(pg_catalog.string_agg(decision, ',' order by place), '') || ']' as result
        from decided;

-- draw the ids of many jobs
-- $1 count
with named as (
    select pg_catalog.format('%I.job_queue', E'public') as name
), jobs as materialized (
    select name::regclass as id, pg_catalog.pg_get_serial_sequence(name, 'id')::regclass as sequence
    from named
)
select
    case when sequence is not null and not pg_catalog.row_security_active(id)
        and pg_catalog.has_column_privilege(id, 'id', 'insert')
    then array(
        select pg_catalog.nextval(sequence) from pg_catalog.generate_series(1, $1::bigint)
    ) end as ids,
    (extract(epoch from pg_catalog.now()) * 1000000::numeric)::bigint as now
from jobs;

-- copy many jobs
copy "public"."job_queue" (id, job_type, payload, max_attempts, priority, run_at, timeout_ms) from stdin;

-- announce that jobs are due
select pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'ready', true)::text);

-- find a job: job
-- $1 id
select pg_catalog.json_build_object(
                'id', job.id,
                'job_type', job.job_type,
                'payload', job.payload,
                'max_attempts', job.max_attempts,
                'priority', job.priority,
                'run_at', pg_catalog.floor(extract(epoch from job.run_at) * 1000::numeric),
                'timeout_ms', job.timeout_ms,
                'retry_delay_ms', job.retry_delay_ms,
                'retry_factor', job.retry_factor,
                'retry_max_delay_ms', job.retry_max_delay_ms,
                'dead_letter_job_type', job.dead_letter_job_type,
                'idempotency_key', job.idempotency_key,
                'idempotency_hold', job.idempotency_hold,
                'status', job.status,
                'attempts', job.attempts,
                'created_at', pg_catalog.floor(extract(epoch from job.created_at) * 1000::numeric),
                'updated_at', pg_catalog.floor(extract(epoch from job.updated_at) * 1000::numeric),
                'locked_at', pg_catalog.floor(extract(epoch from job.locked_at) * 1000::numeric),
                'locked_by', job.locked_by,
                'started_at', pg_catalog.floor(extract(epoch from case when job.status::text <> 'pending' then job.locked_at end) * 1000::numeric),
                'completed_at', pg_catalog.floor(extract(epoch from case when job.status::text = 'completed' then job.updated_at end) * 1000::numeric),
                'next_attempt_at', pg_catalog.floor(extract(epoch from job.next_attempt_at) * 1000::numeric),
                'snoozes', coalesce(job.snoozes, 0),
                'failure_reason', job.failure_reason,
                'pending_reason', job.pending_reason,
                'cancel_requested_at', pg_catalog.floor(extract(epoch from job.cancel_requested_at) * 1000::numeric),
                'error_history', coalesce(job.error_history, '[]'::jsonb)
            )::text as result from "public"."job_queue" job where job.id = $1::text::bigint;

-- list jobs that are pending: job
-- $1 status
-- $2 limit
-- $3 offset
select pg_catalog.json_build_object(
                'id', job.id,
                'job_type', job.job_type,
                'payload', job.payload,
                'max_attempts', job.max_attempts,
                'priority', job.priority,
                'run_at', pg_catalog.floor(extract(epoch from job.run_at) * 1000::numeric),
                'timeout_ms', job.timeout_ms,
                'retry_delay_ms', job.retry_delay_ms,
                'retry_factor', job.retry_factor,
                'retry_max_delay_ms', job.retry_max_delay_ms,
                'dead_letter_job_type', job.dead_letter_job_type,
                'idempotency_key', job.idempotency_key,
                'idempotency_hold', job.idempotency_hold,
                'status', job.status,
                'attempts', job.attempts,
                'created_at', pg_catalog.floor(extract(epoch from job.created_at) * 1000::numeric),
                'updated_at', pg_catalog.floor(extract(epoch from job.updated_at) * 1000::numeric),
                'locked_at', pg_catalog.floor(extract(epoch from job.locked_at) * 1000::numeric),
                'locked_by', job.locked_by,
                'started_at', pg_catalog.floor(extract(epoch from case when job.status::text <> 'pending' then job.locked_at end) * 1000::numeric),
                'completed_at', pg_catalog.floor(extract(epoch from case when job.status::text = 'completed' then job.updated_at end) * 1000::numeric),
                'next_attempt_at', pg_catalog.floor(extract(epoch from job.next_attempt_at) * 1000::numeric),
                'snoozes', coalesce(job.snoozes, 0),
                'failure_reason', job.failure_reason,
                'pending_reason', job.pending_reason,
                'cancel_requested_at', pg_catalog.floor(extract(epoch from job.cancel_requested_at) * 1000::numeric),
                'error_history', coalesce(job.error_history, '[]'::jsonb)
            )::text as result from (
                select * from "public"."job_queue"
                where status::text = $1::text and status::text = 'pending'
                order by created_at desc, id desc
                limit $2::text::bigint offset $3::text::bigint
            ) job
            order by job.created_at desc, job.id desc;

-- list jobs that are processing: job
-- $1 status
-- $2 limit
-- $3 offset
select pg_catalog.json_build_object(
                'id', job.id,
                'job_type', job.job_type,
                'payload', job.payload,
                'max_attempts', job.max_attempts,
                'priority', job.priority,
                'run_at', pg_catalog.floor(extract(epoch from job.run_at) * 1000::numeric),
                'timeout_ms', job.timeout_ms,
                'retry_delay_ms', job.retry_delay_ms,
                'retry_factor', job.retry_factor,
                'retry_max_delay_ms', job.retry_max_delay_ms,
                'dead_letter_job_type', job.dead_letter_job_type,
                'idempotency_key', job.idempotency_key,
                'idempotency_hold', job.idempotency_hold,
                'status', job.status,
                'attempts', job.attempts,
                'created_at', pg_catalog.floor(extract(epoch from job.created_at) * 1000::numeric),
                'updated_at', pg_catalog.floor(extract(epoch from job.updated_at) * 1000::numeric),
                'locked_at', pg_catalog.floor(extract(epoch from job.locked_at) * 1000::numeric),
                'locked_by', job.locked_by,
                'started_at', pg_catalog.floor(extract(epoch from case when job.status::text <> 'pending' then job.locked_at end) * 1000::numeric),
                'completed_at', pg_catalog.floor(extract(epoch from case when job.status::text = 'completed' then job.updated_at end) * 1000::numeric),
                'next_attempt_at', pg_catalog.floor(extract(epoch from job.next_attempt_at) * 1000::numeric),
                'snoozes', coalesce(job.snoozes, 0),
                'failure_reason', job.failure_reason,
                'pending_reason', job.pending_reason,
                'cancel_requested_at', pg_catalog.floor(extract(epoch from job.cancel_requested_at) * 1000::numeric),
                'error_history', coalesce(job.error_history, '[]'::jsonb)
            )::text as result from (
                select * from "public"."job_queue"
                where status::text = $1::text and status::text = 'processing'
                order by created_at desc, id desc
                limit $2::text::bigint offset $3::text::bigint
            ) job
            order by job.created_at desc, job.id desc;

-- list jobs that are completed: job
-- $1 status
-- $2 limit
-- $3 offset
select pg_catalog.json_build_object(
                'id', job.id,
                'job_type', job.job_type,
                'payload', job.payload,
                'max_attempts', job.max_attempts,
                'priority', job.priority,
                'run_at', pg_catalog.floor(extract(epoch from job.run_at) * 1000::numeric),
                'timeout_ms', job.timeout_ms,
                'retry_delay_ms', job.retry_delay_ms,
                'retry_factor', job.retry_factor,
                'retry_max_delay_ms', job.retry_max_delay_ms,
                'dead_letter_job_type', job.dead_letter_job_type,
                'idempotency_key', job.idempotency_key,
                'idempotency_hold', job.idempotency_hold,
                'status', job.status,
                'attempts', job.attempts,
                'created_at', pg_catalog.floor(extract(epoch from job.created_at) * 1000::numeric),
                'updated_at', pg_catalog.floor(extract(epoch from job.updated_at) * 1000::numeric),
                'locked_at', pg_catalog.floor(extract(epoch from job.locked_at) * 1000::numeric),
                'locked_by', job.locked_by,
                'started_at', pg_catalog.floor(extract(epoch from case when job.status::text <> 'pending' then job.locked_at end) * 1000::numeric),
                'completed_at', pg_catalog.floor(extract(epoch from case when job.status::text = 'completed' then job.updated_at end) * 1000::numeric),
                'next_attempt_at', pg_catalog.floor(extract(epoch from job.next_attempt_at) * 1000::numeric),
                'snoozes', coalesce(job.snoozes, 0),
                'failure_reason', job.failure_reason,
                'pending_reason', job.pending_reason,
                'cancel_requested_at', pg_catalog.floor(extract(epoch from job.cancel_requested_at) * 1000::numeric),
                'error_history', coalesce(job.error_history, '[]'::jsonb)
            )::text as result from (
                select * from "public"."job_queue"
                where status::text = $1::text and status::text <> 'pending' and status::text <> 'processing'
                order by created_at desc, id desc
                limit $2::text::bigint offset $3::text::bigint
            ) job
            order by job.created_at desc, job.id desc;

-- list all jobs: job
-- $1 limit
-- $2 offset
with recursive status (name) as (
                (
                    select job.status::text from "public"."job_queue" job
                    where job.status::text <> 'pending' and job.status::text <> 'processing'
                    order by job.status limit 1
                )
                union all
                select (
                    select next.status::text from "public"."job_queue" next
                    where next.status::text > status.name
                        and next.status::text <> 'pending' and next.status::text <> 'processing'
                    order by next.status limit 1
                )
                from status where status.name is not null
            )
            select pg_catalog.json_build_object(
                'id', job.id,
                'job_type', job.job_type,
                'payload', job.payload,
                'max_attempts', job.max_attempts,
                'priority', job.priority,
                'run_at', pg_catalog.floor(extract(epoch from job.run_at) * 1000::numeric),
                'timeout_ms', job.timeout_ms,
                'retry_delay_ms', job.retry_delay_ms,
                'retry_factor', job.retry_factor,
                'retry_max_delay_ms', job.retry_max_delay_ms,
                'dead_letter_job_type', job.dead_letter_job_type,
                'idempotency_key', job.idempotency_key,
                'idempotency_hold', job.idempotency_hold,
                'status', job.status,
                'attempts', job.attempts,
                'created_at', pg_catalog.floor(extract(epoch from job.created_at) * 1000::numeric),
                'updated_at', pg_catalog.floor(extract(epoch from job.updated_at) * 1000::numeric),
                'locked_at', pg_catalog.floor(extract(epoch from job.locked_at) * 1000::numeric),
                'locked_by', job.locked_by,
                'started_at', pg_catalog.floor(extract(epoch from case when job.status::text <> 'pending' then job.locked_at end) * 1000::numeric),
                'completed_at', pg_catalog.floor(extract(epoch from case when job.status::text = 'completed' then job.updated_at end) * 1000::numeric),
                'next_attempt_at', pg_catalog.floor(extract(epoch from job.next_attempt_at) * 1000::numeric),
                'snoozes', coalesce(job.snoozes, 0),
                'failure_reason', job.failure_reason,
                'pending_reason', job.pending_reason,
                'cancel_requested_at', pg_catalog.floor(extract(epoch from job.cancel_requested_at) * 1000::numeric),
                'error_history', coalesce(job.error_history, '[]'::jsonb)
            )::text as result from (
                select newest.* from (
                    select newest.* from status cross join lateral (
                        select * from "public"."job_queue" job
                        where job.status::text = status.name
                            and job.status::text <> 'pending' and job.status::text <> 'processing'
                        order by job.created_at desc, job.id desc
                        limit $1::text::bigint + $2::text::bigint
                    ) newest
                    union all
                    (
                        select * from "public"."job_queue" job where job.status::text = 'pending'
                        order by job.created_at desc, job.id desc
                        limit $1::text::bigint + $2::text::bigint
                    )
                    union all
                    select * from "public"."job_queue" where status::text = 'processing'
                ) newest
                order by newest.created_at desc, newest.id desc
                limit $1::text::bigint offset $2::text::bigint
            ) job
            order by job.created_at desc, job.id desc;

-- find a job: id
-- $1 id
select job.id::text as result from "public"."job_queue" job where job.id = $1::text::bigint;

-- list jobs that are pending: id
-- $1 status
-- $2 limit
-- $3 offset
select job.id::text as result from (
                select * from "public"."job_queue"
                where status::text = $1::text and status::text = 'pending'
                order by created_at desc, id desc
                limit $2::text::bigint offset $3::text::bigint
            ) job
            order by job.created_at desc, job.id desc;

-- list jobs that are processing: id
-- $1 status
-- $2 limit
-- $3 offset
select job.id::text as result from (
                select * from "public"."job_queue"
                where status::text = $1::text and status::text = 'processing'
                order by created_at desc, id desc
                limit $2::text::bigint offset $3::text::bigint
            ) job
            order by job.created_at desc, job.id desc;

-- list jobs that are completed: id
-- $1 status
-- $2 limit
-- $3 offset
select job.id::text as result from (
                select * from "public"."job_queue"
                where status::text = $1::text and status::text <> 'pending' and status::text <> 'processing'
                order by created_at desc, id desc
                limit $2::text::bigint offset $3::text::bigint
            ) job
            order by job.created_at desc, job.id desc;

-- list all jobs: id
-- $1 limit
-- $2 offset
with recursive status (name) as (
                (
                    select job.status::text from "public"."job_queue" job
                    where job.status::text <> 'pending' and job.status::text <> 'processing'
                    order by job.status limit 1
                )
                union all
                select (
                    select next.status::text from "public"."job_queue" next
                    where next.status::text > status.name
                        and next.status::text <> 'pending' and next.status::text <> 'processing'
                    order by next.status limit 1
                )
                from status where status.name is not null
            )
            select job.id::text as result from (
                select newest.* from (
                    select newest.* from status cross join lateral (
                        select * from "public"."job_queue" job
                        where job.status::text = status.name
                            and job.status::text <> 'pending' and job.status::text <> 'processing'
                        order by job.created_at desc, job.id desc
                        limit $1::text::bigint + $2::text::bigint
                    ) newest
                    union all
                    (
                        select * from "public"."job_queue" job where job.status::text = 'pending'
                        order by job.created_at desc, job.id desc
                        limit $1::text::bigint + $2::text::bigint
                    )
                    union all
                    select * from "public"."job_queue" where status::text = 'processing'
                ) newest
                order by newest.created_at desc, newest.id desc
                limit $1::text::bigint offset $2::text::bigint
            ) job
            order by job.created_at desc, job.id desc;

-- read these jobs: Whole
-- $1 ids
select pg_catalog.json_build_object(
                'id', job.id,
                'job_type', job.job_type,
                'payload', job.payload,
                'max_attempts', job.max_attempts,
                'priority', job.priority,
                'run_at', pg_catalog.floor(extract(epoch from job.run_at) * 1000::numeric),
                'timeout_ms', job.timeout_ms,
                'retry_delay_ms', job.retry_delay_ms,
                'retry_factor', job.retry_factor,
                'retry_max_delay_ms', job.retry_max_delay_ms,
                'dead_letter_job_type', job.dead_letter_job_type,
                'idempotency_key', job.idempotency_key,
                'idempotency_hold', job.idempotency_hold,
                'status', job.status,
                'attempts', job.attempts,
                'created_at', pg_catalog.floor(extract(epoch from job.created_at) * 1000::numeric),
                'updated_at', pg_catalog.floor(extract(epoch from job.updated_at) * 1000::numeric),
                'locked_at', pg_catalog.floor(extract(epoch from job.locked_at) * 1000::numeric),
                'locked_by', job.locked_by,
                'started_at', pg_catalog.floor(extract(epoch from case when job.status::text <> 'pending' then job.locked_at end) * 1000::numeric),
                'completed_at', pg_catalog.floor(extract(epoch from case when job.status::text = 'completed' then job.updated_at end) * 1000::numeric),
                'next_attempt_at', pg_catalog.floor(extract(epoch from job.next_attempt_at) * 1000::numeric),
                'snoozes', coalesce(job.snoozes, 0),
                'failure_reason', job.failure_reason,
                'pending_reason', job.pending_reason,
                'cancel_requested_at', pg_catalog.floor(extract(epoch from job.cancel_requested_at) * 1000::numeric),
                'error_history', coalesce(job.error_history, '[]'::jsonb)
            )::text as result from pg_catalog.unnest($1::bigint[]) with ordinality as named (id, place)
            cross join lateral (
                select * from "public"."job_queue" job where job.id = any (array[named.id])
            ) job
            order by named.place;

-- read these jobs: WithoutPayload
-- $1 ids
select pg_catalog.json_build_object(
                'id', job.id,
                'job_type', job.job_type,
                'payload', null,
                'max_attempts', job.max_attempts,
                'priority', job.priority,
                'run_at', pg_catalog.floor(extract(epoch from job.run_at) * 1000::numeric),
                'timeout_ms', job.timeout_ms,
                'retry_delay_ms', job.retry_delay_ms,
                'retry_factor', job.retry_factor,
                'retry_max_delay_ms', job.retry_max_delay_ms,
                'dead_letter_job_type', job.dead_letter_job_type,
                'idempotency_key', job.idempotency_key,
                'idempotency_hold', job.idempotency_hold,
                'status', job.status,
                'attempts', job.attempts,
                'created_at', pg_catalog.floor(extract(epoch from job.created_at) * 1000::numeric),
                'updated_at', pg_catalog.floor(extract(epoch from job.updated_at) * 1000::numeric),
                'locked_at', pg_catalog.floor(extract(epoch from job.locked_at) * 1000::numeric),
                'locked_by', job.locked_by,
                'started_at', pg_catalog.floor(extract(epoch from case when job.status::text <> 'pending' then job.locked_at end) * 1000::numeric),
                'completed_at', pg_catalog.floor(extract(epoch from case when job.status::text = 'completed' then job.updated_at end) * 1000::numeric),
                'next_attempt_at', pg_catalog.floor(extract(epoch from job.next_attempt_at) * 1000::numeric),
                'snoozes', coalesce(job.snoozes, 0),
                'failure_reason', job.failure_reason,
                'pending_reason', job.pending_reason,
                'cancel_requested_at', pg_catalog.floor(extract(epoch from job.cancel_requested_at) * 1000::numeric),
                'error_history', coalesce(job.error_history, '[]'::jsonb)
            )::text as result from pg_catalog.unnest($1::bigint[]) with ordinality as named (id, place)
            cross join lateral (
                select * from "public"."job_queue" job where job.id = any (array[named.id])
            ) job
            order by named.place;

-- read these jobs: Least
-- $1 ids
select pg_catalog.json_build_object(
                'id', job.id,
                'job_type', job.job_type,
                'payload', null,
                'max_attempts', job.max_attempts,
                'priority', job.priority,
                'run_at', pg_catalog.floor(extract(epoch from job.run_at) * 1000::numeric),
                'timeout_ms', job.timeout_ms,
                'retry_delay_ms', job.retry_delay_ms,
                'retry_factor', job.retry_factor,
                'retry_max_delay_ms', job.retry_max_delay_ms,
                'dead_letter_job_type', job.dead_letter_job_type,
                'idempotency_key', job.idempotency_key,
                'idempotency_hold', job.idempotency_hold,
                'status', job.status,
                'attempts', job.attempts,
                'created_at', pg_catalog.floor(extract(epoch from job.created_at) * 1000::numeric),
                'updated_at', pg_catalog.floor(extract(epoch from job.updated_at) * 1000::numeric),
                'locked_at', pg_catalog.floor(extract(epoch from job.locked_at) * 1000::numeric),
                'locked_by', job.locked_by,
                'started_at', pg_catalog.floor(extract(epoch from case when job.status::text <> 'pending' then job.locked_at end) * 1000::numeric),
                'completed_at', pg_catalog.floor(extract(epoch from case when job.status::text = 'completed' then job.updated_at end) * 1000::numeric),
                'next_attempt_at', pg_catalog.floor(extract(epoch from job.next_attempt_at) * 1000::numeric),
                'snoozes', coalesce(job.snoozes, 0),
                'failure_reason', job.failure_reason,
                'pending_reason', null,
                'cancel_requested_at', pg_catalog.floor(extract(epoch from job.cancel_requested_at) * 1000::numeric),
                'error_history', null
            )::text as result from pg_catalog.unnest($1::bigint[]) with ordinality as named (id, place)
            cross join lateral (
                select * from "public"."job_queue" job where job.id = any (array[named.id])
            ) job
            order by named.place;

-- look what is left to do
-- $1 types
with recursive lane (priority, began_at, step) as (
                select 2147483648::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint, 0
                union all
                select (
                select job.priority from "public"."job_queue" job
                where job.ready_at < 'infinity' and job.priority < lane.priority
                order by job.priority desc limit 1
            ), lane.began_at, lane.step + 1
                from lane
                where lane.priority is not null and lane.step < 2147483648
            )
        select pg_catalog.json_build_object(
            'due', coalesce(pg_catalog.sum(due.count), 0)::bigint + (
                select pg_catalog.count(*) from "public"."job_queue" job
                where job.status::text = 'processing'
                    and job.lease_expires_at <= pg_catalog.now()
                    and job.lease_expires_at > job.locked_at
            ),
            'nextDueAt',
                pg_catalog.floor(
                    extract(epoch from pg_catalog.min(later.ready_at)) * 1000::numeric
                ),
            'waiting', coalesce((
                select pg_catalog.json_agg(type.name)
                from pg_catalog.json_array_elements_text($1::text::json) as type (name)
                where exists (
                    select from lane cross join lateral (
                        select from "public"."job_queue" job
                        where job.job_type::text = type.name and job.job_type::text >= ''
                            and job.priority = lane.priority
                            and job.ready_at is not null and job.ready_at <= pg_catalog.now()
                        limit 1
                    ) job
                )
            ), '[]'::json)
        )::text as result
        from lane
        cross join lateral (
            select pg_catalog.count(*) from (
                select from "public"."job_queue" job
                where job.priority = lane.priority
                    and job.ready_at < 'infinity' and job.ready_at <= pg_catalog.now()
                order by job.ready_at, job.id
                limit 10000
            ) job
        ) due
        left join lateral (
            select job.ready_at from "public"."job_queue" job
            where job.priority = lane.priority
                and job.ready_at < 'infinity' and job.ready_at > pg_catalog.now()
            order by job.ready_at, job.id
            limit 1
        ) later on true;

-- retry
-- $1 id
with rival as (
            select rival.id from "public"."job_queue" job cross join lateral (
                select rival.id from "public"."job_queue" rival
            where rival.job_type::text = job.job_type::text and rival.idempotency_key::text = job.idempotency_key::text
                and rival.id <> job.id and rival.idempotency_key is not null and case coalesce(rival.idempotency_hold, 'unsettled')
                when 'unsettled' then rival.status::text = 'pending' or rival.status::text = 'processing'
                  or rival.status::text = 'failed' and rival.attempts < rival.max_attempts and rival.next_attempt_at is not null
                when 'queued' then rival.status::text = 'pending' and rival.attempts = 0 and rival.snoozes is null
                when 'row' then true
                else false end
                limit 1
            ) rival
            where job.id = $1::text::bigint and job.idempotency_key is not null
                and case coalesce(job.idempotency_hold, 'unsettled')
                    when 'unsettled' then true
                    when 'queued' then job.attempts = 0 and job.snoozes is null
                    else false end
        ),
        retried as (
            update "public"."job_queue" job
            set status = 'pending',
                updated_at = now(),
                -- A later outcome of a frozen worker is refused, whichever worker claims the job next.
                run_no = greatest(job.run_no + 1::bigint, (pg_catalog.date_part('epoch', clock_timestamp()) * 1000000::double precision)::bigint),
                max_attempts = greatest(
                    job.max_attempts, least(job.attempts::bigint + 1::bigint, 2147483647::bigint)::int
                ),
                run_at = least(job.run_at, now()),
                next_attempt_at = now(),
                locked_at = null,
                locked_by = null,
                lease_expires_at = null,
                claim_token = null,
                refusals = null,
                cancel_requested_at = null,
                pending_reason = null
            where job.id = $1::text::bigint
                and (
                    job.status::text = 'processing'
                    and job.lease_expires_at > job.locked_at and job.lease_expires_at > now()
                ) is not true
                and not exists (select from rival)
            returning job.id
        )
        select case when exists (select from retried) then 'retried'
                else coalesce((select 'duplicate of ' || rival.id::text from rival), 'running') end as result
            from "public"."job_queue" job
            cross join (
                select case when exists (select from retried) then pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'ready', true)::text) end
            ) notified
            where job.id = $1::text::bigint;

-- cancel
-- $1 id
with cancelled as (
                update "public"."job_queue" job
                set status = case
                        when job.status::text = 'processing' and (job.lease_expires_at > job.locked_at and job.lease_expires_at <= now()) is not true
                        then 'processing' else 'cancelled' end,
                    cancel_requested_at = case job.status::text when 'processing' then now() end,
                    updated_at = now()
                where job.id = $1::text::bigint
                    and (
                        job.status::text in ('pending', 'processing')
                        or (job.status::text = 'failed' and job.ready_at is not null)
                    ) is true
                returning job.id, job.status::text as status
            )
            select case cancelled.status when 'processing' then 'requested' else 'cancelled' end
                as result
            from cancelled cross join lateral (
                select case cancelled.status when 'processing' then pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'cancel', cancelled.id)::text) end
            ) notified;

-- cancel upcoming jobs
-- $1 job_type
-- $2 priority
-- $3 run_at
with cancelled as (
            update "public"."job_queue" job
            set status = 'cancelled', updated_at = now()
            where job.status::text = 'pending'
                and ($1::text is null or job.job_type::text = $1::text)
                and ($2::text is null or job.priority = $2::text::int)
                and (
                    $3::text is null
                    or pg_catalog.floor(
                        pg_catalog.date_part('epoch', job.run_at) * 1000::double precision
                    ) = $3::text::double precision
                )
            returning 1
        )
        select pg_catalog.count(*)::text as result from cancelled;

-- list upcoming jobs
-- $1 job_type
-- $2 priority
-- $3 run_at
select job.id::text as result from "public"."job_queue" job where job.status::text = 'pending'
                and ($1::text is null or job.job_type::text = $1::text)
                and ($2::text is null or job.priority = $2::text::int)
                and (
                    $3::text is null
                    or pg_catalog.floor(
                        pg_catalog.date_part('epoch', job.run_at) * 1000::double precision
                    ) = $3::text::double precision
                );

-- cancel these upcoming jobs
-- $1 job_type
-- $2 priority
-- $3 run_at
-- $4 ids
with cancelled as (
            update "public"."job_queue" job
            set status = 'cancelled', updated_at = now()
            where job.status::text = 'pending'
                and ($1::text is null or job.job_type::text = $1::text)
                and ($2::text is null or job.priority = $2::text::int)
                and (
                    $3::text is null
                    or pg_catalog.floor(
                        pg_catalog.date_part('epoch', job.run_at) * 1000::double precision
                    ) = $3::text::double precision
                ) and job.id = any ($4::bigint[])
            returning 1
        )
        select pg_catalog.count(*)::text as result from cancelled;

-- reclaim
-- $1 minutes
with stuck as (
                select job.id from "public"."job_queue" job
                where job.status::text = 'processing'
                    and coalesce(job.locked_at, job.updated_at)
                        < now() - $1::text::double precision * interval '1 minute'
                    and (job.lease_expires_at > job.locked_at and job.lease_expires_at > now()) is not true
                for no key update skip locked
            ),
            reclaimed as (
                update "public"."job_queue" job
                set status = case
                    when job.cancel_requested_at is not null then 'cancelled'
                    when (job.attempts < job.max_attempts or job.dead_letter_job_type is not null) then 'pending'
                    else 'failed' end,
                updated_at = now(),
                failure_reason = 'worker_lost',
                idempotency_hold = case when job.idempotency_hold = 'queued' then 'released' else job.idempotency_hold end,
                run_no = job.run_no + 1::bigint,
                locked_at = null,
                locked_by = null,
                lease_expires_at = null,
                claim_token = null,
                next_attempt_at = case
                    when job.cancel_requested_at is null and ((job.attempts < job.max_attempts or job.dead_letter_job_type is not null)) then null::timestamptz end,
                error_history = (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'WorkerLost', 'attempt', (job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end), 'message', 'Worker lost: ' || coalesce(job.locked_by::text, 'unknown') || case when coalesce(job.claim_token, 1::bigint) > 0::bigint then ' did not finish attempt ' else ' did not begin attempt ' end || ((job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end))::text || ' of ' || job.max_attempts::text)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))
                from stuck
                where job.id = any (array[stuck.id])
                returning 1
            )
            select pg_catalog.count(*)::text as result from reclaimed cross join (
                select case when exists (select from reclaimed) then pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'ready', true)::text) end
            ) notified;

-- list what can be reclaimed
-- $1 minutes
select job.id::text as result from "public"."job_queue" job where job.status::text = 'processing'
                    and coalesce(job.locked_at, job.updated_at)
                        < now() - $1::text::double precision * interval '1 minute'
                    and (job.lease_expires_at > job.locked_at and job.lease_expires_at > now()) is not true;

-- reclaim these
-- $1 minutes
-- $2 ids
with stuck as (
                select job.id from "public"."job_queue" job
                where job.status::text = 'processing'
                    and coalesce(job.locked_at, job.updated_at)
                        < now() - $1::text::double precision * interval '1 minute'
                    and (job.lease_expires_at > job.locked_at and job.lease_expires_at > now()) is not true and job.id = any ($2::bigint[])
                for no key update skip locked
            ),
            reclaimed as (
                update "public"."job_queue" job
                set status = case
                    when job.cancel_requested_at is not null then 'cancelled'
                    when (job.attempts < job.max_attempts or job.dead_letter_job_type is not null) then 'pending'
                    else 'failed' end,
                updated_at = now(),
                failure_reason = 'worker_lost',
                idempotency_hold = case when job.idempotency_hold = 'queued' then 'released' else job.idempotency_hold end,
                run_no = job.run_no + 1::bigint,
                locked_at = null,
                locked_by = null,
                lease_expires_at = null,
                claim_token = null,
                next_attempt_at = case
                    when job.cancel_requested_at is null and ((job.attempts < job.max_attempts or job.dead_letter_job_type is not null)) then null::timestamptz end,
                error_history = (case when pg_catalog.jsonb_typeof(job.error_history) = 'array' then pg_catalog.jsonb_path_query_array(job.error_history, '$[last - 98 to last]'::jsonpath, '{}'::jsonb, false) else '[]'::jsonb end || pg_catalog.jsonb_build_array((pg_catalog.jsonb_build_object('name', 'WorkerLost', 'attempt', (job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end), 'message', 'Worker lost: ' || coalesce(job.locked_by::text, 'unknown') || case when coalesce(job.claim_token, 1::bigint) > 0::bigint then ' did not finish attempt ' else ' did not begin attempt ' end || ((job.attempts + case when coalesce(job.claim_token, 1::bigint) > 0::bigint then 0 else 1 end))::text || ' of ' || job.max_attempts::text)) || pg_catalog.jsonb_build_object('timestamp', pg_catalog.to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'))))
                from stuck
                where job.id = any (array[stuck.id])
                returning 1
            )
            select pg_catalog.count(*)::text as result from reclaimed cross join (
                select case when exists (select from reclaimed) then pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', E'public', 'ready', true)::text) end
            ) notified;

-- clean up
-- $1 status
-- $2 created_at
-- $3 id
-- $4 added_before
-- $5 days_to_keep
-- $6 rows
with seen as (
            select job.id, job.created_at, job.updated_at, job.ready_at from "public"."job_queue" job
            where job.status::text = $1::text
                and job.status::text <> 'pending' and job.status::text <> 'processing'
                and (job.created_at, job.id) > (
                    coalesce($2::text::timestamptz, '-infinity'), coalesce($3::text::bigint, 0::bigint)
                )
                and job.created_at <= case when $4::text::boolean then now() - $5::text::double precision * 86400::double precision * interval '1 second' else 'infinity' end
            order by job.created_at, job.id
            limit $6::text::bigint
        ),
        free as (
            select job.id from seen cross join lateral (
                select job.id from "public"."job_queue" job
                where job.id = any (array[seen.id]) and (job.status::text = $1::text and job.ready_at is null and job.updated_at < now() - $5::text::double precision * 86400::double precision * interval '1 second') is true
                for update skip locked
            ) job
        ),
        deleted as (
            delete from "public"."job_queue" job using free
            where job.id = any (array[free.id])
            returning 1
        )
        select pg_catalog.json_build_object(
            'deleted', (select pg_catalog.count(*) from deleted),
            'last', case when (select pg_catalog.count(*) from seen) = $6::text::bigint then (
                select pg_catalog.json_build_object('createdAt', created_at::text, 'id', id)
                from seen order by created_at desc, id desc limit 1
            ) end
        )::text as result;

-- list what can be cleaned up
-- $1 status
-- $2 created_at
-- $3 id
-- $4 added_before
-- $5 days_to_keep
-- $6 rows
with seen as (
            select job.id, job.created_at, job.updated_at, job.ready_at from "public"."job_queue" job
            where job.status::text = $1::text
                and job.status::text <> 'pending' and job.status::text <> 'processing'
                and (job.created_at, job.id) > (
                    coalesce($2::text::timestamptz, '-infinity'), coalesce($3::text::bigint, 0::bigint)
                )
                and job.created_at <= case when $4::text::boolean then now() - $5::text::double precision * 86400::double precision * interval '1 second' else 'infinity' end
            order by job.created_at, job.id
            limit $6::text::bigint
        )
        select pg_catalog.json_build_object(
            'ids', coalesce((
                select pg_catalog.json_agg(job.id) from seen job
                where job.ready_at is null and job.updated_at < now() - $5::text::double precision * 86400::double precision * interval '1 second'
            ), '[]'::json),
            'last', case when (select pg_catalog.count(*) from seen) = $6::text::bigint then (
                select pg_catalog.json_build_object('createdAt', created_at::text, 'id', id)
                from seen order by created_at desc, id desc limit 1
            ) end
        )::text as result;

-- clean up these
-- $1 ids
-- $2 status
-- $3 days_to_keep
with seen as (select id from pg_catalog.unnest($1::bigint[]) as seen (id)),
        free as (
            select job.id from seen cross join lateral (
                select job.id from "public"."job_queue" job
                where job.id = any (array[seen.id]) and (job.status::text = $2::text and job.ready_at is null and job.updated_at < now() - $3::text::double precision * 86400::double precision * interval '1 second') is true
                for update skip locked
            ) job
        ),
        deleted as (
            delete from "public"."job_queue" job using free
            where job.id = any (array[free.id])
            returning 1
        )
        select pg_catalog.count(*)::text as result from deleted;

