//! What has become of a job that was to be added.

use serde::{Deserialize, Serialize};

/// The id of a new job without a key; or what was decided about a key.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub enum Added {
    Plain(i64),
    Keyed(Box<Decision>),
}

/// A list in JSON, as the statement answers it and as TypeScript reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Decision(
    /// The job that holds the key.
    pub i64,
    /// `added`, `kept`, `replaced`, `postponed`, `superseded` or `rejected`.
    String,
    /// The job's status, if its row is there.
    Option<String>,
    /// The job that was superseded while it ran.
    pub Option<i64>,
);

impl Added {
    pub fn id(&self) -> i64 {
        match self {
            Self::Plain(id) => *id,
            Self::Keyed(decision) => decision.0,
        }
    }

    /// The running job that is to end.
    pub fn asked_to_end(&self) -> Option<i64> {
        match self {
            Self::Plain(_) => None,
            Self::Keyed(decision) => decision.3,
        }
    }
}
