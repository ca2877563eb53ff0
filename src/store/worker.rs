//! The job table as one processor sees it.

use std::cmp::Reverse;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::claim::Claim;
use super::cursor::{Cursor, Look, Position, Seen};
use super::recover::{self, LeaseCursor};
use super::table::unreadable;
use super::{cancel, claim, complete, extend};
use crate::connect::{Pool, Schema, Statement};
use crate::error::Result;
use crate::processor::{
    ClaimedJob, End, Exchanged, Extended, LostJob, Outcome, Recovered, Run, Settled, Store,
};

/// How long to wait for an answer, however short a lease is.
const LEAST_PATIENCE: Duration = Duration::from_secs(5);

#[derive(Clone)]
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
    pub cursor: Arc<Cursor>,
    pub lease_cursor: Arc<LeaseCursor>,
    /// Whether the queue's role is known to have the rights to settle, so that no job runs in vain.
    pub proven: Arc<AtomicBool>,
    /// Whether to look behind the cursors before nothing is said to be due. Who polls need not: what is
    /// there is found later.
    pub thorough: bool,
}

impl Worker {
    /// An answer that takes longer than half a lease comes too late for what it is about; the server
    /// may be gone without a word.
    async fn fetch(&self, statement: Statement) -> Result<Vec<PgRow>> {
        let limit = (self.lease / 2).max(LEAST_PATIENCE);
        self.pool.fetch_within(Some(limit), &statement).await
    }

    async fn look(
        &self,
        outcomes: Vec<Outcome>,
        limit: usize,
        only: Option<Vec<String>>,
        look: &Look,
    ) -> Result<Exchanged> {
        let claim = Claim {
            limit,
            worker_id: &self.id,
            lease_ms: self.lease_ms(),
            types: only.as_ref().or(self.job_types.as_ref()).map(Vec::as_slice),
            proving: !self.proven.load(Ordering::Relaxed),
        };
        let remove = self.remove_on_complete;
        let statement = claim::statement(&self.schema, outcomes, remove, &claim, look);
        let asked = Instant::now();
        let rows = self.fetch(statement).await?;
        if claim.proving && limit > 0 {
            self.proven.store(true, Ordering::Relaxed);
        }
        let (exchanged, seen) = read_exchanged(&rows).map_err(unreadable)?;
        if limit > 0 && only.is_none() {
            let now = Instant::now();
            let took = now - asked;
            self.cursor.looked(look, &Seen { took, ..seen }, now);
        }
        Ok(exchanged)
    }

    fn lease_ms(&self) -> i64 {
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
        let hands_back = outcomes.iter().any(|outcome| outcome.end == End::Released);
        // The cursor is that of all types.
        let look = match only {
            None => self.cursor.look(Instant::now()),
            Some(_) => Look::from_beginning(),
        };
        let exchanged = self.look(outcomes, limit, only.clone(), &look).await?;
        if hands_back {
            // A statement does not see what it has written itself.
            self.cursor.go_back();
        }
        let found = exchanged.claimed.len() + exchanged.lost.len();
        let nothing = limit > 0 && found == 0;
        if !(nothing && self.thorough) || look.is_from_beginning() {
            return Ok(exchanged);
        }
        let settled = exchanged.settled;
        let look = Look::from_beginning();
        let exchanged = self.look(Vec::new(), limit, only, &look).await?;
        Ok(Exchanged {
            settled,
            ..exchanged
        })
    }

    async fn recover(&self) -> Result<Recovered> {
        let began = Instant::now();
        let from = if self.thorough {
            0
        } else {
            self.lease_cursor.look(began)
        };
        let rows = self.fetch(recover::jobs(&self.schema, from)).await?;
        let (recovered, looked_at) = recover::read(&rows).map_err(unreadable)?;
        let now = Instant::now();
        self.lease_cursor.looked(from, looked_at, now - began, now);
        Ok(recovered)
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

/// What an exchange brought, and what the cursor is to know of it but the time that it took.
pub(super) fn read_exchanged(
    rows: &[PgRow],
) -> std::result::Result<(Exchanged, Seen), sqlx::Error> {
    let mut exchanged = Exchanged::default();
    let mut seen = Seen::default();
    let mut claimed: Vec<(Option<i64>, ClaimedJob)> = Vec::new();
    for row in rows {
        let fate = row.try_get::<&str, _>("fate")?;
        let run = read_run(row)?;
        if fate == "settled" {
            exchanged.settled.push(run);
            continue;
        }
        let searched: i64 = row.try_get("searched")?;
        let searched = Duration::from_micros(searched.try_into().unwrap_or(0));
        let first = *seen.searched.get_or_insert(searched);
        seen.searched = Some(searched.min(first));
        match fate {
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
    // `returning` promises no order. What has been due since minus infinity comes first.
    claimed.sort_by_key(|(ready_at, job)| (Reverse(job.priority), *ready_at, job.run.id));
    for (ready_at, job) in &claimed {
        if let &Some(ready_at) = ready_at {
            let id = job.run.id;
            seen.last.insert(job.priority, Position { ready_at, id });
        }
    }
    exchanged.claimed = claimed.into_iter().map(|(_, job)| job).collect();
    Ok((exchanged, seen))
}
