//! The engine's main statements: one that claims due jobs, and one that also settles ended
//! runs, in the same round trip. The statement that only settles is in [`super::settle`].
//!
//! Due jobs are found through one index that holds exactly the claimable rows in exactly the order
//! of the claim: `(priority desc, ready_at, id)`. The statement steps from lane to lane
//! ([`super::lane`]), reads in each only the due jobs, from the worker's cursor on ([`super::cursor`]),
//! and stops when it has enough.
//!
//! Statistics are always wrong about a queue, so the planner is left no choice of indexes: each but the
//! primary key has a condition (`ready_at < 'infinity'`, `job_type >= ''`, `status = 'pending'`, ...) that only
//! the statements made for it state.
//!
//! `skip locked` in the innermost query locks row by row, as they are read: a job that another
//! worker is claiming is passed over without a wait, and no row is locked that is not taken. Most jobs of other
//! workers are passed over before ([`untouched`]), since to try each lock takes several times as long.
//!
//! The attempt is counted with the claim, but for a job's last one, which is counted when its handler begins
//! ([`super::begin`]): a worker that dies between the two does not cost the job its last run. Until then
//! `claim_token` is negative.

use super::cursor::Look;
use super::fence::{is_leased, owned};
use super::history::append;
use super::lane::{lanes, lanes_behind, microseconds, next_lane};
use super::settle::{
    self, Form, completed, ended, is_put_back, kept, removed, settled, settled_rows,
    write_outcomes, written_before,
};
use super::touched::{is_over, last_transaction, untouched};
use crate::connect::{Named, Schema, Statement, Value};
use crate::job::{Outcome, Run};

/// The most lanes that one statement steps through. A statement that stops there says so, and the next goes on below.
macro_rules! most_lanes {
    () => {
        "1000"
    };
}

/// The fate, in an answer, of a job that was claimed and leaves a dead letter if it fails for good.
macro_rules! with_dead_letter {
    () => {
        "processing, with a dead letter"
    };
}

pub const WITH_DEAD_LETTER: &str = with_dead_letter!();

/// The columns that are read of a due row, and whether it is claimed or ends: a job that has no attempts left was made
/// pending by hand, or lost its worker and is to leave a dead letter. To add one is left to the settling statement: so
/// a job with a dead letter is claimed in any case.
macro_rules! due_columns {
    () => {
        "job.id, job.ready_at, lane.began_at, clock_timestamp() as found_at,
            case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null then 'failed'
                else 'processing' end as fate"
    };
}

/// Where a look starts: at the beginning of each lane, or behind the positions in `passed`.
macro_rules! lanes_of {
    ($condition:expr, from_beginning) => {
        lanes!(next_lane!($condition, ""), "{below}", most_lanes!())
    };
    ($condition:expr, behind) => {
        concat!(
            passed!(),
            lanes_behind!(
                next_lane!($condition, " and job.priority > known.priority"),
                "{below}",
                most_lanes!()
            )
        )
    };
}

macro_rules! passed {
    () => {
        "passed as (
                select passed.priority, passed.id,
                    timestamptz 'epoch'
                        + passed.ready_at::double precision * interval '1 microsecond' as ready_at
                from rows from (
                    pg_catalog.unnest({passed_priorities}::bigint[]), pg_catalog.unnest({passed_times}::bigint[]),
                    pg_catalog.unnest({passed_ids}::bigint[])
                ) as passed (priority, ready_at, id)
            ),
            "
    };
}

macro_rules! and_behind {
    (from_beginning) => {
        ""
    };
    (behind) => {
        " and (job.ready_at, job.id) > (lane.ready_at, lane.id)"
    };
}

