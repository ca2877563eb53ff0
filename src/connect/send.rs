//! Sending a statement over a connection, and its possible failures.

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, Postgres};
use tokio::time::{sleep, timeout};

use super::patience::Limits;
use super::refusal::{closed, is_fatal, refusal, silence, statement_failed};
use super::settings::{Pooler, Settings};
use super::statement::{Statement, Value};
use crate::error::{Error, Result};

/// How often a statement is sent that the server undoes in favour of other transactions.
const MAX_TRIES: u32 = 10;
/// How long to wait before the second try; longer before each further one.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// An answer, or the reason why there is none.
pub(super) type Answer<T> = std::result::Result<T, Failure>;

/// When Postgres calls the triggers and checks the constraints that a user has made `deferrable`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferred {
    /// As declared: at the commit, which the server's limits do not cover.
    AtCommit,
    /// At the end of the statement, within its limits.
    AtOnce,
}

/// Sends a statement that is a transaction of its own, and waits for its rows.
pub(super) async fn ask(
    connection: &mut PgConnection,
    statement: &Statement,
    settings: &Settings,
    limits: Limits,
    deferred: Deferred,
) -> Answer<Vec<PgRow>> {
    // Several statements in one message are one transaction, and settings end with it.
    let mut before = match settings.pooler {
        Pooler::None => String::new(),
        Pooler::Transaction => {
            let limits = limits.within(settings.own_limits());
            format!("{}; ", settings.for_transaction(limits))
        }
    };
    if deferred == Deferred::AtOnce {
        before += "set constraints all immediate; ";
    }
    if before.is_empty() {
        ask_prepared(connection, statement).await
    } else {
        ask_in_text(connection, statement, before).await
    }
}

/// The same inside of a transaction that was begun with its settings.
pub(super) async fn ask_inside(
    connection: &mut PgConnection,
    statement: &Statement,
    pooler: Pooler,
) -> Answer<Vec<PgRow>> {
    match pooler {
        Pooler::None => ask_prepared(connection, statement).await,
        Pooler::Transaction => ask_in_text(connection, statement, String::new()).await,
    }
}

async fn ask_prepared(connection: &mut PgConnection, statement: &Statement) -> Answer<Vec<PgRow>> {
    let rows = bind(statement).fetch_all(connection).await;
    rows.map_err(Failure::Refused)
}

async fn ask_in_text(
    connection: &mut PgConnection,
    statement: &Statement,
    before: String,
) -> Answer<Vec<PgRow>> {
    let sql = statement.with_literals().ok_or(Failure::Unquotable)?;
    let message = sqlx::raw_sql(AssertSqlSafe(before + &sql));
    let rows = message.fetch_all(connection).await;
    rows.map_err(Failure::Refused)
}

/// Sends a statement without values and without rows.
pub(super) async fn tell(connection: &mut PgConnection, sql: String) -> Answer<()> {
    let told = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql))).await;
    told.map(drop).map_err(Failure::Refused)
}

/// Waits for an answer, for the `limit` at the most.
pub(super) async fn within<T>(
    limit: Option<Duration>,
    answer: impl Future<Output = Answer<T>>,
) -> Answer<T> {
    match limit {
        None => answer.await,
        Some(limit) => timeout(limit, answer)
            .await
            .unwrap_or(Err(Failure::Silence(limit))),
    }
}

/// How often the server has undone the same work in favour of another transaction.
#[derive(Default)]
pub struct Undone(u32);

impl Undone {
    /// Whether to send it again; waits until it is time to.
    pub async fn go_again<T>(&mut self, answer: &Result<T>) -> bool {
        let undone = answer.as_ref().is_err_and(Error::was_undone);
        if !undone || self.0 + 1 >= MAX_TRIES {
            return false;
        }
        self.0 += 1;
        sleep(TRY_AGAIN_AFTER * self.0).await;
        true
    }
}

/// Why a statement has no answer.
pub(super) enum Failure {
    Refused(sqlx::Error),
    /// No answer came within this time.
    Silence(Duration),
    /// A value has a character that no literal can hold.
    Unquotable,
    /// The pool was closed meanwhile.
    Closed,
}

impl Failure {
    /// Whether the server may still work at a statement whose answer nobody awaits.
    pub(super) fn leaves_statement(&self) -> bool {
        matches!(self, Self::Silence(_) | Self::Closed)
    }

    /// Whether the same fault may have ended other connections.
    pub(super) fn is_distrusted(&self) -> bool {
        self.ends_connection() && !matches!(self, Self::Closed)
    }

    /// The error that the user gets.
    pub(super) fn told(self, settings: &Settings) -> Error {
        match self {
            Self::Refused(error) => statement_failed(error, settings),
            Self::Silence(limit) => silence(limit),
            Self::Unquotable => refusal("22021", "", settings.whereabouts()),
            Self::Closed => closed(),
        }
    }

    /// Whether the connection cannot be used any more.
    pub(super) fn ends_connection(&self) -> bool {
        match self {
            Self::Silence(_) | Self::Closed => true,
            Self::Unquotable => false,
            Self::Refused(error) => match error {
                sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => true,
                // "Read-only": after a fail-over the server is a standby, and its name leads to the new primary.
                sqlx::Error::Database(error) => {
                    is_fatal(&**error) || error.code().as_deref() == Some("25006")
                }
                _ => false,
            },
        }
    }
}

fn bind(statement: &Statement) -> sqlx::query::Query<'_, Postgres, PgArguments> {
    let query = sqlx::query(AssertSqlSafe(statement.sql.clone()));
    statement
        .values
        .iter()
        .fold(query, |query, value| match value {
            Value::Text(text) => query.bind(text.as_deref()),
            Value::Bool(truth) => query.bind(truth),
            Value::BigInt(number) => query.bind(number),
            Value::BigInts(numbers) => query.bind(numbers),
            Value::OptionalBigInts(numbers) => query.bind(numbers),
            Value::Texts(texts) => query.bind(texts),
        })
}
