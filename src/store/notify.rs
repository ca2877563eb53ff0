//! The notifications of processes to each other, through the database: that jobs have become due, and that a running
//! job is to be cancelled.

use serde::Deserialize;

use crate::connect::{Schema, Statement};

pub const CHANNEL: &str = "pg_bg_job_queue";

/// SQL that sends `$content`, the members of a JSON object, to all listeners of this schema. Postgres delivers
/// equal notifications of one transaction once.
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

/// The news of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Notice {
    /// Jobs have become due.
    Ready,
    /// This job is to be cancelled.
    Cancel(i64),
}

impl Notice {
    /// Reads a message, if it is about this schema. Any role may send any text on a channel: a message that is not
    /// understood is ignored.
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

/// Sends the notification that jobs are due.
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
}
