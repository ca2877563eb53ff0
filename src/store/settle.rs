//! Writing how runs ended: alone, or as a part of the statement that [`super::claim`] makes.

use super::history::append;
use crate::connect::{Schema, Statement, Value};
use crate::processor::{End, Outcome};

/// Settles the outcomes in `$1` to `$5`. The runs whose outcomes are written are in `settled_rows`: a run
/// that no longer owns its job writes nothing, and is missing. If `$6` says that some were sent before,
/// those that were written then are there too.
///
/// A job that somebody wants cancelled is not tried again, however its run ended.
///
/// A failed job is tried again after `2^attempts` minutes, `attempts` counted with this one; the
/// exponent stops at 30, some two thousand years.
///
/// Two conditions are written so that the planner has no choice. For `job.status = 'processing'` it
/// may prefer the index by status, and walk the dead entries of every job that ever ran. For
/// `job.id = ended.id` it may walk the whole primary key, to look each row up in the outcomes: that
/// is what it does when its statistics say that hardly any job is being processed. An `any` offers no
/// order to merge by, so that the index serves look-ups alone.
macro_rules! settled {
    () => {
        concat!(
            "ended as (
                select * from unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[])
                    as ended (id, run_no, outcome, entry, pending_reason)
            ),
            settled as (
                update {jobs} job
                set status = case
                        when ended.outcome <> 'completed' and job.cancel_requested_at is not null
                        then 'cancelled' else ended.outcome end,
                    updated_at = now(),
                    attempts = case ended.outcome
                        when 'pending' then greatest(job.attempts - 1, 0) else job.attempts end,
                    next_attempt_at = case
                        when ended.outcome = 'failed' and job.attempts < job.max_attempts
                            and job.cancel_requested_at is null
                        then now() + power(2, least(job.attempts, 30)) * interval '1 minute' end,
                    pending_reason = ended.pending_reason,
                    error_history = case
                        when ended.entry is not null then ",
            append!(
                "job",
                "ended.entry::jsonb || jsonb_build_object('attempt', job.attempts)"
            ),
            " else job.error_history end,
                    locked_at = case ended.outcome when 'pending' then null else job.locked_at end,
                    locked_by = case ended.outcome when 'pending' then null else job.locked_by end,
                    lease_expires_at = null
                from ended
                where ended.outcome <> 'removed'
                    and job.id = any (array[ended.id])
                    and job.run_no = ended.run_no
                    and (job.status = 'processing') is true
                returning job.id, job.run_no
            ),
            removed as (
                delete from {jobs} job using ended
                where ended.outcome = 'removed'
                    and job.id = any (array[ended.id])
                    and job.run_no = ended.run_no
                    and (job.status = 'processing') is true
                returning job.id, job.run_no
            ),
            written as (
                select ended.id, ended.run_no from ended
                where $6::boolean and case ended.outcome
                    when 'removed' then not exists (
                        select from {jobs} job where job.id = any (array[ended.id])
                    )
                    else exists (
                        select from {jobs} job
                        where job.id = any (array[ended.id])
                            and job.run_no = ended.run_no
                            and (
                                job.status = ended.outcome
                                or (job.status = 'cancelled' and ended.outcome <> 'completed')
                            ) is true
                    ) end
            ),
            settled_rows as (
                select * from settled union all select * from removed union all select * from written
            )"
        )
    };
}

pub(super) use settled;

/// Settles outcomes, and claims nothing.
pub fn statement(schema: &Schema, values: Vec<Value>) -> Statement {
    let template = concat!(
        "with ",
        settled!(),
        " select id::bigint, run_no, 'settled' as fate from settled_rows"
    );
    schema.statement(template, values)
}

/// `$1` to `$6` of [`settled!`]. Completed jobs are removed in place of kept, if so wished.
pub fn values(outcomes: Vec<Outcome>, remove_on_complete: bool) -> Vec<Value> {
    let mut ids = Vec::with_capacity(outcomes.len());
    let mut run_nos = Vec::with_capacity(outcomes.len());
    let mut statuses = Vec::with_capacity(outcomes.len());
    let mut entries = Vec::with_capacity(outcomes.len());
    let mut pending_reasons = Vec::with_capacity(outcomes.len());
    let sent_before = outcomes.iter().any(|outcome| outcome.sent_before);
    for outcome in outcomes {
        let (status, entry, pending_reason) = match outcome.end {
            End::Completed if remove_on_complete => ("removed", None, None),
            End::Completed => ("completed", None, None),
            End::Failed {
                entry,
                pending_reason,
            } => ("failed", Some(entry), pending_reason),
            End::Released => ("pending", None, None),
            End::Cancelled => ("cancelled", None, None),
        };
        ids.push(outcome.run.id);
        run_nos.push(outcome.run.run_no);
        statuses.push(Some(status.to_owned()));
        entries.push(entry);
        pending_reasons.push(pending_reason);
    }
    vec![
        Value::BigInts(ids),
        Value::BigInts(run_nos),
        Value::Texts(statuses),
        Value::Texts(entries),
        Value::Texts(pending_reasons),
        Value::Bool(sent_before),
    ]
}
