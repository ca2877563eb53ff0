//! The numbers of an engine's work.

use serde::Serialize;

use crate::job::End;

/// A job that had begun and was handed back when the time was up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DidNotFit {
    pub id: i64,
    pub job_type: String,
}

/// How many runs ended in each way, as far as the store has accepted their outcomes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Jobs whose handlers were started.
    pub started: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Jobs that were put back, to be run by another worker.
    pub released: u64,
    /// Jobs that their handlers put off.
    pub snoozed: u64,
    pub did_not_fit: Vec<DidNotFit>,
    /// The types whose jobs were no longer claimed at the end, since they usually take longer than the time that was
    /// left.
    pub not_claimed: Vec<String>,
}

impl Tally {
    pub(super) fn count(&mut self, end: &End) {
        *match end {
            End::Completed => &mut self.completed,
            End::Failed { .. } | End::Refused { .. } => &mut self.failed,
            End::Cancelled => &mut self.cancelled,
            End::Released { .. } | End::Unfinished { .. } => &mut self.released,
            End::Snoozed { .. } => &mut self.snoozed,
        } += 1;
    }
}
