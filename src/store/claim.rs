//! The statements that the engine lives on: one that claims what is due, and one that besides settles what
//! has ended, in the same round trip. What only settles is in [`super::settle`].
//!
//! Due jobs are found through one index that holds exactly the claimable rows in exactly the order
//! of the claim: `(priority desc, ready_at, id)`. The statement steps from lane to lane
//! ([`super::lane`]), reads in each only what is due, from the worker's cursor on ([`super::cursor`]),
//! and stops when it has enough.
//!
//! Statistics are always wrong about a queue, so the planner is left no choice of indexes: each but the
//! primary key has a condition (`ready_at < 'infinity'`, `job_type >= ''`, `status = 'pending'`, ...) which only
//! the statements say that are made for it.
//!
//! `for update skip locked` in the innermost query locks row by row, as they are read: what another
//! worker is claiming is passed over without a wait, and nothing is locked that is not taken. Most of that is
//! passed over before ([`untouched`]), since to try each lock takes several times as long.

use super::cursor::Look;
use super::history::append;
use super::lane::{lanes, lanes_behind, next_lane};
use super::settle::{self, settled};
use crate::connect::{Schema, Statement, Value};
use crate::processor::Outcome;

/// What is taken of a due row, and what is to become of it: it was made pending by hand if it has no
/// attempts left.
macro_rules! due_columns {
    () => {
        "job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts then 'failed' else 'processing' end as fate"
    };
}

/// Where a look starts: at the beginning of each lane, or behind the positions in the lists of values that
/// are given.
macro_rules! lanes_of {
    ($condition:expr) => {
        lanes!(next_lane!($condition, ""))
    };
    ($condition:expr, $passed:tt) => {
        concat!(
            passed!($passed),
            lanes_behind!(next_lane!($condition, " and job.priority > known.priority"))
        )
    };
}

macro_rules! passed {
    ([$priorities:literal, $times:literal, $ids:literal]) => {
        concat!(
            "passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch' + passed.ready_at * interval '1 microsecond' as ready_at
                from unnest(",
            $priorities,
            "::bigint[], ",
            $times,
            "::bigint[], ",
            $ids,
            "::bigint[])
                    as passed (priority, ready_at, id)
            ),
            "
        )
    };
}

/// No transaction that had not ended when the statement began has changed or locked the row as the statement sees
/// it: what one has is most likely claimed by now, and if not, the next look finds it.
///
/// `xmax` names the last transaction that did, or a group of lockers by a number of another sequence ("System
/// Columns" and "Multixacts and Wraparound" in Postgres's manual). A number well ahead of the transactions can be no
/// other, and does not count. Where these need more than 32 bits, none is found to be under way, and the lock decides
/// alone.
macro_rules! untouched {
    () => {
        " and (
                            job.xmax = '0'::xid
                            or txid_visible_in_snapshot(
                                job.xmax::text::bigint, (select txid_current_snapshot())
                            )
                            or age(job.xmax) < -10000
                        )"
    };
}

macro_rules! behind {
    () => {
        ""
    };
    ($passed:tt) => {
        " and (job.ready_at, job.id) > (lane.ready_at, lane.id)"
    };
}

/// The first `$limit` due jobs that meet the condition of an index, in its order.
macro_rules! due_of {
    ($condition:expr, $limit:literal $(, $passed:tt)?) => {
        concat!(
            lanes_of!($condition $(, $passed)?),
            ",
            due as (
                select job.* from lane cross join lateral (
                    select ",
            due_columns!(),
            " from {jobs} job
                    where ",
            $condition,
            " and job.priority = lane.priority and job.ready_at <= now()",
            untouched!(),
            behind!($($passed)?),
            "
                    order by job.ready_at, job.id
                    limit ",
            $limit,
            "
                    for update skip locked
                ) job
                limit ",
            $limit,
            "
            )"
        )
    };
}

/// The due jobs of all types.
macro_rules! due {
    ($limit:literal, $types:literal $(, $passed:tt)?) => {
        due_of!("job.ready_at < 'infinity'", $limit $(, $passed)?)
    };
}

/// The due jobs of the one type in `$types`, through the index that begins with the type.
macro_rules! due_of_type {
    ($limit:literal, $types:literal $(, $passed:tt)?) => {
        due_of!(
            concat!(
                "job.job_type = (",
                $types,
                "::text[])[1] and job.job_type >= '' and job.ready_at is not null"
            ),
            $limit
            $(, $passed)?
        )
    };
}

/// The next lane of the types in `$types`.
macro_rules! next_lane_of_types {
    ($types:literal, $and:literal) => {
        concat!(
            "(
                select max(top.priority) from unnest(",
            $types,
            "::text[]) type (name) cross join lateral (",
            next_lane!(
                "job.job_type = type.name and job.job_type >= '' and job.ready_at is not null",
                $and
            ),
            ") top
            )"
        )
    };
}

macro_rules! lanes_of_types {
    ($types:literal) => {
        lanes!(next_lane_of_types!($types, ""))
    };
    ($types:literal, $passed:tt) => {
        concat!(
            passed!($passed),
            lanes_behind!(next_lane_of_types!(
                $types,
                " and job.priority > known.priority"
            ))
        )
    };
}