/// The first due jobs that meet the condition of an index, in its order.
macro_rules! due_of {
    ($condition:expr, $start:ident) => {
        concat!(
            lanes_of!($condition, $start),
            ",
            due as (
                select job.* from lane cross join lateral (
                    select ",
            due_columns!(),
            " from {jobs} job
                    where ",
            $condition,
            " and job.priority = lane.priority and job.ready_at <= now()
                        and (",
            untouched!(),
            " or {tries_locks}::boolean)",
            and_behind!($start),
            "
                    order by job.ready_at, job.id
                    limit {limit}
                    for no key update skip locked
                ) job
                limit {limit}
            )"
        )
    };
}

/// The due jobs of all types.
macro_rules! due {
    ($start:ident) => {
        due_of!("job.ready_at < 'infinity'", $start)
    };
}

/// The due jobs of the one type in `{types}`, through the index that begins with the type.
macro_rules! due_of_type {
    ($start:ident) => {
        due_of!(
            "job.job_type::text = ({types}::text[])[1] and job.job_type::text >= '' and job.ready_at is not null",
            $start
        )
    };
}

/// The next lane of the types in `{types}`.
macro_rules! next_lane_of_types {
    ($and:literal) => {
        concat!(
            "(
                select pg_catalog.max(top.priority) from pg_catalog.unnest({types}::text[]) type (name)
                cross join lateral (",
            next_lane!(
                "job.job_type::text = type.name and job.job_type::text >= '' and job.ready_at is not null",
                $and
            ),
            ") top
            )"
        )
    };
}

macro_rules! lanes_of_types {
    (from_beginning) => {
        lanes!(next_lane_of_types!(""), "{below}", most_lanes!())
    };
    (behind) => {
        concat!(
            passed!(),
            lanes_behind!(
                next_lane_of_types!(" and job.priority > known.priority"),
                "{below}",
                most_lanes!()
            )
        )
    };
}

/// The due jobs of the types in `{types}`, through the same index. Each type offers
/// its first candidates of a lane; they are merged, and locked in that order. Each type offers more jobs than are
/// asked for, to make up for those that others have locked. If even the last job that a type offers was
/// looked at, the type may have more: a row says so.
macro_rules! due_of_types {
    ($start:ident) => {
        concat!(
            lanes_of_types!($start),
            ",
            due as (
                select job.* from lane cross join lateral (
                    select locked.* from (
                        select offered.id, offered.number from pg_catalog.unnest({types}::text[]) type (name)
                        cross join lateral (
                            select job.id, job.ready_at, pg_catalog.row_number() over () as number
                            from (
                                select job.id, job.ready_at from {jobs} job
                                where job.job_type::text = type.name and job.job_type::text >= ''
                                    and job.priority = lane.priority
                                    and job.ready_at is not null and job.ready_at <= now()
                                    and (",
            untouched!(),
            " or {tries_locks}::boolean)",
            and_behind!($start),
            "
                                order by job.ready_at, job.id
                                limit {limit} * 4::bigint + 100::bigint
                            ) job
                        ) offered
                        order by offered.ready_at, offered.id
                    ) candidate
                    cross join lateral (
                        select * from (
                            select ",
            due_columns!(),
            " from {jobs} job
                            where job.id = any (array[candidate.id])
                                and (job.ready_at <= now()) is true
                            for no key update skip locked
                        ) locked
                        union all
                        select null, null, lane.began_at, clock_timestamp(), 'more'
                        where candidate.number = {limit} * 4::bigint + 100::bigint
                    ) locked
                    limit {limit}
                ) job
                limit {limit}
            )"
        )
    };
}

/// Claims the `$due` jobs for `{worker}`, under a lease of `{lease_ms}`. A job that has no attempts left
/// ends here.
macro_rules! claimed {
    ($due:expr) => {
        concat!(
            $due,
            ", claimed as (
                update {jobs} job
                set status = due.fate,
                    updated_at = now(),
                    attempts = job.attempts + (job.attempts + 1 < job.max_attempts)::int,
                    run_no = greatest(job.run_no + 1::bigint, due.began_at),
                    locked_at = case due.fate when 'processing' then now() else job.locked_at end,
                    locked_by = case due.fate when 'processing' then {worker}::text else job.locked_by end,
                    lease_expires_at = case due.fate when 'processing'
                        then now() + {lease_ms}::double precision * interval '1 millisecond' end,
                    claim_token = case due.fate when 'processing' then
                        case when job.attempts + 1 < job.max_attempts then {token}::bigint
                            else - {token}::bigint end end,
                    cancel_requested_at = null,
                    next_attempt_at = null,
                    pending_reason = null,
                    error_history = case due.fate when 'failed' then ",
            append!(
                "job",
                "pg_catalog.jsonb_build_object('name', 'NoAttemptsLeft', 'message', 'No attempts left: ' \
                || job.attempts::text || ' of ' || job.max_attempts::text \
                || ' were made; retryJob grants one more')"
            ),
            " else job.error_history end
                from due
                where job.id = any (array[due.id])
                returning job.id, job.run_no, due.fate, job.dead_letter_job_type, due.ready_at, due.began_at, due.found_at, job.claim_token,
                    job.job_type, job.payload, {claimed}
            )"
        )
    };
}

/// The claimed jobs, and after how many microseconds each was found. The types of the answer do not depend on the
/// columns', so that a prepared statement outlives a change of a column's type (0A000).
macro_rules! claimed_rows {
    ($payload:expr) => {
        concat!(
            "select id::bigint, run_no,
                case when fate = 'processing' and dead_letter_job_type is not null
                    then '",
            with_dead_letter!(),
            "' else fate end as fate,
                case when pg_catalog.isfinite(ready_at) then ",
            microseconds!("ready_at"),
            " end as ready_at,
                ",
            microseconds!("found_at"),
            " - began_at as searched,
                claim_token < 0::bigint as uncounted, job_type::text,
                case fate when 'processing' then ",
            $payload,
            " end as payload,
                {claimed_answer}"
        )
    };
}

/// Where the look has ended, if there may be more: it stopped at a lane, or a type had more to offer. The lanes
/// are walked to their end by then, unless enough was found. And whether Postgres has passed over a job that was
/// due and free.
macro_rules! rest_rows {
    () => {
        concat!(
            "
            union all
            select null, null, 'stopped', null, lane.priority, null, null, null, {nulls}
            from lane
            where (select pg_catalog.count(*) from claimed) < {limit}::bigint and lane.step = ",
            most_lanes!(),
            " and lane.priority is not null
            union all
            select null, null, due.fate, null, null, null, null, null, {nulls}
            from due where due.fate = 'more'
            union all
            select null, null, 'passed over', null, null, null, null, null, {nulls}
            where (select pg_catalog.count(*) from due where due.fate <> 'more')
                > (select pg_catalog.count(*) from claimed)"
        )
    };
}

/// A claim alone does not wait until it is on the disk. Every later commit that waits for the disk, by the handler or
/// by any session, flushes the claim before: there is one log. If the server crashes before that, the job is
/// as it was, and the fence keeps the forgotten run from writing: its `run_no` is never given out again, because
/// it is the time of the claim.
macro_rules! claim {
    ($due:ident, $start:ident) => {
        concat!(
            "with recursive ",
            claimed!($due!($start)),
            " ",
            claimed_rows!("payload::text"),
            " from claimed cross join (
                select pg_catalog.set_config('synchronous_commit', 'off', true)
            ) unflushed",
            rest_rows!()
        )
    };
}

