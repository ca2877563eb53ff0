//! Writing how runs ended: alone, or as a part of the statement that [`super::claim`] makes.

use super::fence::{is_leased, owned};
use super::history::append;
use super::key::{hold_of_put_back, holds_key, rivals};
use super::notify::notify;
use super::touched::{is_over, last_transaction, untouched};
use crate::connect::{Named, Schema, Statement, Value};
use crate::job::{End, Outcome};

/// The outcomes of [`values`].
macro_rules! ended {
    () => {
        "ended as (
                select * from rows from (
                    pg_catalog.unnest({ended_ids}::bigint[]), pg_catalog.unnest({ended_run_nos}::bigint[]),
                    pg_catalog.unnest({outcomes}::text[]), pg_catalog.unnest({entries}::text[]), pg_catalog.unnest({pending_reasons}::text[]),
                    pg_catalog.unnest({retries}::text[]), pg_catalog.unnest({failure_reasons}::text[])
                ) as ended (id, run_no, outcome, entry, pending_reason, retry, failure_reason)
            )"
    };
}

/// Whether the job is no longer the worker's, and has not ended.
macro_rules! is_put_back {
    () => {
        "ended.outcome in ('pending', 'behind', 'unfinished', 'due', 'snoozed', 'snoozed as failed')"
    };
}

/// Writes the outcomes in `$from`, of jobs that meet `$condition`.
///
/// A job that is to be cancelled is not tried again, however its run ended.
///
/// A failure without a reason of its own says that no attempt is left. If the last entry of the history says that a
/// worker was lost, that says it too.
///
/// A failed job is tried again as [`super::retry_policy`] says. A job whose outcome Postgres refuses has failed for good.
///
/// The last attempt is counted when its handler begins, the others with the claim (see [`super::claim`]): a run
/// that is handed back or put off gives a counted attempt back. A job that may not be pending has failed and is `due` again.
///
/// `$also` are more assignments. `$returning` are the columns of `settled` besides those of the run.
macro_rules! write_outcomes {
    ($from:literal, $condition:expr, $also:expr, $returning:expr) => {
        concat!(
            "settled as (
                update {jobs} job
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
                        then {next_attempt}
                        when ended.outcome in ('snoozed', 'snoozed as failed') then {snoozed_until}
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
                        ) is not false then ",
            append!(
                "job",
                "ended.entry::jsonb || pg_catalog.jsonb_build_object('attempt', job.attempts)"
            ),
            " else job.error_history end,
                    locked_at = case when ",
            is_put_back!(),
            " then null else job.locked_at end,
                    locked_by = case when ",
            is_put_back!(),
            " then null else job.locked_by end,
                    lease_expires_at = null,
                    claim_token = null,
                    refusals = null",
            $also,
            "
                from ",
            $from,
            " ended
                where ended.outcome <> 'removed'
                    and job.id = any (array[ended.id]) and ",
            $condition,
            "
                returning job.id, job.run_no",
            $returning,
            "
            ),
            removed as (
                delete from {jobs} job using ",
            $from,
            " ended
                where ended.outcome = 'removed'
                    and job.id = any (array[ended.id]) and ",
            $condition,
            "
                returning job.id, job.run_no
            )"
        )
    };
}

/// Of the outcomes in `ended`, those that were sent before and had been written then.
macro_rules! written_before {
    () => {
        "written as (
                select ended.id, ended.run_no from ended
                where {sent_before}::boolean and case ended.outcome
                    when 'removed' then not exists (
                        select from {jobs} job where job.id = any (array[ended.id])
                    )
                    else exists (
                        select from {jobs} job
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
            )"
    };
}

/// Settles the outcomes in `ended`. The runs whose outcomes are written are in `settled_rows`. If some were
/// sent before, those that were written then are there too. [`each`] tells of the missing
/// runs: the run no longer owns its job, or a transaction has touched the job. Touched jobs are passed over, so
/// that they do not hold the others up.
///
/// Two conditions are written so that the planner has no choice. For `job.status = 'processing'` it
/// may prefer the index by status, and walk the dead entries of every job that ever ran. For
/// `job.id = ended.id` it may walk the whole primary key, to look each row up in the outcomes: it
/// does so when its statistics say that hardly any job is being processed. An `any` offers no
/// order to merge by, so that the index serves look-ups alone.
macro_rules! settled {
    () => {
        concat!(
            ended!(),
            ",
            ",
            write_outcomes!(
                "ended",
                concat!(owned!("job", "ended"), " and (", untouched!(), ")"),
                "",
                ""
            ),
            ",
            ",
            written_before!(),
            ",
            ",
            settled_rows!()
        )
    };
}

macro_rules! settled_rows {
    () => {
        "settled_rows as (
                select id, run_no from settled union all select * from removed union all select * from written
            )"
    };
}

