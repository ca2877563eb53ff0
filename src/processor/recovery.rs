//! When to ask for the jobs of lost workers.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The time between two questions.
const INTERVAL: Duration = Duration::from_millis(500);
/// The same while there are other jobs, which need not wait for the answer.
const WHILE_BUSY: Duration = Duration::from_secs(2);

/// Shared by the processors of a queue: a processor that lives for one batch need not ask if another just did.
#[derive(Debug, Default)]
pub struct Recovery(Mutex<Option<Instant>>);

impl Recovery {
    /// Whether to ask now. A caller that gets `true` asks.
    pub fn is_due(&self, now: Instant, busy: bool) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let interval = if busy { WHILE_BUSY } else { INTERVAL };
        let due = last.is_none_or(|last| now - last >= interval);
        if due {
            *last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_asks_and_the_others_need_not_for_a_while() {
        let now = Instant::now();
        let recovery = Recovery::default();
        assert!(recovery.is_due(now, false));
        assert!(!recovery.is_due(now + INTERVAL / 2, false));
        assert!(!recovery.is_due(now + INTERVAL, true));
        assert!(recovery.is_due(now + INTERVAL, false));
        assert!(recovery.is_due(now + INTERVAL + WHILE_BUSY, true));
    }
}
