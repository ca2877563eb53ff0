//! Cancelling jobs that do not run.

use serde::Deserialize;

use crate::connect::{Schema, Statement, Value};

/// What is `None` does not restrict.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filters {
    job_type: Option<String>,
    priority: Option<i32>,
    /// Milliseconds since the Unix epoch.
    run_at: Option<i64>,
}

/// Cancels a job that is pending, or failed with attempts left. Answers its id if it did.
pub fn job(schema: &Schema, id: i64) -> Statement {
    schema.statement(
        "update {jobs} job
        set status = 'cancelled', updated_at = now()
        where job.id = $1::text::bigint
            and (
                job.status = 'pending'
                or (job.status = 'failed' and job.attempts < job.max_attempts)
            ) is true
        returning job.id::text as result",
        vec![id.to_string().into()],
    )
}

/// Cancels the pending jobs that match all filters. Answers how many. Postgres keeps times to the
/// microsecond, JavaScript to the millisecond: a time matches if it is the same to the millisecond.
pub fn upcoming(schema: &Schema, filters: &Filters) -> Statement {
    let text = |value: Option<String>| Value::Text(value);
    schema.statement(
        "with cancelled as (
            update {jobs} job
            set status = 'cancelled', updated_at = now()
            where job.status = 'pending'
                and ($1::text is null or job.job_type = $1::text)
                and ($2::text is null or job.priority = $2::text::int)
                and (
                    $3::text is null
                    or floor(extract(epoch from job.run_at) * 1000) = $3::text::numeric
                )
            returning 1
        )
        select count(*)::text as result from cancelled",
        vec![
            text(filters.job_type.clone()),
            text(filters.priority.map(|priority| priority.to_string())),
            text(filters.run_at.map(|run_at| run_at.to_string())),
        ],
    )
}