/// What [`buried_rows!`] needs of a settled job.
macro_rules! of_buried {
    () => {
        ", job.status, job.ready_at, job.job_type, job.payload, job.attempts, job.max_attempts, job.priority,
                    job.error_history, job.failure_reason, job.dead_letter_job_type"
    };
}

/// Whether the job in `settled` has failed for good, and is to leave a dead letter.
macro_rules! leaves_letter {
    () => {
        "settled.status::text = 'failed' and settled.ready_at is null
                    and settled.dead_letter_job_type is not null"
    };
}

/// The dead letters of the jobs in `settled`, in the envelope of dataqueue, and [`settled_rows!`]. They are added by
/// the statement that fails the jobs for good. A statement for other jobs goes without it, and not for its time alone: to
/// prepare an insert takes the right to insert, and calls the table's triggers for statements, though nothing is
/// inserted.
macro_rules! buried_rows {
    () => {
        concat!(
            "buried as (
                insert into {jobs} (job_type, payload, priority)
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
                where ",
            leaves_letter!(),
            "
                returning id
            ),
            -- A trigger may discard a dead letter without an error.
            unburied as (
                select settled.id, settled.run_no from settled
                where ",
            leaves_letter!(),
            "
                    and (select pg_catalog.count(*) from buried) < (
                        select pg_catalog.count(*) from settled
                        where ",
            leaves_letter!(),
            "
                    )
            ),
            settled_rows as (
                select settled.id, settled.run_no from settled
                cross join (
                    select case when exists (select from buried) then ",
            notify!("'ready', true"),
            " end
                ) notified
                union all select * from removed union all select * from written
            )"
        )
    };
}

/// Settles the runs in `ended`, which have all completed, as [`settled!`] does: to set up the parts for other
/// outcomes takes as long as to settle these.
macro_rules! completed {
    ($write:literal) => {
        concat!(
            "ended as (
                select * from rows from (
                    pg_catalog.unnest({ended_ids}::bigint[]), pg_catalog.unnest({ended_run_nos}::bigint[])
                ) as ended (id, run_no)
            ),
            settled_rows as (
                ",
            $write,
            " where job.id = any (array[ended.id]) and ",
            owned!("job", "ended"),
            " and (",
            untouched!(),
            ")
                returning job.id, job.run_no
            )"
        )
    };
}

macro_rules! kept {
    () => {
        completed!(
            "update {jobs} job
                set status = 'completed', updated_at = now(), next_attempt_at = null, pending_reason = null,
                    failure_reason = null, lease_expires_at = null, claim_token = null, refusals = null
                from ended"
        )
    };
}

macro_rules! removed {
    () => {
        completed!("delete from {jobs} job using ended")
    };
}

pub(super) use {
    completed, ended, is_put_back, kept, removed, settled, settled_rows, write_outcomes,
    written_before,
};

/// Which statement settles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// All have completed, and are kept.
    Kept,
    /// All have completed, and are removed.
    Removed,
    /// None leaves a dead letter: see [`each`].
    Any,
}

/// Settles outcomes, and claims nothing.
pub fn statement(schema: &Schema, form: Form, values: Vec<Named>) -> Statement {
    macro_rules! settle {
        ($settled:ident) => {
            concat!(
                "with ",
                $settled!(),
                " select id::bigint, run_no, 'settled' as fate from settled_rows"
            )
        };
    }
    let template = match form {
        Form::Kept => settle!(kept),
        Form::Removed => settle!(removed),
        Form::Any => settle!(settled),
    };
    schema.statement(template, values)
}

/// The form that suffices for these outcomes, and its values.
pub fn formed(outcomes: Vec<Outcome>, ways: Ways) -> (Form, Vec<Named>) {
    let plain = |outcome: &Outcome| outcome.end == End::Completed && !outcome.sent_before;
    // A statement without outcomes checks the right to settle.
    if outcomes.is_empty() || !outcomes.iter().all(plain) {
        return (Form::Any, values(outcomes, ways));
    }
    let form = if ways.removes {
        Form::Removed
    } else {
        Form::Kept
    };
    let ids = outcomes.iter().map(|outcome| outcome.run.id).collect();
    let run_nos = outcomes.iter().map(|outcome| outcome.run.run_no).collect();
    let values = vec![
        ("ended_ids", Value::BigInts(ids)),
        ("ended_run_nos", Value::BigInts(run_nos)),
    ];
    (form, values)
}

