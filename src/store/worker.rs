//! The job table as one processor sees it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::table::unreadable;
use super::{cancel, claim, complete, extend};
use crate::connect::{Pool, Schema, Statement};
use crate::error::Result;
use crate::processor::{ClaimedJob, Exchanged, Extended, LostJob, Outcome, Run, Settled, Store};

/// How long to wait for an answer, however short a lease is.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

pub struct Worker {
    pub pool: Pool,
    pub schema: Arc<Schema>,
    /// Stored in `locked_by`.
    pub id: String,
    /// The types of jobs that it takes; `None` is all.
    pub job_types: Option<Vec<String>>,
    pub lease: Duration,
    /// Whether a completed job is deleted in place of kept.
    pub remove_on_complete: bool,
}

impl Worker {
    /// An answer that takes longer than half a lease comes too late for what it is about; the server
    /// may be gone without a word.
    async fn fetch(&self, statement: Statement) -> Result<Vec<PgRow>> {
        let limit = (self.lease / 2).max(LEAST_PATIENCE);
        self.pool.fetch_within(Some(limit), &statement).await
    }

    pub(super) fn lease_ms(&self) -> i64 {
        self.lease.as_millis().try_into().unwrap_or(i64::MAX)
    }
}

impl Store for Worker {
    async fn exchange(
        &self,
        outcomes: Vec<Outcome>,
        limit: usize,
        only: Option<Vec<String>>,
    ) -> Result<Exchanged> {
        let statement = claim::exchange(self, outcomes, limit, only);
        let rows = self.fetch(statement).await?;
        read_exchanged(&rows).map_err(unreadable)
    }

    async fn extend(&self, runs: Vec<Run>) -> Result<Vec<Extended>> {
        let statement = extend::leases(&self.schema, &runs, self.lease_ms());
        let rows = self.fetch(statement).await?;
        let runs: std::result::Result<_, _> = rows.iter().map(read_extended).collect();
        runs.map_err(unreadable)
    }

    async fn settled_by_handler(&self, runs: Vec<Run>) -> Result<Vec<(Run, Settled)>> {
        let statement = complete::settled_by_handler(&self.schema, &runs);
        let rows = self.fetch(statement).await?;
        let read = |row: &PgRow| {
            let settled = match row.try_get::<&str, _>("fate")? {
                "committed" => Settled::Committed,
                "rolled back" => Settled::RolledBack,
                "open" => Settled::Open,
                _ => Settled::Lost,
            };
            Ok((read_run(row)?, settled))
        };
        rows.iter()
            .map(read)
            .collect::<std::result::Result<_, _>>()
            .map_err(unreadable)
    }

    async fn cancel_requested(&self, runs: Vec<Run>) -> Result<Vec<Run>> {
        let statement = cancel::requested(&self.schema, &runs);
        let rows = self.fetch(statement).await?;
        let runs: std::result::Result<_, _> = rows.iter().map(read_run).collect();
        runs.map_err(unreadable)
    }
}

pub(super) fn read_extended(row: &PgRow) -> std::result::Result<Extended, sqlx::Error> {
    Ok(Extended {
        run: read_run(row)?,
        locked: row.try_get("locked")?,
        cancel_requested: row.try_get("cancel_requested")?,
    })
}

fn milliseconds(ms: Option<i64>) -> Option<Duration> {
    ms.and_then(|ms| u64::try_from(ms).ok())
        .map(Duration::from_millis)
}

fn read_run(row: &PgRow) -> std::result::Result<Run, sqlx::Error> {
    Ok(Run {
        id: row.try_get("id")?,
        run_no: row.try_get("run_no")?,
    })
}

pub(super) fn read_exchanged(rows: &[PgRow]) -> std::result::Result<Exchanged, sqlx::Error> {
    let mut exchanged = Exchanged::default();
    let mut claimed: Vec<(f64, ClaimedJob)> = Vec::new();
    for row in rows {
        let run = read_run(row)?;
        match row.try_get::<&str, _>("fate")? {
            "settled" => exchanged.settled.push(run),
            "cancelled" => exchanged.cancelled += 1,
            "failed" => exchanged.lost.push(LostJob {
                id: run.id,
                job_type: row.try_get("job_type")?,
            }),
            _ => {
                let job = ClaimedJob {
                    run,
                    job_type: row.try_get("job_type")?,
                    payload: row.try_get("payload")?,
                    attempts: row.try_get("attempts")?,
                    max_attempts: row.try_get("max_attempts")?,
                    priority: row.try_get("priority")?,
                    run_at: row.try_get("run_at")?,
                    timeout: milliseconds(row.try_get("timeout_ms")?),
                };
                claimed.push((row.try_get("ready_at")?, job));
            }
        }
    }
    // `returning` promises no order.
    claimed.sort_by(|(a_ready, a), (b_ready, b)| {
        (b.priority.cmp(&a.priority))
            .then(a_ready.total_cmp(b_ready))
            .then(a.run.id.cmp(&b.run.id))
    });
    exchanged.claimed = claimed.into_iter().map(|(_, job)| job).collect();
    Ok(exchanged)
}
