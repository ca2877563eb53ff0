//! The questions to a store, their times, and the answers.

use std::time::Duration;

use crate::job::{ExhaustedJob, Outcome, Run};
use crate::processor::tests::memory_store::{Hold, Row, Status};
use crate::processor::{Exchanged, Extended, Fate, Recovered, SettledEach, Wanted};

/// In the order in which the questions reached the store.
pub type Trace = Vec<Asked>;

#[derive(Debug, Clone)]
pub struct Asked {
    /// Since the story began.
    pub at: Duration,
    pub command: Command,
    pub answer: Answer,
    /// The whole table afterwards, by id.
    pub table: Vec<RowState>,
}

#[derive(Debug, Clone)]
pub enum Command {
    Insert {
        id: i64,
        job_type: &'static str,
        dead_letter: bool,
        key: Option<i64>,
        hold: Hold,
        priority: i32,
        max_attempts: i32,
        run_at: Duration,
        timeout: Option<Duration>,
    },
    Exchange {
        outcomes: Vec<Outcome>,
        wanted: Wanted,
        /// How many types of jobs the worker names, where it wants all: the three that have jobs, and another one; 0
        /// names none.
        types: usize,
    },
    SettleEach(Vec<Outcome>),
    Begin(Vec<Run>),
    ClaimedBy(Vec<i64>),
    Recover,
    Extend(Vec<Run>),
    Cancel(i64),
    Retry(i64),
    Reclaim(Duration),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    Nothing,
    /// The engine's answer, without the parts that no table holds.
    Exchanged {
        settled: Vec<Run>,
        /// With their attempts.
        claimed: Vec<(Run, i32)>,
        exhausted: Vec<i64>,
    },
    /// Of each run, whether its outcome is written.
    SettledEach(Vec<(Run, bool)>),
    Runs(Vec<Run>),
    /// How many jobs are due again, and which had no attempts left.
    Recovered(usize, Vec<i64>),
    Extended(Vec<(Run, bool)>),
    Said(Option<String>),
}

impl From<&Exchanged> for Answer {
    fn from(exchanged: &Exchanged) -> Self {
        let mut settled = exchanged.settled.clone();
        settled.sort();
        let claimed = exchanged.claimed.iter();
        let exhausted = ids(&exchanged.exhausted);
        Self::Exchanged {
            settled,
            claimed: claimed.map(|job| (job.run, job.attempts)).collect(),
            exhausted,
        }
    }
}

impl From<&SettledEach> for Answer {
    fn from(settled: &SettledEach) -> Self {
        let mut fates: Vec<_> = match settled {
            SettledEach::Fates(fates) => fates
                .iter()
                .map(|(run, fate)| (*run, *fate == Fate::Written))
                .collect(),
            SettledEach::Refused(_) => Vec::new(),
        };
        fates.sort();
        Self::SettledEach(fates)
    }
}

impl Answer {
    pub fn of_runs(runs: &[Run]) -> Self {
        let mut runs = runs.to_vec();
        runs.sort();
        Self::Runs(runs)
    }

    /// The same with other names for its runs.
    pub fn with_runs(self, name: impl Fn(Run) -> Run) -> Self {
        let sorted = |mut runs: Vec<_>| {
            runs.sort();
            runs
        };
        match self {
            Self::Exchanged {
                settled,
                claimed,
                exhausted,
            } => {
                let settled: Vec<_> = settled.into_iter().map(&name).collect();
                let claimed = claimed
                    .into_iter()
                    .map(|(run, attempts)| (name(run), attempts));
                Self::Exchanged {
                    settled: sorted(settled),
                    claimed: claimed.collect(),
                    exhausted,
                }
            }
            Self::SettledEach(fates) => {
                let mut fates: Vec<_> = (fates.into_iter())
                    .map(|(run, written)| (name(run), written))
                    .collect();
                fates.sort();
                Self::SettledEach(fates)
            }
            Self::Runs(runs) => Self::Runs(sorted(runs.into_iter().map(name).collect())),
            Self::Extended(runs) => {
                let runs = runs.into_iter().map(|(run, cancel)| (name(run), cancel));
                Self::Extended(runs.collect())
            }
            answer => answer,
        }
    }
}

impl From<&Recovered> for Answer {
    fn from(recovered: &Recovered) -> Self {
        Self::Recovered(recovered.pending, ids(&recovered.exhausted))
    }
}

fn ids(jobs: &[ExhaustedJob]) -> Vec<i64> {
    let mut ids: Vec<_> = jobs.iter().map(|job| job.id).collect();
    ids.sort();
    ids
}

impl From<&[Extended]> for Answer {
    fn from(extended: &[Extended]) -> Self {
        let mut runs: Vec<_> = extended
            .iter()
            .map(|extended| (extended.run, extended.cancel_requested))
            .collect();
        runs.sort();
        Self::Extended(runs)
    }
}

/// The parts of a row on which two tables have to agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowState {
    pub id: i64,
    pub status: String,
    pub run_no: i64,
    pub attempts: i32,
    pub max_attempts: i32,
    pub cancel_requested: bool,
    pub uncounted: bool,
    pub holds_key: bool,
    /// In microseconds since the story began.
    pub ready_at: Option<i64>,
}

impl RowState {
    pub fn new(id: i64, row: &Row, began: tokio::time::Instant) -> Self {
        let status = match row.status {
            Status::Pending => "pending",
            Status::Processing { .. } => "processing",
            Status::Completed => "completed",
            Status::Failed { .. } => "failed",
            Status::Cancelled => "cancelled",
        };
        let microseconds = |at: tokio::time::Instant| (at - began).as_micros().try_into();
        Self {
            id,
            status: status.into(),
            run_no: row.run_no,
            attempts: row.attempts,
            max_attempts: row.max_attempts,
            cancel_requested: row.cancel_requested,
            uncounted: row.uncounted,
            holds_key: row.holds_key(),
            ready_at: row.ready_at().and_then(|at| microseconds(at).ok()),
        }
    }
}