/// [`settled!`] for outcomes whose locks are tried one by one.
macro_rules! each {
    ($returning:expr, $rows:expr, $fates:literal) => {
        concat!(
            "with ",
            ended!(),
            ",
            kept as (
                select ended.* from ended cross join lateral (
                    select from {jobs} job
                    where ended.outcome <> 'removed' and job.id = any (array[ended.id]) and ",
            owned!("job", "ended"),
            "
                    for no key update skip locked
                ) free
            ),
            gone as (
                select ended.* from ended cross join lateral (
                    select from {jobs} job
                    where ended.outcome = 'removed' and job.id = any (array[ended.id]) and ",
            owned!("job", "ended"),
            "
                    for update skip locked
                ) free
            ),
            free as (
                select * from kept union all select * from gone
            ),
            ",
            write_outcomes!(
                "free",
                "true",
                concat!(
                    ",
                    idempotency_hold = case when ",
                    is_put_back!(),
                    " then ",
                    hold_of_put_back!("job"),
                    " else job.idempotency_hold end"
                ),
                $returning
            ),
            ",
            ",
            written_before!(),
            ",
            ",
            $rows,
            "
        select ended.id::bigint, ended.run_no, case
            ",
            $fates,
            "when exists (
                select from settled_rows
                where settled_rows.id = ended.id and settled_rows.run_no = ended.run_no
            ) then 'written'
            when exists (
                select from free where free.id = ended.id and free.run_no = ended.run_no
            ) then 'passed over'
            when exists (
                select from {jobs} job where job.id = any (array[ended.id]) and ",
            owned!("job", "ended"),
            "
            ) then 'locked'
            else 'lost' end as fate
        from ended"
        )
    };
}

/// Settles outcomes, adds the dead letters of the jobs that have failed for good, and answers the fate of each: `written`,
/// `unburied` if it is written without its dead letter, `passed over` by Postgres though it was free,
/// `locked` by some transaction, or `lost`, because its run no longer owns the job. Each row's lock is tried, which
/// takes longer than to write it. A job that cannot take its key again, since another holds it, is put back without it.
pub fn each(schema: &Schema, outcomes: Vec<Outcome>, ways: Ways) -> Statement {
    let template = if ways.buries && outcomes.iter().any(Outcome::may_bury) {
        each!(
            of_buried!(),
            buried_rows!(),
            "when exists (
                select from unburied
                where unburied.id = ended.id and unburied.run_no = ended.run_no
            ) then 'unburied'
            "
        )
    } else {
        each!("", settled_rows!(), "")
    };
    schema.statement(template, values(outcomes, ways))
}

/// The states that jobs may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ways {
    /// A completed job is removed, not kept.
    pub removes: bool,
    /// A job that is handed back is pending, not failed and due again.
    pub pends: bool,
    /// A job that has failed for good leaves its dead letter.
    pub buries: bool,
}

/// The values of [`settled!`].
pub fn values(outcomes: Vec<Outcome>, ways: Ways) -> Vec<Named> {
    let mut ids = Vec::with_capacity(outcomes.len());
    let mut run_nos = Vec::with_capacity(outcomes.len());
    let mut statuses = Vec::with_capacity(outcomes.len());
    let mut entries = Vec::with_capacity(outcomes.len());
    let mut pending_reasons = Vec::with_capacity(outcomes.len());
    let mut retries = Vec::with_capacity(outcomes.len());
    let mut failure_reasons = Vec::with_capacity(outcomes.len());
    let sent_before = outcomes.iter().any(|outcome| outcome.sent_before);
    for outcome in outcomes {
        let failure_reason = outcome.end.failure_reason();
        let mut retry = None;
        let (status, entry, pending_reason) = match outcome.end {
            End::Completed if ways.removes => ("removed", None, None),
            End::Completed => ("completed", None, None),
            End::Failed {
                entry,
                pending_reason,
                retry: given,
                ..
            } => {
                retry = given;
                ("failed", Some(entry), pending_reason)
            }
            End::Snoozed { until } => {
                retry = Some(until);
                let outcome = if ways.pends {
                    "snoozed"
                } else {
                    "snoozed as failed"
                };
                (outcome, None, None)
            }
            End::Released { .. } if !ways.pends => ("due", None, None),
            End::Unfinished { entry } if !ways.pends => ("due", Some(entry), None),
            End::Released {
                behind: false,
                reason,
            } => ("pending", None, reason),
            End::Released {
                behind: true,
                reason,
            } => ("behind", None, reason),
            End::Unfinished { entry } => ("unfinished", Some(entry), None),
            End::Refused { entry } => ("refused", Some(entry), None),
            End::Cancelled => ("cancelled", None, None),
        };
        ids.push(outcome.run.id);
        run_nos.push(outcome.run.run_no);
        statuses.push(Some(status.to_owned()));
        entries.push(entry);
        pending_reasons.push(pending_reason);
        retries.push(retry.as_deref().map(str::to_owned));
        failure_reasons.push(failure_reason.map(|reason| reason.as_str().to_owned()));
    }
    vec![
        ("ended_ids", Value::BigInts(ids)),
        ("ended_run_nos", Value::BigInts(run_nos)),
        ("outcomes", Value::Texts(statuses)),
        ("entries", Value::Texts(entries)),
        ("pending_reasons", Value::Texts(pending_reasons)),
        ("retries", Value::Texts(retries)),
        ("failure_reasons", Value::Texts(failure_reasons)),
        ("sent_before", Value::Bool(sent_before)),
    ]
}
