//! Completing a job in its handler's own transaction.

use super::fence::{is_leased, named_runs, owned, values_of};
use crate::connect::{Schema, Statement};
use crate::job::Run;

/// Completes the job of a run, or removes it, in the transaction in which the statement runs. Answers its
/// id, or nothing if the run no longer owns the job.
pub fn job(schema: &Schema, run: Run, remove: bool) -> Statement {
    let values = vec![
        ("id", run.id.to_string().into()),
        ("run_no", run.run_no.to_string().into()),
    ];
    // `run` is not joined by its id, so that the primary key serves.
    macro_rules! owned_by_run {
        () => {
            concat!(
                "(select {run_no}::text::bigint as run_no) run
        where job.id = {id}::text::bigint and ",
                owned!("job", "run"),
                "
        returning job.id::text as result"
            )
        };
    }
    let template = if remove {
        concat!("delete from {jobs} job using ", owned_by_run!())
    } else {
        concat!(
            "update {jobs} job
        set status = 'completed', updated_at = now(), pending_reason = null, failure_reason = null,
            lease_expires_at = null, claim_token = null, refusals = null
        from ",
            owned_by_run!()
        )
    };
    schema.statement(template, values)
}

/// The states of runs that their handlers completed: `committed`, `rolled back`, `open` if the
/// transaction has not ended, or `lost`.
///
/// A locked job is seen as it was before the transaction; a free job, as it is now, also
/// if the transaction was committed while this statement ran. A job that is gone was removed by its
/// completion.
pub fn settled_by_handler(schema: &Schema, runs: &[Run]) -> Statement {
    schema.statement(
        concat!(
            "select run.id, run.run_no, case
            when free.id is not null then case
                when free.run_no <> run.run_no then 'lost'
                when free.status = 'processing' then 'rolled back'
                when free.status = 'completed' then 'committed'
                else 'lost' end
            when seen.id is null then 'committed'
            when seen.run_no = run.run_no and seen.status = 'processing' then 'open'
            else 'lost' end as fate
        from ",
            named_runs!(),
            "
        left join lateral (
            select job.id, job.run_no, job.status::text as status from {jobs} job
            where job.id = any (array[run.id])
        ) seen on true
        left join lateral (
            select job.id, job.run_no, job.status::text as status from {jobs} job
            where job.id = any (array[run.id])
            for update skip locked
        ) free on true"
        ),
        values_of(runs),
    )
}
