//! Adding jobs.

use serde::{Deserialize, Serialize};

use crate::connect::{Schema, Statement};

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct NewJob {
    #[serde(alias = "jobType")]
    job_type: String,
    /// JSON text.
    payload: String,
    #[serde(alias = "maxAttempts")]
    max_attempts: i32,
    priority: i32,
    /// Milliseconds since the Unix epoch; `None` is now, by the database's clock.
    #[serde(alias = "runAt")]
    run_at: Option<i64>,
}

/// All jobs travel as one JSON text, so that one statement serves any number of them, on any client.
/// Answers their ids. The sequence hands these out in the order of the input, but `returning`
/// promises no order: sorted, they are in the order of the input.
pub fn jobs(schema: &Schema, jobs: &[NewJob]) -> Statement {
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
