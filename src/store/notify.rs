//! What processes tell each other through the database: that jobs have become due, and that a running
//! one is to be cancelled.
//!
//! A notification takes a lock that is global to the database, from the end of its transaction's work
//! until that is flushed to disk (`PreCommit_Notify` in Postgres's `async.c`). So of the inserts of
//! `addJob`, of which there may be thousands a second, only one that comes after a quiet time carries
//! a notification. The others are followed by statements of their own, which flush nothing, and never
//! more than one in [`INTERVAL`]. What runs in a caller's transaction always has to carry one, since
//! only its commit may deliver it.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::Instant;

use crate::connect::{Schema, Statement};

/// The time between notifications, while there is much to tell: the most that an idle worker waits for
/// word of a job, beyond the time that the word travels.
const INTERVAL: Duration = Duration::from_millis(10);
/// After so long without one, an insert carries a notification.
const QUIET: Duration = Duration::from_millis(20);

pub const CHANNEL: &str = "pg_bg_job_queue";

/// SQL that says `$content`, the members of a JSON object, to all who listen to this schema. Each of
/// several equal ones in a transaction is delivered once.
macro_rules! notify {
    ($content:expr) => {
        concat!(
            "pg_catalog.pg_notify('pg_bg_job_queue', pg_catalog.json_build_object('schema', {schema}, ",
            $content,
            ")::text)"
        )
    };
}

pub(super) use notify;

/// What was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Jobs have become due.
    Ready,
    /// This job is to be cancelled.
    Cancel(i64),
}

impl Notice {
    /// Reads a message, if it is about this schema. Anyone may say anything on a channel: what is not
    /// understood is not for us.
    pub fn read(message: &str, schema: &Schema) -> Option<Self> {
        #[derive(Deserialize)]
        struct Message {
            schema: String,
            #[serde(default)]
            ready: bool,
            cancel: Option<i64>,
        }
        let message: Message = serde_json::from_str(message).ok()?;
        match message {
            _ if message.schema != schema.name() => None,
            Message {
                cancel: Some(id), ..
            } => Some(Self::Cancel(id)),
            Message { ready: true, .. } => Some(Self::Ready),
            _ => None,
        }
    }
}

/// When to say that jobs are due.
#[derive(Debug, Default)]
pub struct Announcements {
    last: Option<Instant>,
    /// Jobs were added since that nobody was told of.
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

    /// Jobs were added without one. Returns when to speak of them, if that was not said before.
    pub fn owed(&mut self, now: Instant) -> Option<Instant> {
        let first = !std::mem::replace(&mut self.untold, true);
        first.then(|| self.last.map_or(now, |last| last + INTERVAL))
    }

    /// Whether to speak now.
    pub fn take(&mut self, now: Instant) -> bool {
        let due = self.untold && self.last.is_none_or(|last| now - last >= INTERVAL);
        if due {
            self.untold = false;
            self.last = Some(now);
        }
        due
    }
}

/// Says that jobs are due.
pub fn announcement(schema: &Schema) -> Statement {
    schema.statement(concat!("select ", notify!("'ready', true")), Vec::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_is_about_its_schema_and_nothing_else() {
        let schema = Schema::new("jobs");
        let read = |message| Notice::read(message, &schema);
        assert_eq!(
            read(r#"{"schema":"jobs","ready":true}"#),
            Some(Notice::Ready)
        );
        assert_eq!(
            read(r#"{"schema" : "jobs", "cancel" : 7}"#),
            Some(Notice::Cancel(7))
        );
        assert_eq!(read(r#"{"schema":"other","ready":true}"#), None);
        assert_eq!(read(r#"{"schema":"jobs"}"#), None);
        assert_eq!(read("nonsense"), None);
        assert_eq!(read(""), None);
    }

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
