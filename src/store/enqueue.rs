//! Adding jobs.

use serde::{Deserialize, Serialize};

use crate::connect::{Schema, Statement};

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
/// Answers their ids in the order of the jobs: the sequence hands them out in the order of the input,
/// and `returning` alone promises no order.
pub fn jobs(schema: &Schema, jobs: &[impl Serialize]) -> Statement {
    let jobs = serde_json::json!(jobs).to_string();
    schema.statement(
        "with added as (
            insert into {jobs} (job_type, payload, max_attempts, priority, run_at)
            select job.job_type, job.payload::jsonb, job.max_attempts, job.priority,
                coalesce(timestamptz 'epoch' + job.run_at * interval '1 millisecond', now())
            from json_to_recordset($1::text::json) as job (
                job_type text, payload text, max_attempts int, priority int, run_at float8
            )
            returning id
        )
        select id::text as result from added order by id",
        vec![jobs.into()],
    )
}
