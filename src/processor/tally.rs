//! What an engine has done.

use serde::Serialize;

use super::job::End;

/// How many runs ended how, as far as the store has accepted it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tally {
    /// Jobs whose handlers were started.
    pub started: u64,
    pub completed: u64,
    pub failed: u64,
    pub cancelled: u64,
    /// Put back, to be run by somebody else.
    pub released: u64,
}

impl Tally {
    pub(super) fn count(&mut self, end: &End) {
        *match end {
            End::Completed => &mut self.completed,
            End::Failed { .. } => &mut self.failed,
            End::Cancelled => &mut self.cancelled,
            End::Released => &mut self.released,
        } += 1;
    }
}
