//! How runs end.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Run;
use crate::error::Error;

/// Why an attempt has failed, as records say it. Of a lost worker only the database tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureReason {
    /// Its handler threw.
    Error,
    /// Its time was up.
    Timeout,
    NoHandler,
    /// Postgres refuses to store how it ended, or to give the job's data.
    Refused,
}

impl FailureReason {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Timeout => "timeout",
            Self::NoHandler => "no_handler",
            Self::Refused => "refused",
        }
    }
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
        /// When the job is tried again, if attempts are left: JSON, as `store/retry_policy.rs` reads it.
        retry: Option<Arc<str>>,
        /// `None` leaves the reason of the attempt before.
        reason: Option<FailureReason>,
    },
    /// Handed back: pending again, the attempt not counted; due as before, or behind the jobs that are due now.
    Released {
        behind: bool,
        /// Why it could not be run.
        reason: Option<String>,
    },
    /// Handed back after it had its time: the attempt is counted, and the job is due behind the jobs that are due
    /// now, if attempts are left.
    Unfinished {
        entry: String,
    },
    /// Put off by its handler: pending again, the attempt not counted, and due later.
    Snoozed {
        /// The time: JSON, as `store/retry_policy.rs` reads it.
        until: Arc<str>,
    },
    /// The run ended, and Postgres refuses to store its outcome: the job has failed for good.
    Refused {
        entry: String,
    },
    /// The run was told of a request to cancel its job before it ended, or did not end in time.
    Cancelled,
}

impl End {
    /// Why the attempt has failed, if this says it.
    pub fn failure_reason(&self) -> Option<FailureReason> {
        match self {
            Self::Failed { reason, .. } => *reason,
            Self::Unfinished { .. } => Some(FailureReason::Timeout),
            Self::Refused { .. } => Some(FailureReason::Refused),
            Self::Completed | Self::Released { .. } | Self::Snoozed { .. } | Self::Cancelled => {
                None
            }
        }
    }

    /// Whether the job may have failed for good by it.
    fn may_fail_for_good(&self) -> bool {
        matches!(
            self,
            Self::Failed { .. } | Self::Unfinished { .. } | Self::Refused { .. }
        )
    }

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
    /// If the job fails for good, a dead letter is added.
    pub has_dead_letter: bool,
}

impl Outcome {
    pub fn new(run: Run, end: End) -> Self {
        Self {
            run,
            end,
            sent_before: false,
            has_dead_letter: false,
        }
    }

    /// Whether to write it may add a dead letter.
    pub fn may_bury(&self) -> bool {
        self.has_dead_letter && self.end.may_fail_for_good()
    }

    /// Reduces an error entry to text that every database can hold: its message, in printable ASCII. Returns whether
    /// that has changed it.
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
            ..
        } = &mut self.end
        {
            let message = serde_json::from_str::<Entry>(entry).map(|entry| entry.message);
            let message = printable(&message.unwrap_or_default());
            *entry = serde_json::json!({ "message": message }).to_string();
            *pending_reason = pending_reason.as_deref().map(printable);
        }
        self.end != before
    }

    /// The same run, failed for good because Postgres refuses to store how it ended.
    pub fn refused(&self, error: &Error) -> Self {
        let how = match &self.end {
            End::Completed => "completed",
            End::Failed { .. } | End::Unfinished { .. } | End::Refused { .. } => "failed",
            End::Released { .. } => "was handed back",
            End::Snoozed { .. } => "was put off",
            End::Cancelled => "was cancelled",
        };
        let state = error.sql_state.as_deref().unwrap_or("none");
        let message =
            format!("The run {how}, but Postgres refused to store that (SQLSTATE {state})");
        let entry = serde_json::json!({ "name": "Refused", "message": message }).to_string();
        Self {
            run: self.run,
            end: End::Refused { entry },
            sent_before: false,
            has_dead_letter: self.has_dead_letter,
        }
    }
}
