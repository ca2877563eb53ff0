//! When to tell other processes of jobs that were added.
//!
//! A notification takes a lock that is global to the database, from the end of its transaction's work
//! until that is flushed to disk (`PreCommit_Notify` in Postgres's `async.c`). So of the inserts of
//! `addJob`, of which there may be thousands a second, only one that comes after a quiet time carries
//! a notification. The others are announced by separate statements, which flush nothing, and never
//! more than one in [`INTERVAL`]. An insert in a caller's transaction always has to carry a notification,
//! since only the caller's commit may deliver it.

use std::time::Duration;

use tokio::time::Instant;

/// The time between notifications while many jobs are added: the longest that an idle worker waits for
/// news of a job, beyond the time that the notification travels.
const INTERVAL: Duration = Duration::from_millis(10);
/// After this time without a notification, an insert carries one.
const QUIET: Duration = Duration::from_millis(20);

/// When to say that jobs are due.
#[derive(Debug, Default)]
pub struct Announcements {
    last: Option<Instant>,
    /// Jobs were added since the last notification, and not announced.
    untold: bool,
}

impl Announcements {
    /// Whether an insert that is about to be sent is to carry a notification.
    pub fn goes_along(&mut self, now: Instant) -> bool {
        let goes_along = !self.untold && self.last.is_none_or(|last| now - last >= QUIET);
        if goes_along {
            self.last = Some(now);
        }
        goes_along
    }

    /// Jobs were added without a notification. Returns when to announce them, if that time was not returned before.
    pub fn owed(&mut self, now: Instant) -> Option<Instant> {
        let first = !std::mem::replace(&mut self.untold, true);
        first.then(|| self.last.map_or(now, |last| last + INTERVAL))
    }

    /// Whether to announce jobs now.
    pub fn take(&mut self, now: Instant) -> bool {
        let due = self.untold && self.last.is_none_or(|last| now - last >= INTERVAL);
        if due {
            self.untold = false;
            self.last = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_quiet_time_an_insert_carries_the_word() {
        let start = Instant::now();
        let mut announcements = Announcements::default();
        assert!(announcements.goes_along(start));
        assert!(!announcements.goes_along(start + QUIET / 2));
        assert!(announcements.goes_along(start + QUIET));
    }

    #[test]
    fn what_was_added_in_between_is_spoken_of_once_and_not_too_soon() {
        let start = Instant::now();
        let mut announcements = Announcements::default();
        assert!(announcements.goes_along(start));
        let soon = start + INTERVAL / 2;
        assert_eq!(announcements.owed(soon), Some(start + INTERVAL));
        assert_eq!(announcements.owed(soon), None);
        assert!(!announcements.take(soon));
        assert!(announcements.take(start + INTERVAL));
        assert!(!announcements.take(start + INTERVAL * 2));
    }
}
