//! Adding jobs.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::notify::notify;
use crate::connect::{Schema, Statement};

#[derive(Debug, Clone, Deserialize, Serialize)]
pub struct NewJob {
    #[serde(alias = "jobType")]
    job_type: String,
    pub(super) payload: Box<RawValue>,
    #[serde(alias = "maxAttempts")]
    max_attempts: i32,
    priority: i32,
    /// Milliseconds since the Unix epoch; `None` is now, by the database's clock.
    #[serde(alias = "runAt")]
    run_at: Option<i64>,
    #[serde(alias = "timeoutMs")]
    timeout_ms: Option<i32>,
}

impl NewJob {
    /// Whether it is due already, as far as this process's clock can tell.
    pub fn is_due(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis());
        self.run_at
            .is_none_or(|at| u128::try_from(at).is_ok_and(|at| at <= now) || at < 0)
    }
}

/// All jobs travel as one JSON text, so that one statement serves any number of them, on any client.
/// It reads nothing of the table but the new ids: whoever may insert needs no right to more. A JSON null
/// becomes one of SQL on its way out of the text.
macro_rules! added {
    () => {
        "with added as (
            insert into {jobs} (job_type, payload, max_attempts, priority, run_at, timeout_ms)
            select job.job_type, coalesce(job.payload, 'null'), job.max_attempts, job.priority,
                coalesce(timestamptz 'epoch' + job.run_at * interval '1 millisecond', now()),
                job.timeout_ms
            from json_to_recordset($1::text::json) as job (
                job_type text, payload jsonb, max_attempts int, priority int, run_at float8,
                timeout_ms int
            )
            returning id
        )
        select id::text as result from added"
    };
}

/// Nothing in a job has no JSON text.
fn json(jobs: &[impl Serialize]) -> String {
    serde_json::to_string(jobs).unwrap_or_default()
}

/// Adds jobs; if `announced`, all who listen are told that jobs are due. Answers their ids in the order
/// of the jobs: the sequence hands them out in the order of the input, and `returning` alone promises
/// no order.
pub fn jobs(schema: &Schema, jobs: &[impl Serialize], announced: bool) -> Statement {
    let template = if announced {
        concat!(
            added!(),
            " cross join (select ",
            notify!("'ready', true"),
            ") announced order by id"
        )
    } else {
        concat!(added!(), " order by id")
    };
    schema.statement(template, vec![json(jobs).into()])
}