/// From the beginning, or from the cursor on.
macro_rules! claim_or_behind {
    ($due:ident, $look:expr) => {
        if $look.is_from_beginning() {
            claim!($due, from_beginning)
        } else {
            claim!($due, behind)
        }
    };
}

macro_rules! exchange {
    ($due:ident, $settled:ident) => {
        concat!(
            "with recursive ",
            $settled!(),
            ", ",
            claimed!($due!(behind)),
            "
            select id::bigint, run_no, 'settled' as fate, null::bigint as ready_at, null::bigint as searched,
                null::boolean as uncounted, null::text as job_type, null::text as payload, {claimed_nulls}
            from settled_rows
            union all
            ",
            claimed_rows!("payload::text"),
            " from claimed",
            rest_rows!()
        )
    };
}

macro_rules! exchange_of {
    ($due:ident, $form:expr) => {
        match $form {
            Form::Kept => exchange!($due, kept),
            Form::Removed => exchange!($due, removed),
            Form::Any => exchange!($due, settled),
        }
    };
}

/// How many due jobs a careful claim lists, at the least, to find out which it can take.
pub const LEAST_LISTED: usize = 100;

/// The claim of a worker.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The most jobs.
    pub limit: usize,
    pub worker_id: &'a str,
    pub lease_ms: i64,
    /// The token by which the claim is found again if its answer is lost. Above 0.
    pub token: i64,
    /// The types of the jobs; `None` is all.
    pub types: Option<&'a [String]>,
    /// Whether to claim by the statement that settles as well, though there is nothing to settle: Postgres refuses
    /// it to a role that may not settle.
    pub proving: bool,
}

impl Claim<'_> {
    fn head(&self) -> Vec<Named> {
        vec![
            (
                "limit",
                Value::BigInt(self.limit.try_into().unwrap_or(i64::MAX)),
            ),
            ("worker", self.worker_id.into()),
            ("lease_ms", Value::BigInt(self.lease_ms)),
            ("token", Value::BigInt(self.token)),
        ]
    }

    fn types(&self) -> Option<Named> {
        let types = self.types?;
        Some((
            "types",
            Value::Texts(types.iter().cloned().map(Some).collect()),
        ))
    }

    fn values(&self, look: &Look) -> Vec<Named> {
        let mut values = self.head();
        values.extend([
            ("below", Value::BigInt(look.below)),
            ("tries_locks", Value::Bool(look.tries_locks)),
        ]);
        values.extend(look.values());
        values.extend(self.types());
        values
    }
}