/// The due jobs of the types in `$types`, through the same index. Each type offers
/// its first candidates of a lane; they are merged, and locked in that order. What others have
/// locked is made up for by offering more than is asked for.
macro_rules! due_of_types {
    ($limit:literal, $types:literal $(, $passed:tt)?) => {
        concat!(
            lanes_of_types!($types $(, $passed)?),
            ",
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id from unnest(",
            $types,
            "::text[]) type (name) cross join lateral (
                            select job.id, job.ready_at from {jobs} job
                            where job.job_type = type.name and job.job_type >= '' and job.priority = lane.priority
                                and job.ready_at is not null and job.ready_at <= now()",
            untouched!(),
            behind!($($passed)?),
            "
                            order by job.ready_at, job.id
                            limit ",
            $limit,
            " * 4 + 100
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
                    limit ",
            $limit,
            "
                ) job
                limit ",
            $limit,
            "
            )"
        )
    };
}

/// Takes what is `$due` for `$worker`, under a lease of `$lease` milliseconds. A job that has no attempts left
/// ends here.
macro_rules! claimed {
    ($due:expr, $worker:literal, $lease:literal) => {
        concat!(
            $due,
            ", claimed as (
                update {jobs} job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (due.fate = 'processing')::int,
                    run_no = greatest(job.run_no + 1, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then ",
            $worker,
            " else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + ",
            $lease,
            "::bigint * interval '1 millisecond' end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then ",
            append!(
                "job",
                "jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' \
                || job.attempts || ' of ' || job.max_attempts || ' were made; retryJob grants one more')"
            ),
            " else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, due.ready_at, due.began_at, due.found_at, job.job_type,
                    job.payload, job.attempts, job.max_attempts, job.priority, job.run_at, job.timeout_ms
            )"
        )
    };
}

/// What was claimed, and after how many microseconds it was found.
macro_rules! claimed_rows {
    () => {
        "select id::bigint, run_no, fate, job_type,
                case fate when 'processing' then payload::text end as payload,
                attempts, max_attempts, priority,
                case when isfinite(run_at) then
                    floor(extract(epoch from run_at) * 1000)::bigint end as run_at,
                timeout_ms::bigint,
                case when isfinite(ready_at) then
                    (extract(epoch from ready_at) * 1000000)::bigint end as ready_at,
                (date_part('epoch', found_at) * 1000000)::bigint - began_at as searched"
    };
}

/// A claim alone does not wait until it is on the disk. Whatever is written after it and waits, by the handler or
/// by anybody else, has it written there before: the log is one. If the server crashes before that, the job is
/// as it was, and `run_no` sees to it that the run that nobody knows of can write nothing, because it is never
/// given out again: it is the time of the claim.
macro_rules! claim {
    ($due:ident, $($values:tt),+) => {
        concat!(
            "with recursive ",
            claimed!($due!("$1", $($values),+), "$2", "$3"),
            " ",
            claimed_rows!(),
            ", (select set_config('synchronous_commit', 'off', true)) as unflushed from claimed"
        )
    };
}

/// From the beginning, or from the cursor on.
macro_rules! claim_or_behind {
    ($due:ident, $look:expr) => {
        if $look.is_from_beginning() {
            claim!($due, "$4")
        } else {
            claim!($due, "$7", ["$4", "$5", "$6"])
        }
    };
}

macro_rules! exchange {
    ($due:ident) => {
        concat!(
            "with recursive ",
            settled!(),
            ", ",
            claimed!($due!("$7", "$13", ["$10", "$11", "$12"]), "$8", "$9"),
            "
            select id::bigint, run_no, 'settled' as fate, null::text as job_type, null::text as payload,
                null::int as attempts, null::int as max_attempts, null::int as priority,
                null::bigint as run_at, null::bigint as timeout_ms, null::bigint as ready_at,
                null::bigint as searched
            from settled_rows
            union all
            ",
            claimed_rows!(),
            " from claimed"
        )
    };
}

/// What a worker takes.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The most jobs.
    pub limit: usize,
    pub worker_id: &'a str,
    pub lease_ms: i64,
    /// The types of the jobs; `None` is all.
    pub types: Option<&'a [String]>,
    /// Whether to claim by the statement that settles as well, though there is nothing to settle: a role that
    /// may not settle is refused it.
    pub proving: bool,
}

impl Claim<'_> {
    fn values(&self, passed: Option<&Look>) -> Vec<Value> {
        let mut values = vec![
            Value::BigInt(self.limit.try_into().unwrap_or(i64::MAX)),
            self.worker_id.into(),
            Value::BigInt(self.lease_ms),
        ];
        values.extend(passed.into_iter().flat_map(Look::values));
        let types = |types: &[String]| types.iter().cloned().map(Some).collect();
        values.extend(self.types.map(|of| Value::Texts(types(of))));
        values
    }
}

/// The statement that settles `outcomes`, as [`settle::values`] says, and claims: either, or both. To set up
/// what a statement does not need takes as long as to do what it does.
pub fn statement(
    schema: &Schema,
    outcomes: Vec<Outcome>,
    remove_on_complete: bool,
    claim: &Claim<'_>,
    look: &Look,
) -> Statement {
    if outcomes.is_empty() && !claim.proving {
        let template = match claim.types {
            None => claim_or_behind!(due, look),
            Some([_]) => claim_or_behind!(due_of_type, look),
            Some(_) => claim_or_behind!(due_of_types, look),
        };
        let passed = (!look.is_from_beginning()).then_some(look);
        return schema.statement(template, claim.values(passed));
    }
    let mut values = settle::values(outcomes, remove_on_complete);
    if claim.limit == 0 {
        return settle::statement(schema, values);
    }
    let template = match claim.types {
        None => exchange!(due),
        Some([_]) => exchange!(due_of_type),
        Some(_) => exchange!(due_of_types),
    };
    values.extend(claim.values(Some(look)));
    schema.statement(template, values)
}
