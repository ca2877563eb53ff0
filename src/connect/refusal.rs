//! From what Postgres, sqlx and the pool say to what the user is told.

use deadpool::managed::PoolError;

use super::settings::Settings;
use crate::error::{Code, Error};

/// The server refused a statement of this package.
///
/// The message of a class 22 error (data exception) may quote the data, so it is left out.
pub fn refusal(sql_state: &str, message: &str) -> Error {
    let (code, text) = match sql_state {
        // undefined table, column, schema, function
        "42P01" | "42703" | "3F000" | "42883" => (
            Code::NotMigrated,
            format!(
                "the job queue's tables are missing, or not those of this version ({message}): run \
                 `pg-bg-job-queue-cli migrate`, or update pg-bg-job-queue if a newer version has \
                 migrated this database"
            ),
        ),
        // administrator's shutdown, crash, not accepting connections; and the class "connection"
        "57P01" | "57P02" | "57P03" => (
            Code::ConnectionFailed,
            format!("the server ended the connection: {message}"),
        ),
        // program limit exceeded, statement too complex: of what is sent, only a payload can be that
        "54000" | "54001" => (
            Code::InvalidPayload,
            format!("a payload is too large or nested too deeply for Postgres: {message}"),
        ),
        // invalid authorization, an unknown database, too many connections
        _ if matches!(sql_state, "3D000" | "53300") || sql_state.starts_with("28") => (
            Code::ConnectionFailed,
            format!("the server refused the connection: {message}"),
        ),
        _ if sql_state.starts_with("08") => (
            Code::ConnectionFailed,
            format!("the connection failed: {message}"),
        ),
        _ if sql_state.starts_with("22") => (
            Code::DatabaseError,
            format!("Postgres cannot hold a value that it was given (SQLSTATE {sql_state})"),
        ),
        _ => (
            Code::DatabaseError,
            format!("Postgres refused a statement: {message}"),
        ),
    };
    Error {
        code,
        message: text,
        sql_state: Some(sql_state.to_owned()),
        cause: (!sql_state.starts_with("22")).then(|| message.to_owned()),
    }
}

/// A statement failed on an established connection.
pub(super) fn statement_failed(error: sqlx::Error) -> Error {
    match error {
        sqlx::Error::Database(error) => {
            refusal(error.code().as_deref().unwrap_or("XX000"), error.message())
        }
        sqlx::Error::Io(error) => Error::new(
            Code::ConnectionFailed,
            format!(
                "the connection to Postgres was lost before it answered, so what was asked may have \
                 been done: {error}"
            ),
        )
        .caused_by(error),
        sqlx::Error::Protocol(error) => Error::new(
            Code::ConnectionFailed,
            format!("the connection to Postgres broke: {error}"),
        )
        .caused_by(error),
        other => Error::new(
            Code::DatabaseError,
            "an answer of Postgres was not understood",
        )
        .caused_by(other),
    }
}

/// A connection could not be made.
pub(super) fn connect_failed(error: sqlx::Error, settings: &Settings) -> Error {
    let sql_state = match &error {
        sqlx::Error::Database(error) => error.code().map(|code| code.into_owned()),
        _ => None,
    };
    let cause = match &error {
        sqlx::Error::Database(error) => error.message().to_owned(),
        sqlx::Error::Io(error) => error.to_string(),
        sqlx::Error::Tls(error) => format!("TLS: {error}"),
        sqlx::Error::Configuration(error) => error.to_string(),
        other => other.to_string(),
    };
    Error {
        sql_state,
        ..not_connected(settings, &cause)
    }
}

pub(super) fn pool_failed(error: PoolError<Error>, settings: &Settings) -> Error {
    match error {
        PoolError::Backend(error) => error,
        PoolError::Closed => Error::new(Code::Closed, "the job queue is closed"),
        PoolError::Timeout(_) => timed_out(settings),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => Error::new(
            Code::ConnectionFailed,
            "the connection pool is set up wrongly: please report this as a bug",
        ),
    }
}

/// No connection was to be had in time: all are busy, or the server does not answer.
pub(super) fn timed_out(settings: &Settings) -> Error {
    let limit = settings.connect_timeout.unwrap_or_default().as_millis();
    let max = settings.max_connections;
    let cause = format!(
        "within {limit} ms (connectionTimeoutMillis) no connection was made or became free, of {max} \
         at the most (max)"
    );
    not_connected(settings, &cause)
}

pub(super) fn not_connected(settings: &Settings, cause: &str) -> Error {
    Error::new(
        Code::ConnectionFailed,
        format!(
            "cannot connect to Postgres at {}: {cause}",
            settings.target()
        ),
    )
    .caused_by(cause)
}
