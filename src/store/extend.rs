//! Keeping the leases of what runs.

use crate::connect::{Schema, Statement, Value};
use crate::processor::Run;

/// Moves leases to `lease_ms` from now. Answers the runs that still own their job, and
/// whether that is to be cancelled. Waits for
/// nobody: a job that some transaction has locked cannot be extended, nor taken over. Its conditions
/// are written as those of [`super::settle`] are.
pub fn leases(schema: &Schema, runs: &[Run], lease_ms: i64) -> Statement {
    schema.statement(
        "with owned as (
            select job.*, free.id as free from unnest($1::bigint[], $2::bigint[]) as run (id, run_no)
            cross join lateral (
                select job.id, job.run_no, job.cancel_requested_at from {jobs} job
                where job.id = any (array[run.id])
                    and job.run_no = run.run_no
                    and (job.status = 'processing') is true
            ) job
            left join lateral (
                select job.id from {jobs} job
                where job.id = any (array[run.id])
                    and job.run_no = run.run_no
                    and (job.status = 'processing') is true
                for update skip locked
            ) free on true
        ),
        extended as (
            update {jobs} job
            set lease_expires_at = now() + $3::bigint * interval '1 millisecond'
            from owned
            where job.id = any (array[owned.free])
        )
        select id::bigint, run_no, free is null as locked,
            cancel_requested_at is not null as cancel_requested
        from owned",
        vec![
            Value::BigInts(runs.iter().map(|run| run.id).collect()),
            Value::BigInts(runs.iter().map(|run| run.run_no).collect()),
            Value::BigInt(lease_ms),
        ],
    )
}
