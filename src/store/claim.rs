//! The statement that the engine lives on: it settles what has ended and claims what is due, in one
//! round trip.
//!
//! Due jobs are found through one index that holds exactly the claimable rows in exactly the order
//! of the claim: `(priority desc, ready_at, id)`. The statement steps from lane to lane
//! ([`super::lane`]), reads in each only what is due, from the worker's cursor on ([`super::cursor`]),
//! and stops when it has enough.
//!
//! Statistics are always wrong about a queue, so the planner is left no choice of indexes: each but the
//! primary key has a condition that is always true (`ready_at < 'infinity'`, `job_type >= ''`,
//! `status >= ''`), which only the statements say that are made for it.
//!
//! `for update skip locked` in the innermost query locks row by row, as they are read: what another
//! worker is claiming is passed over without a wait, and nothing is locked that is not taken.

use super::cursor::Look;
use super::history::{append, worker_lost};
use super::lane::{lanes, lanes_by};
use super::settle::settled;
use crate::connect::{Schema, Statement, Value};

/// What is taken of a due row, and what is to become of it: a lost worker leaves behind what somebody
/// wants cancelled, and what has no attempts left.
macro_rules! due_columns {
    () => {
        "job.id, job.ready_at, case
            when job.status = 'processing' and job.cancel_requested_at is not null then 'cancelled'
            when job.attempts >= job.max_attempts then 'failed'
            else 'processing' end as fate"
    };
}

/// The due jobs that meet the condition of an index, in its order.
macro_rules! due_of {
    ($condition:expr) => {
        concat!(
            lanes!($condition),
            ",
            due as (
                select job.* from lane cross join lateral (
                    select ",
            due_columns!(),
            " from {jobs} job
                    where ",
            $condition,
            " and job.priority = lane.priority and job.ready_at <= now()
                        and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                    order by job.ready_at, job.id
                    limit $7
                    for update skip locked
                ) job
                limit $7
            )"
        )
    };
}

/// The due jobs of all types.
macro_rules! due {
    () => {
        due_of!("job.ready_at < 'infinity'")
    };
}

/// The due jobs of the one type in `$13`, through the index that begins with the type.
macro_rules! due_of_type {
    () => {
        due_of!(
            "job.job_type = ($13::text[])[1] and job.job_type >= '' and job.ready_at is not null"
        )
    };
}

/// The due jobs of the types in `$13`, through the same index. Each type offers
/// its first candidates of a lane; they are merged, and locked in that order. What others have
/// locked is made up for by offering more than is asked for.
macro_rules! due_of_types {
    () => {
        concat!(
            lanes_by!(
                "(
                    select max(top.priority) from unnest($13::text[]) type (name) cross join lateral (
                        select job.priority from {jobs} job
                        where job.job_type = type.name and job.job_type >= '' and job.ready_at is not null
                            and job.priority < lane.priority and job.priority > known.priority
                        order by job.priority desc limit 1
                    ) top
                )"
            ),
            ",
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id from unnest($13::text[]) type (name) cross join lateral (
                            select job.id, job.ready_at from {jobs} job
                            where job.job_type = type.name and job.job_type >= '' and job.priority = lane.priority
                                and job.ready_at is not null and job.ready_at <= now()
                                and (job.ready_at, job.id) > (lane.ready_at, lane.id)
                            order by job.ready_at, job.id
                            limit $7 * 4 + 100
                        ) offered
                        order by offered.ready_at, offered.id
                    ) candidate
                    cross join lateral (
                        select ",
            due_columns!(),
            " from {jobs} job
                        where job.id = any (array[candidate.id])
                            and (job.ready_at <= now()) is true
                        for update skip locked
                    ) locked
                    limit $7
                ) job
                limit $7
            )"
        )
    };
}

/// Takes what is `due`, behind the positions in `$10` to `$12`, for the worker `$8` under a lease of `$9`
/// milliseconds. A job that has no
/// attempts left ends here: its last worker was lost, or it was made pending by hand.
macro_rules! exchange {
    ($due:expr) => {
        concat!(
            "with recursive ",
            settled!(),
            ",
            passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch' + passed.ready_at * interval '1 microsecond' as ready_at
                from unnest($10::bigint[], $11::bigint[], $12::bigint[])
                    as passed (priority, ready_at, id)
            ),
            ",
            $due,
            ", claimed as (
                update {jobs} job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (due.fate = 'processing')::int,
                    run_no = job.run_no + 1,
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then $8 else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + $9::bigint * interval '1 millisecond' end,
                    cancel_requested_at =
                        case due.fate when 'cancelled' then job.cancel_requested_at end,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case
                        when job.status = 'processing' then ",
            append!("job", worker_lost!("job")),
            "
                        when due.fate = 'failed' then ",
            append!(
                "job",
                "jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' \
                || job.attempts || ' of ' || job.max_attempts || ' were made; retryJob grants one more')"
            ),
            "
                        else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, due.ready_at, job.job_type, job.payload,
                    job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )
            select id::bigint, run_no, 'settled' as fate, null::text as job_type, null::text as payload,
                null::int as attempts, null::int as max_attempts, null::int as priority,
                null::bigint as run_at, null::bigint as timeout_ms, null::bigint as ready_at,
                null::bigint as took
            from (
                select * from settled union all select * from removed union all select * from written
            ) settled
            union all
            select id::bigint, run_no, fate, job_type,
                case fate when 'processing' then payload::text end, attempts, max_attempts, priority,
                case when isfinite(run_at) then
                    floor(extract(epoch from run_at) * 1000)::bigint end,
                timeout_ms::bigint,
                case when isfinite(ready_at) then
                    (extract(epoch from ready_at) * 1000000)::bigint end,
                null
            from claimed
            union all
            -- The parts of a union are run in their order: this is read when all is done.
            select null, null, 'done', null, null, null, null, null, null, null, null,
                (extract(epoch from clock_timestamp() - statement_timestamp()) * 1000000)::bigint"
        )
    };
}

/// Settles `outcomes` and claims up to `limit` jobs for the worker, of the `types` or of all.
pub fn exchange(
    schema: &Schema,
    outcomes: Vec<Value>,
    limit: usize,
    worker_id: &str,
    lease_ms: i64,
    look: &Look,
    types: Option<&[String]>,
) -> Statement {
    let mut values = outcomes;
    values.push(Value::BigInt(limit.try_into().unwrap_or(i64::MAX)));
    values.push(worker_id.into());
    values.push(Value::BigInt(lease_ms));
    values.extend(look.values());
    let Some(types) = types else {
        return schema.statement(exchange!(due!()), values);
    };
    values.push(Value::Texts(types.iter().cloned().map(Some).collect()));
    let template = match types {
        [_] => exchange!(due_of_type!()),
        _ => exchange!(due_of_types!()),
    };
    schema.statement(template, values)
}
