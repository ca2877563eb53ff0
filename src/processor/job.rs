//! What passes between the engine, the store and the handlers.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::error::Error;

/// One run of a job. `run_no` grows with every claim of the job and never goes back, so the pair is
/// the fence: a write that names a run fails once the job was claimed again, retried or cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    pub id: i64,
    pub run_no: i64,
}

/// A job that this processor owns until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedJob {
    pub run: Run,
    pub job_type: String,
    /// JSON text.
    pub payload: String,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// It is the job's last attempt, which is counted when the handler begins.
    pub uncounted: bool,
    pub max_attempts: i32,
    pub priority: i32,
    /// Milliseconds since the Unix epoch.
    pub run_at: Option<i64>,
    /// How long a run may take; `None` leaves it to the processor.
    pub timeout: Option<Duration>,
}

/// A job that has no attempts left: its last worker was lost, or it was made pending by hand. It ends as
/// `failed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExhaustedJob {
    pub id: i64,
    pub job_type: String,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Completed,
    Failed {
        /// The entry for `error_history`, a JSON object that lacks only its timestamp.
        entry: String,
        /// Why the job could not be run at all.
        pending_reason: Option<String>,
    },
    /// Handed back: pending again, the attempt not counted; due as before, or behind what is due now.
    Released {
        behind: bool,
        /// Why it could not be run.
        reason: Option<String>,
    },
    /// Handed back after it had its time: the attempt is counted, and the job is due behind what is due now, if
    /// attempts are left.
    Unfinished {
        entry: String,
    },
    /// It ended, and Postgres refuses to have that written: it has failed, for good.
    Refused {
        entry: String,
    },
    /// It was told of a request to cancel its job before it ended, or did not end in time.
    Cancelled,
}

impl End {
    /// Handed back before its handler has begun, for this reason.
    pub fn released(reason: Option<String>) -> Self {
        Self::Released {
            behind: false,
            reason,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub run: Run,
    pub end: End,
    /// It was sent before, and no answer came: the store may have it already.
    pub sent_before: bool,
}

/// What came of counting the attempts of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Their handlers can begin. Of the others, a run no longer owns its job, or some transaction has locked that.
    pub runs: Vec<Run>,
    /// Those that Postgres refuses to have counted.
    pub refused: Vec<Refusal>,
    /// Those of them that were refused before.
    pub refused_before: Vec<i64>,
}

/// What an extension says of a run that still owns its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extended {
    pub run: Run,
    /// A transaction has locked the job: nobody can extend its lease, or take it over, before that ends.
    pub locked: bool,
    /// Why Postgres refuses to let its lease be extended.
    pub refused: Option<Error>,
    /// Somebody wants the job cancelled.
    pub cancel_requested: bool,
}

/// What became of a run that its handler settled in a transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The transaction was committed.
    Committed,
    /// It was rolled back: the run still owns its job.
    RolledBack,
    /// It has not ended.
    Open,
    /// The run no longer owns its job.
    Lost,
}

/// What is to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The most jobs; 0 is none.
    pub limit: usize,
    /// By which the claim is found again if its answer is lost. Above 0.
    pub token: i64,
    /// Only of these types, if those are not all that the processor takes.
    pub only: Option<Vec<String>>,
}

/// A job that Postgres refused to let be changed: by a constraint, a trigger, or for what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub id: i64,
    pub error: Error,
}

/// A job that was claimed and whose payload cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub run: Run,
    pub job_type: String,
    pub error: Error,
}

/// What a round trip to the store brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// The runs whose outcomes are written. Of the others, [`super::Store::settle_each`] tells.
    pub settled: Vec<Run>,
    /// In the order in which they are to run.
    pub claimed: Vec<ClaimedJob>,
    pub exhausted: Vec<ExhaustedJob>,
    pub unreadable: Vec<Unreadable>,
    /// Jobs that are due and that could not be claimed, each told once.
    pub refused: Vec<Refusal>,
    /// There may be more that is due, though fewer jobs were found than wanted.
    pub unfinished: bool,
    /// Jobs were claimed that are not in it, and are to be given back.
    pub in_doubt: bool,
    /// When the statement was sent that claimed, where others came before it: from then on the leases count.
    pub claim_sent: Option<Instant>,
}

impl Exchanged {
    /// How many jobs the claim has dealt with.
    pub fn found(&self) -> usize {
        self.claimed.len() + self.exhausted.len() + self.unreadable.len()
    }
}

/// What became of an outcome that was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Written,
    /// Postgres refuses to have it written.
    Refused(Error),
    /// It is written another way, because Postgres refuses the way that was meant: a job that may not be deleted is
    /// kept, and one that may not be pending has failed and is due again.
    Otherwise(Error),
    /// Some transaction has locked the job.
    Locked,
    /// The run no longer owns its job.
    Lost,
}

/// What came of outcomes that were settled one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettledEach {
    Fates(Vec<(Run, Fate)>),
    /// None was written, since Postgres refuses one of them.
    Refused(Error),
}

/// What became of jobs whose workers were lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// How many are due again.
    pub pending: usize,
    /// How many were left alone for a moment, since their owners could not extend their leases until just now.
    pub spared: usize,
    /// Those that had no attempts left.
    pub exhausted: Vec<ExhaustedJob>,
    /// Those that could not be brought back, each told once.
    pub refused: Vec<Refusal>,
    /// Jobs are left which one of the others may keep from being brought back.
    pub needs_care: bool,
}

impl Outcome {
    pub fn new(run: Run, end: End) -> Self {
        Self {
            run,
            end,
            sent_before: false,
        }
    }

    /// Reduces an error entry to what any database can hold: its message, in printable ASCII. Returns whether that
    /// has changed it.
    pub fn simplify(&mut self) -> bool {
        #[derive(Deserialize, Serialize)]
        struct Entry {
            message: String,
        }
        let printable = |text: &str| -> String {
            let keep = |c: char| {
                if c.is_ascii_graphic() || c == ' ' {
                    c
                } else {
                    '?'
                }
            };
            text.chars().map(keep).collect()
        };
        let before = self.end.clone();
        if let End::Failed {
            entry,
            pending_reason,
        } = &mut self.end
        {
            let message = serde_json::from_str::<Entry>(entry).map(|entry| entry.message);
            let message = printable(&message.unwrap_or_default());
            *entry = serde_json::json!({ "message": message }).to_string();
            *pending_reason = pending_reason.as_deref().map(printable);
        }
        self.end != before
    }

    /// The same run, failed for good because Postgres refuses to have written how it ended.
    pub fn refused(&self, error: &Error) -> Self {
        let how = match &self.end {
            End::Completed => "completed",
            End::Failed { .. } | End::Unfinished { .. } | End::Refused { .. } => "failed",
            End::Released { .. } => "was handed back",
            End::Cancelled => "was cancelled",
        };
        let state = error.sql_state.as_deref().unwrap_or("none");
        let message =
            format!("The run {how}, but Postgres refused to write that (SQLSTATE {state})");
        let entry = serde_json::json!({ "name": "Refused", "message": message }).to_string();
        Self {
            run: self.run,
            end: End::Refused { entry },
            sent_before: false,
        }
    }
}
