//! Errors, with the messages that reach the user. An error never holds a payload, a password or a
//! connection string.

use serde::Serialize;

/// The codes of the public `JobQueueError` that arise below JavaScript.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Code {
    InvalidConfig,
    InvalidArgument,
    InvalidPayload,
    NotMigrated,
    DuplicateJob,
    ConnectionFailed,
    LeaseLost,
    Timeout,
    Cancelled,
    Deadline,
    NoHandler,
    Closed,
    DatabaseError,
}

/// An error on its way to JavaScript, where it becomes a `JobQueueError` of the caller's realm.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Error {
    pub code: Code,
    pub message: String,
    /// Postgres's `SQLSTATE`, where the server refused a statement.
    pub sql_state: Option<String>,
    /// The message of the layer below, where it says more than this message.
    pub cause: Option<String>,
    /// Nothing was sent to the server.
    #[serde(skip)]
    pub unsent: bool,
    /// The server has ended the connection with it.
    #[serde(skip)]
    pub fatal: bool,
    /// The server did not answer in time: it is out of reach, or at work where its own limits do not hold, as at
    /// a commit.
    #[serde(skip)]
    pub unanswered: bool,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            sql_state: None,
            cause: None,
            unsent: false,
            fatal: false,
            unanswered: false,
        }
    }

    pub fn caused_by(mut self, cause: impl std::fmt::Display) -> Self {
        self.cause = Some(cause.to_string());
        self
    }

    /// With the `SQLSTATE` of another error, which led to this one.
    pub fn with_state_of(mut self, other: &Self) -> Self {
        self.sql_state.clone_from(&other.sql_state);
        self
    }

    /// The reason that is stored with a job which the server refuses to let be changed.
    pub fn refuses_to_let_be(&self, what: &str) -> String {
        let state = self.sql_state.as_deref().unwrap_or("none");
        format!("Postgres refuses to let the job be {what} (SQLSTATE {state})")
    }

    /// Whether the server refused the data of the statement (`SQLSTATE` class 22), so that
    /// sending the same data again can only fail again.
    pub fn blames_data(&self) -> bool {
        self.is_of_class(&["22"])
    }

    /// Whether, of several rows that were sent, one may be at fault: its data, a constraint of the
    /// user's (class 23), an error that a trigger of the user's raised (P0), a skipped row (02), or an exceeded limit
    /// (54).
    pub fn blames_row(&self) -> bool {
        self.is_of_class(&["02", "22", "23", "54", "P0"])
    }

    /// Whether one of the rows that a statement is about may be at fault: the server answered, and a trigger of the
    /// user's can raise anything, also what the server itself says of a lost connection (by a foreign table), a
    /// standby, a full disk or a conflict, and end the connection. A lock or a slow trigger can outlast a limit, and a
    /// value can be too large to be given back. What is the server's own fault fails without any row too.
    pub fn suspects_rows(&self) -> bool {
        self.sql_state.is_some() && !self.unsent
    }

    /// The same, or there was no answer: a deferred trigger runs at the commit, and may be slow there.
    pub fn may_blame_rows(&self) -> bool {
        self.suspects_rows() || self.unanswered
    }

    /// Whether a lock or slow work has outlasted a limit: the server is there, and may run the statement later.
    pub fn was_held_up(&self) -> bool {
        self.is_of_class(&["55P03", "57014"])
    }

    /// Whether a lock has outlasted a limit.
    pub fn was_locked_out(&self) -> bool {
        self.is_of_class(&["55P03"])
    }

    /// Whether something has held the statement up, or another server or a disk may be there again in a while: classes 08 (a connection), 40 (a conflict),
    /// 53 (resources), 57 (an operator) and 58 (the system), and what a standby refuses. It says nothing of the job.
    pub fn may_pass(&self) -> bool {
        self.was_held_up() || self.is_of_class(&["08", "25006", "40", "53", "57", "58"])
    }

    /// Whether the statement may have had an effect all the same: there was no answer, or a limit of the server's
    /// ended it, which may happen after the commit, while the answer is on its way.
    pub fn leaves_open(&self) -> bool {
        !self.unsent && (!self.was_refused() || self.is_of_class(&["57014"]))
    }

    /// Whether the server has refused the statement, which then has had no effect. A statement without an
    /// answer may have had one.
    pub fn was_refused(&self) -> bool {
        self.sql_state.is_some() && !self.fatal
    }

    /// Whether the server has undone the statement for the sake of another transaction (a conflict of
    /// their isolation, a deadlock), so that sending it again may succeed.
    pub fn was_undone(&self) -> bool {
        self.is_of_class(&["40001", "40P01"])
    }

    fn is_of_class(&self, classes: &[&str]) -> bool {
        self.sql_state
            .as_deref()
            .is_some_and(|state| classes.iter().any(|class| state.starts_with(class)))
    }
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
