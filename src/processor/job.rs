//! What passes between the engine, the store and the handlers.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// One run of a job. `run_no` grows with every claim of the job and never goes back, so the pair is
/// the fence: a write that names a run fails once the job was claimed again, retried or cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
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
pub struct LostJob {
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
    /// Handed back: pending again, the attempt not counted.
    Released,
    /// It was told of a request to cancel its job before it ended, or did not end in time.
    Cancelled,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub run: Run,
    pub end: End,
    /// It was sent before, and no answer came: the store may have it already.
    pub sent_before: bool,
}

/// What an extension says of a run that still owns its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extended {
    pub run: Run,
    /// A transaction has locked the job: nobody can extend its lease, or take it over, before that ends.
    pub locked: bool,
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

/// What a round trip to the store brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchanged {
    pub settled: Vec<Run>,
    /// In the order in which they are to run.
    pub claimed: Vec<ClaimedJob>,
    pub lost: Vec<LostJob>,
}

/// What became of jobs whose workers were lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// How many are due again.
    pub pending: usize,
    /// Those that had no attempts left.
    pub lost: Vec<LostJob>,
}

impl Outcome {
    pub fn new(run: Run, end: End) -> Self {
        Self {
            run,
            end,
            sent_before: false,
        }
    }

    /// Reduces an error entry to what any database can hold: its message, in printable ASCII.
    pub fn simplify(&mut self) {
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
    }
}
