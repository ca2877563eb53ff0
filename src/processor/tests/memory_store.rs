//! The job table in memory, with the same rules as the SQL of `store`, on the clock that tests move.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Code, Error, Result};
use crate::processor::{
    ClaimedJob, End, Exchanged, Extended, LostJob, Outcome, Run, Settled, Store,
};

pub const LEASE: Duration = Duration::from_secs(30);
/// How long a round trip takes.
pub const ROUND_TRIP: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Pending,
    Processing { lease_until: Instant },
    Completed,
    Failed { entry: String },
    Cancelled,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub status: Status,
    pub run_no: i64,
    pub attempts: i32,
    pub max_attempts: i32,
    pub timeout: Option<Duration>,
    pub cancel_requested: bool,
    /// A transaction holds it.
    pub locked: bool,
}

#[derive(Default)]
pub struct MemoryStore {
    rows: Mutex<BTreeMap<i64, Row>>,
    /// What the next round trips fail with; the last one stays.
    outage: Mutex<Option<Error>>,
    /// One line a round trip, of those that reached the table.
    pub trips: Mutex<Vec<String>>,
}

impl MemoryStore {
    pub fn with_jobs(count: i64) -> Self {
        let store = Self::default();
        for id in 1..=count {
            store.add(id, 3);
        }
        store
    }

    pub fn add(&self, id: i64, max_attempts: i32) {
        let row = Row {
            status: Status::Pending,
            run_no: 0,
            attempts: 0,
            max_attempts,
            timeout: None,
            cancel_requested: false,
            locked: false,
        };
        self.rows.lock().unwrap().insert(id, row);
    }

    pub fn row(&self, id: i64) -> Row {
        self.rows.lock().unwrap()[&id].clone()
    }

    pub fn change(&self, id: i64, change: impl FnOnce(&mut Row)) {
        change(self.rows.lock().unwrap().get_mut(&id).unwrap());
    }

    pub fn count(&self, status: &Status) -> usize {
        let rows = self.rows.lock().unwrap();
        rows.values().filter(|row| row.status == *status).count()
    }

    pub fn fail_with(&self, error: Option<Error>) {
        *self.outage.lock().unwrap() = error;
    }

    pub fn trips(&self) -> Vec<String> {
        self.trips.lock().unwrap().clone()
    }

    async fn travel(&self) -> Result<()> {
        sleep(ROUND_TRIP / 2).await;
        match &*self.outage.lock().unwrap() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    fn settle_and_claim(&self, outcomes: &[Outcome], limit: usize) -> Result<Exchanged> {
        // What Postgres says of text that the database's encoding lacks.
        let unstorable = |outcome: &Outcome| matches!(&outcome.end, End::Failed { entry, .. } if !entry.is_ascii());
        if outcomes.iter().any(unstorable) {
            let mut error = Error::new(Code::DatabaseError, "unstorable");
            error.sql_state = Some("22P05".into());
            return Err(error);
        }
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        let mut exchanged = Exchanged::default();
        for outcome in outcomes {
            let Some(row) = rows.get_mut(&outcome.run.id) else {
                continue;
            };
            let owned = matches!(row.status, Status::Processing { .. });
            if !owned || row.run_no != outcome.run.run_no {
                continue;
            }
            row.status = match &outcome.end {
                End::Completed => Status::Completed,
                _ if row.cancel_requested => Status::Cancelled,
                End::Cancelled => Status::Cancelled,
                End::Failed { entry, .. } => Status::Failed {
                    entry: entry.clone(),
                },
                End::Released => {
                    row.attempts -= 1;
                    Status::Pending
                }
            };
            exchanged.settled.push(outcome.run);
        }
        for (&id, row) in rows.iter_mut() {
            if exchanged.claimed.len() + exchanged.lost.len() + exchanged.cancelled == limit {
                break;
            }
            let due = match row.status {
                Status::Pending => true,
                Status::Processing { lease_until } => lease_until <= now && !row.locked,
                Status::Completed | Status::Failed { .. } | Status::Cancelled => false,
            };
            if !due {
                continue;
            }
            row.run_no += 1;
            if row.cancel_requested {
                row.status = Status::Cancelled;
                exchanged.cancelled += 1;
                continue;
            }
            if row.attempts >= row.max_attempts {
                row.status = Status::Failed {
                    entry: "lost".into(),
                };
                exchanged.lost.push(LostJob {
                    id,
                    job_type: "job".into(),
                });
                continue;
            }
            row.attempts += 1;
            row.status = Status::Processing {
                lease_until: now + LEASE,
            };
            exchanged.claimed.push(ClaimedJob {
                run: Run {
                    id,
                    run_no: row.run_no,
                },
                job_type: "job".into(),
                payload: "null".into(),
                attempts: row.attempts,
                max_attempts: row.max_attempts,
                priority: 0,
                run_at: None,
                timeout: row.timeout,
            });
        }
        Ok(exchanged)
    }

    fn note(&self, trip: String) {
        self.trips.lock().unwrap().push(trip);
    }
}

impl Store for MemoryStore {
    async fn exchange(
        &self,
        outcomes: Vec<Outcome>,
        limit: usize,
        only: Option<Vec<String>>,
    ) -> Result<Exchanged> {
        self.travel().await?;
        let limit = match only {
            // Here all jobs are of one type.
            Some(types) if !types.iter().any(|job_type| job_type == "job") => 0,
            _ => limit,
        };
        let exchanged = self.settle_and_claim(&outcomes, limit)?;
        self.note(format!("settle {} claim {limit}", outcomes.len()));
        sleep(ROUND_TRIP / 2).await;
        Ok(exchanged)
    }

    async fn extend(&self, runs: Vec<Run>) -> Result<Vec<Extended>> {
        self.travel().await?;
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        self.note(format!("extend {}", runs.len()));
        let extends = |run: Run| match rows.get_mut(&run.id) {
            Some(row) if row.run_no == run.run_no => match &mut row.status {
                Status::Processing { lease_until } => {
                    if !row.locked {
                        *lease_until = now + LEASE;
                    }
                    let cancel_requested = row.cancel_requested;
                    Some(Extended {
                        run,
                        locked: row.locked,
                        cancel_requested,
                    })
                }
                _ => None,
            },
            _ => None,
        };
        Ok(runs.into_iter().filter_map(extends).collect())
    }

    async fn settled_by_handler(&self, runs: Vec<Run>) -> Result<Vec<(Run, Settled)>> {
        self.travel().await?;
        let rows = self.rows.lock().unwrap();
        let settled = |run: Run| {
            let settled = match rows.get(&run.id) {
                Some(row) if row.run_no != run.run_no => Settled::Lost,
                Some(Row {
                    status: Status::Processing { .. },
                    locked,
                    ..
                }) => {
                    if *locked {
                        Settled::Open
                    } else {
                        Settled::RolledBack
                    }
                }
                Some(row) if row.status != Status::Completed => Settled::Lost,
                _ => Settled::Committed,
            };
            (run, settled)
        };
        Ok(runs.into_iter().map(settled).collect())
    }

    async fn cancel_requested(&self, runs: Vec<Run>) -> Result<Vec<Run>> {
        self.travel().await?;
        let rows = self.rows.lock().unwrap();
        let requested = |run: &Run| {
            rows.get(&run.id)
                .is_some_and(|row| row.run_no == run.run_no && row.cancel_requested)
        };
        Ok(runs.into_iter().filter(requested).collect())
    }
}
