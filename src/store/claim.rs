//! The statement that the engine lives on: it settles what has ended and claims what is due, in one
//! round trip.
//!
//! Due jobs are found through one index that holds exactly the claimable rows in exactly the order
//! of the claim: `(priority desc, ready_at, id)`. A scan from its start would walk every job that
//! waits for the future in front of the first that is due at a lower priority. So the statement
//! steps from priority to priority (`lane`), reads in each only what is due, and stops when it has
//! enough: a common table expression is evaluated no further than it is read, a fact of Postgres
//! that its manual states under "WITH Queries".
//!
//! Statistics are always wrong about a queue, so the planner is left no choice of indexes: each but the
//! primary key has a condition that is always true (`ready_at < 'infinity'`, `job_type >= ''`,
//! `status >= ''`), which only the statements say that are made for it.
//!
//! `for update skip locked` in the innermost query locks row by row, as they are read: what another
//! worker is claiming is passed over without a wait, and nothing is locked that is not taken.

use super::history::{append, worker_lost};
use super::settle::{self, settled};
use super::worker::Worker;
use crate::connect::{Schema, Statement, Value};
use crate::processor::Outcome;

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

/// The due jobs of all types.
macro_rules! due {
    () => {
        concat!(
            "lane (priority) as (
                (
                    select job.priority from {jobs} job
                    where job.ready_at < 'infinity'
                    order by job.priority desc limit 1
                )
                union all
                select (
                    select job.priority from {jobs} job
                    where job.ready_at < 'infinity' and job.priority < lane.priority
                    order by job.priority desc limit 1
                )
                from lane where lane.priority is not null
            ),
            due as (
                select job.* from lane cross join lateral (
                    select ",
            due_columns!(),
            " from {jobs} job
                    where job.priority = lane.priority
                        and job.ready_at < 'infinity' and job.ready_at <= now()
                    order by job.ready_at, job.id
                    limit $7
                    for update skip locked
                ) job
                limit $7
            )"
        )
    };
}

/// The due jobs of the types in `$10`, through the index that begins with the type. Each type offers
/// its first candidates of a priority; they are merged, and locked in that order. What others have
/// locked is made up for by offering more than is asked for.
macro_rules! due_of_types {
    () => {
        concat!(
            "lane (priority) as (
                select max(top.priority) from unnest($10::text[]) type (name) cross join lateral (
                    select job.priority from {jobs} job
                    where job.job_type = type.name and job.job_type >= '' and job.ready_at is not null
                    order by job.priority desc limit 1
                ) top
                union all
                select (
                    select max(next.priority) from unnest($10::text[]) type (name)
                    cross join lateral (
                        select job.priority from {jobs} job
                        where job.job_type = type.name and job.job_type >= '' and job.ready_at is not null
                            and job.priority < lane.priority
                        order by job.priority desc limit 1
                    ) next
                )
                from lane where lane.priority is not null
            ),
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id from unnest($10::text[]) type (name) cross join lateral (
                            select job.id, job.ready_at from {jobs} job
                            where job.job_type = type.name and job.job_type >= '' and job.priority = lane.priority
                                and job.ready_at is not null and job.ready_at <= now()
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

/// Takes what is `due` for the worker `$8` under a lease of `$9` milliseconds. A job that has no
/// attempts left ends here: its last worker was lost, or it was made pending by hand.
macro_rules! exchange {
    ($due:expr) => {
        concat!(
            "with recursive ",
            settled!(),
            ", ",
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
                null::bigint as run_at, null::bigint as timeout_ms, null::float8 as ready_at
            from (
                select * from settled union all select * from removed union all select * from written
            ) settled
            union all
            select id::bigint, run_no, fate, job_type,
                case fate when 'processing' then payload::text end, attempts, max_attempts, priority,
                case when isfinite(run_at) then
                    floor(extract(epoch from run_at) * 1000)::bigint end,
                timeout_ms::bigint,
                extract(epoch from ready_at)::float8
            from claimed"
        )
    };
}

/// Settles `outcomes` and claims up to `limit` jobs for the worker, of its types or of those in `only`.
pub fn exchange(
    worker: &Worker,
    outcomes: Vec<Outcome>,
    limit: usize,
    only: Option<Vec<String>>,
) -> Statement {
    let types = only.as_ref().or(worker.job_types.as_ref());
    statement(
        &worker.schema,
        settle::values(outcomes, worker.remove_on_complete),
        limit,
        &worker.id,
        worker.lease_ms(),
        types.map(Vec::as_slice),
    )
}

/// The same, of what `settle::values` has made of the outcomes.
pub(super) fn statement(
    schema: &Schema,
    outcomes: Vec<Value>,
    limit: usize,
    worker_id: &str,
    lease_ms: i64,
    types: Option<&[String]>,
) -> Statement {
    let mut values = outcomes;
    values.push(Value::BigInt(limit.try_into().unwrap_or(i64::MAX)));
    values.push(worker_id.into());
    values.push(Value::BigInt(lease_ms));
    match types {
        None => schema.statement(exchange!(due!()), values),
        Some(types) => {
            values.push(Value::Texts(types.iter().cloned().map(Some).collect()));
            schema.statement(exchange!(due_of_types!()), values)
        }
    }
}
