//! Completing a job in its handler's own transaction.

use crate::connect::{Schema, Statement, Value};
use crate::processor::Run;

/// Completes the job of a run, or removes it, in whatever transaction the statement runs. Answers its
/// id, or nothing if the run no longer owns the job.
pub fn job(schema: &Schema, run: Run, remove: bool) -> Statement {
    let values = vec![run.id.to_string().into(), run.run_no.to_string().into()];
    let template = if remove {
        "delete from {jobs} job
        where job.id = $1::text::bigint and job.run_no = $2::text::bigint
            and (job.status = 'processing') is true
        returning job.id::text as result"
    } else {
        "update {jobs} job
        set status = 'completed', updated_at = now(), pending_reason = null, lease_expires_at = null
        where job.id = $1::text::bigint and job.run_no = $2::text::bigint
            and (job.status = 'processing') is true
        returning job.id::text as result"
    };
    schema.statement(template, values)
}

/// What became of runs that their handlers completed: `committed`, `rolled back`, `open` if the
/// transaction has not ended, or `lost`.
///
/// A job that is locked is seen as it was before the transaction; one that is free, as it is now, also
/// if the transaction was committed while this statement ran. A job that is gone was removed by its
/// completion.
pub fn settled_by_handler(schema: &Schema, runs: &[Run]) -> Statement {
    schema.statement(
        "select run.id, run.run_no, case
            when free.id is not null then case
                when free.run_no <> run.run_no then 'lost'
                when free.status = 'processing' then 'rolled back'
                when free.status = 'completed' then 'committed'
                else 'lost' end
            when seen.id is null then 'committed'
            when seen.run_no = run.run_no and seen.status = 'processing' then 'open'
            else 'lost' end as fate
        from unnest($1::bigint[], $2::bigint[]) as run (id, run_no)
        left join lateral (
            select job.id, job.run_no, job.status from {jobs} job
            where job.id = any (array[run.id])
        ) seen on true
        left join lateral (
            select job.id, job.run_no, job.status from {jobs} job
            where job.id = any (array[run.id])
            for update skip locked
        ) free on true",
        vec![
            Value::BigInts(runs.iter().map(|run| run.id).collect()),
            Value::BigInts(runs.iter().map(|run| run.run_no).collect()),
        ],
    )
}