/// The statement that settles `outcomes`, in the form that suffices for them, and claims: either, or both. To set up
/// unneeded parts of a statement takes as long as to run the needed ones.
pub fn statement(
    schema: &Schema,
    outcomes: Vec<Outcome>,
    ways: settle::Ways,
    claim: &Claim<'_>,
    look: &Look,
) -> Statement {
    if outcomes.is_empty() && !claim.proving {
        let template = match claim.types {
            None => claim_or_behind!(due, look),
            Some([_]) => claim_or_behind!(due_of_type, look),
            Some(_) => claim_or_behind!(due_of_types, look),
        };
        return schema.statement(template, claim.values(look));
    }
    let (form, mut values) = settle::formed(outcomes, ways);
    if claim.limit == 0 {
        return settle::statement(schema, form, values);
    }
    let template = match claim.types {
        None => exchange_of!(due, form),
        Some([_]) => exchange_of!(due_of_type, form),
        Some(_) => exchange_of!(due_of_types, form),
    };
    values.extend(claim.values(look));
    schema.statement(template, values)
}

/// The jobs that are due now, except those in `aside`, in the order of the claim: read, and not locked. For a claim
/// that was refused, to find the jobs at fault; a hundred at least, since many may be at fault.
pub fn due(schema: &Schema, claim: &Claim<'_>, below: i64, aside: Vec<i64>) -> Statement {
    let mut values = vec![
        (
            "limit",
            Value::BigInt(claim.limit.max(LEAST_LISTED).try_into().unwrap_or(i64::MAX)),
        ),
        ("below", Value::BigInt(below)),
        ("aside", Value::BigInts(aside)),
    ];
    values.extend(claim.types());
    macro_rules! read {
        ($and:literal) => {
            concat!(
                "with recursive ",
                lanes!(
                    next_lane!("job.ready_at < 'infinity'", ""),
                    "{below}",
                    most_lanes!()
                ),
                " select job.id::bigint from lane cross join lateral (
                    select job.id from {jobs} job
                    where job.ready_at < 'infinity' and job.priority = lane.priority
                        and job.ready_at <= now() and job.id <> all ({aside}::bigint[])",
                $and,
                "
                    order by job.ready_at, job.id
                    limit {limit}::bigint
                ) job
                limit {limit}::bigint"
            )
        };
    }
    let template = match claim.types {
        None => read!(""),
        Some(_) => read!(" and job.job_type::text = any ({types}::text[])"),
    };
    schema.statement(template, values)
}

/// Claims these jobs, as far as they are due and free. Their payloads are read by [`payload`].
pub fn named(schema: &Schema, claim: &Claim<'_>, ids: &[i64]) -> Statement {
    let mut values = claim.head();
    values.push(("ids", Value::BigInts(ids.to_vec())));
    schema.statement(
        concat!(
            "with ",
            claimed!(
                concat!(
                    "due as (
                        select job.* from pg_catalog.unnest({ids}::bigint[]) as named (id) cross join lateral (
                            select job.id, job.ready_at, ",
                    microseconds!("now()"),
                    " as began_at, now() as found_at,
                                case when job.attempts >= job.max_attempts and job.dead_letter_job_type is null
                                    then 'failed' else 'processing' end as fate
                            from {jobs} job
                            where job.id = any (array[named.id]) and (job.ready_at <= now()) is true
                            for no key update skip locked
                        ) job
                        limit {limit}::bigint
                    )"
                )
            ),
            " ",
            claimed_rows!("null::text"),
            " from claimed
            union all
            select id::bigint, null, 'passed over', null, null, null, null, null, {nulls}
            from due where id not in (select id from claimed)"
        ),
        values,
    )
}

/// The payload of a job that was claimed without it.
pub fn payload(schema: &Schema, run: Run) -> Statement {
    schema.statement(
        "select job.payload::text as payload from {jobs} job
        where job.id = any (array[{id}::bigint]) and job.run_no = {run_no}::bigint",
        vec![
            ("id", Value::BigInt(run.id)),
            ("run_no", Value::BigInt(run.run_no)),
        ],
    )
}
