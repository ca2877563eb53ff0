//! Keeping the leases of what runs.

use crate::connect::{Schema, Statement, Value};
use crate::processor::Run;

/// Moves leases to `lease_ms` from now. Answers the runs that still own their job. Its conditions are
/// written as those of [`super::settle`] are.
pub fn leases(schema: &Schema, runs: &[Run], lease_ms: i64) -> Statement {
    schema.statement(
        "update {jobs} job
        set lease_expires_at = now() + $3::bigint * interval '1 millisecond'
        from unnest($1::bigint[], $2::bigint[]) as run (id, run_no)
        where job.id = any (array[run.id]) and job.run_no = run.run_no and (job.status = 'processing') is true
        returning job.id::bigint, job.run_no",
        vec![
            Value::BigInts(runs.iter().map(|run| run.id).collect()),
            Value::BigInts(runs.iter().map(|run| run.run_no).collect()),
            Value::BigInt(lease_ms),
        ],
    )
}
