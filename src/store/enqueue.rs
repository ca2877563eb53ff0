//! Adding jobs.

use serde::{Deserialize, Serialize};

use crate::connect::{Schema, Statement};
use crate::error::{Code, Error, Result};

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct NewJob {
    #[serde(alias = "jobType")]
    job_type: String,
    /// JSON text.
    pub(super) payload: String,
    #[serde(alias = "maxAttempts")]
    max_attempts: i32,
    priority: i32,
    /// Milliseconds since the Unix epoch; `None` is now, by the database's clock.
    #[serde(alias = "runAt")]
    run_at: Option<i64>,
}

/// All jobs travel as one JSON text, so that one statement serves any number of them, on any client.
/// Answers their ids, in no order: see [`in_order`].
pub fn jobs(schema: &Schema, jobs: &[impl Serialize]) -> Statement {
    let jobs = serde_json::json!(jobs).to_string();
    schema.statement(
        "insert into {jobs} (job_type, payload, max_attempts, priority, run_at)
        select job.job_type, job.payload::jsonb, job.max_attempts, job.priority,
            coalesce(timestamptz 'epoch' + job.run_at * interval '1 millisecond', now())
        from json_to_recordset($1::text::json) as job (
            job_type text, payload text, max_attempts int, priority int, run_at float8
        )
        returning id::text as result",
        vec![jobs.into()],
    )
}

/// The ids that an insert of `count` jobs answered, in the order of the jobs. `returning` promises no
/// order, but the sequence hands ids out in the order of the input.
pub fn in_order(mut ids: Vec<String>, count: usize) -> Result<Vec<String>> {
    if ids.len() != count {
        let message = "Postgres added another number of jobs than it was given";
        return Err(Error::new(Code::DatabaseError, message));
    }
    // Decimal digits without leading zeros: the longer number is the larger.
    ids.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
    Ok(ids)
}
