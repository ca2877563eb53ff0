//! What processes tell each other through the database: that jobs have become due, and that a running
//! one is to be cancelled.
//!
//! A notification takes a lock that is global to the database, from the end of its transaction's work
//! until that is flushed to disk (`PreCommit_Notify` in Postgres's `async.c`). So of the inserts of
//! `addJob`, of which there may be thousands a second, only one that comes after a quiet time carries
//! a notification. The others are followed by statements of their own, which flush nothing, and never
//! more than one in [`INTERVAL`]. What runs in a caller's transaction always has to carry one, since
//! only its commit may deliver it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use crate::connect::{Pool, Schema};

/// The time between notifications, while there is much to tell: the most that an idle worker waits for
/// word of a job, beyond the time that the word travels.
const INTERVAL: Duration = Duration::from_millis(10);
/// After so long without one, an insert carries a notification.
const QUIET: Duration = Duration::from_millis(100);

pub const CHANNEL: &str = "pg_bg_job_queue";

/// SQL that says `$content`, the members of a JSON object, to all who listen to this schema. Each of
/// several equal ones in a transaction is delivered once.
macro_rules! notify {
    ($content:expr) => {
        concat!(
            "pg_notify('pg_bg_job_queue', json_build_object('schema', {schema}, ",
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

/// Decides which inserts carry a notification, and sends those that they do not.
pub struct Notifier {
    pool: Pool,
    schema: Arc<Schema>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    last: Option<Instant>,
    /// One is about to be sent.
    scheduled: bool,
}

impl Notifier {
    pub fn new(pool: Pool, schema: Arc<Schema>) -> Self {
        Self {
            pool,
            schema,
            state: Mutex::default(),
        }
    }

    /// Whether the insert that is about to be sent is to carry a notification.
    pub fn carries_one(&self) -> bool {
        let mut state = self.lock();
        let now = Instant::now();
        let carries = !state.scheduled && state.last.is_none_or(|last| now - last >= QUIET);
        if carries {
            state.last = Some(now);
        }
        carries
    }

    /// Jobs are due, and nobody was told.
    pub fn ready(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.scheduled {
            return;
        }
        state.scheduled = true;
        let at = state.last.map_or_else(Instant::now, |last| last + INTERVAL);
        let notifier = self.clone();
        tokio::spawn(async move {
            sleep_until(at).await;
            notifier.speak().await;
        });
    }

    async fn speak(&self) {
        {
            let mut state = self.lock();
            state.scheduled = false;
            state.last = Some(Instant::now());
        }
        let template = concat!("select ", notify!("'ready', true"));
        let statement = self.schema.statement(template, Vec::new());
        // What is not heard is found by the poll.
        let _ = self.pool.fetch(statement).await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
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
}
