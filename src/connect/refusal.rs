//! The errors of Postgres, sqlx and the pool, made into the errors that the user gets.

use std::time::Duration;

use deadpool::managed::PoolError;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::settings::Settings;
use super::whereabouts::Whereabouts;
use crate::error::{Code, Error};

/// The server refused a statement of this package.
///
/// A message that may quote the data is left out.
pub fn refusal(sql_state: &str, message: &str, whereabouts: Whereabouts<'_>) -> Error {
    let quotes_data = may_quote_data(sql_state, message);
    let (code, text) = match sql_state {
        _ if message.contains(KEPT_OUT) => return kept_out(),
        // a system column, which the statements of processors read
        "42703" if message.contains("xmax") => (
            Code::DatabaseError,
            format!("job_queue is not a table ({message}): processors run jobs only from a table"),
        ),
        "23505" if message.contains("job_queue_keys") => (
            Code::DuplicateJob,
            String::from("another job of the same type holds the idempotency key"),
        ),
        // undefined table, column, schema, function
        "42P01" | "42703" | "3F000" | "42883" => (
            Code::NotMigrated,
            format!(
                "the job queue's tables are missing from {database}, or belong to another version ({message}): run \
                 {migrate} on it, or update pg-bg-job-queue if a newer version has migrated it",
                database = whereabouts.database(),
                migrate = whereabouts.migrate(),
            ),
        ),
        // administrator's shutdown, crash, not accepting connections, an idle session's end; and the class
        // "connection"
        "57P01" | "57P02" | "57P03" | "57P05" => (
            Code::ConnectionFailed,
            format!("the server ended the connection: {message}"),
        ),
        // program limit exceeded, statement too complex: among the values sent, only a payload can be that
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
        // duplicate and unknown prepared statements
        "42P05" | "26000" => (
            Code::ConnectionFailed,
            format!(
                "other clients use the same server connection ({message}): a pooler in transaction mode \
                 stands before Postgres. Open the queue with `initJobQueue({{ pooler: 'transaction' }})`"
            ),
        ),
        "55P03" => (
            Code::DatabaseError,
            format!(
                "another transaction holds a lock for longer than this statement waits: the statement has \
                 done nothing ({message})"
            ),
        ),
        "57014" => (
            Code::DatabaseError,
            format!("Postgres cancelled a statement: the statement has done nothing ({message})"),
        ),
        "42501" if message.contains("row-level security") => (
            Code::DatabaseError,
            format!(
                "a row-level security policy keeps this role from reading or writing a job: {message}. The role \
                 that runs jobs must be able to see and change all jobs in every status, as the owner of job_queue can"
            ),
        ),
        "42501" => (
            Code::DatabaseError,
            format!(
                "the database role lacks a privilege: {message}. {}",
                whereabouts.grants(message)
            ),
        ),
        "25006" => (
            Code::DatabaseError,
            format!(
                "the server is read-only ({message}): it is a standby or the old primary of a fail-over, or \
                 default_transaction_read_only is on for this role or database. Some hosts turn it on when the \
                 disk is full. If that happens to one job alone, a trigger writes to another server, which is read-only"
            ),
        ),
        // sequence generator limit exceeded: in the words of the server's language, but for the name
        "2200H" if message.contains("job_queue_id_seq") => (
            Code::DatabaseError,
            String::from(
                "the ids of the jobs are used up: the sequence job_queue_id_seq has reached its limit. \
                 docs/upgrading.md, \"Ids\", says how to widen them",
            ),
        ),
        // "untranslatable character": among the values sent, a payload is most likely to have one
        "22P05" => (
            Code::InvalidPayload,
            String::from(
                "a payload or another text has a character that the encoding of the database cannot store; a \
                 database with the encoding UTF8 stores every character",
            ),
        ),
        // "invalid column reference": since Postgres 18, an update can fail with it too
        "42P10" => (
            Code::DatabaseError,
            format!(
                "Postgres refused a statement: {message}. If the table is in a publication and has replica \
                 identity full, its generated column ready_at has to be published too: alter publication NAME \
                 set (publish_generated_columns = stored)"
            ),
        ),
        _ if sql_state.starts_with("22") => (
            Code::DatabaseError,
            format!("Postgres does not accept a value in a statement (SQLSTATE {sql_state})"),
        ),
        _ if quotes_data => (
            Code::DatabaseError,
            format!(
                "a trigger or a constraint of the database refused a statement (SQLSTATE {sql_state}). Its \
                 message may quote the job, so it is left out here: see the server's log"
            ),
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
        cause: (!quotes_data).then(|| message.to_owned()),
        unsent: false,
        fatal: false,
        unanswered: false,
    }
}

/// Whether the server has ended the connection with it.
pub(super) fn is_fatal(error: &dyn DatabaseError) -> bool {
    let error = error.try_downcast_ref::<PgDatabaseError>();
    error.is_some_and(|error| matches!(error.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// The SQLSTATE "no data", for what the server itself does not tell.
const PASSED_OVER: &str = "02000";

/// A row was free, and the server has not changed it, without an error: a trigger returned null, or a rule replaced
/// the statement.
pub fn passed_over() -> Error {
    let message =
        "a trigger or a rule of the database discarded the change without raising an error";
    let mut error = Error::new(Code::DatabaseError, message);
    error.sql_state = Some(PASSED_OVER.to_owned());
    error
}

/// An insert whose row was discarded fails with this text: it casts the text to another type, or raises it.
const KEPT_OUT: &str = "kept out of job_queue";

/// A trigger or a rule has discarded a job without an error, so none was added.
pub fn kept_out() -> Error {
    let message = "a trigger or a rule of the database discarded a job without raising an error: no job was added";
    let mut error = Error::new(Code::DatabaseError, message);
    error.sql_state = Some(PASSED_OVER.to_owned());
    error
}

/// Whether a message may hold the statement's data: Postgres quotes a value that it cannot read
/// (class 22), and triggers of the user's may write any text (class P0, and 23 if they wish). For
/// constraints, Postgres itself names the constraint alone.
fn may_quote_data(sql_state: &str, message: &str) -> bool {
    match sql_state.get(..2) {
        Some("22" | "P0") => true,
        Some("23") => !(message.contains(" violates ") && message.contains(" constraint")),
        _ => false,
    }
}

/// A statement failed on an established connection.
pub(super) fn statement_failed(error: sqlx::Error, settings: &Settings) -> Error {
    match error {
        sqlx::Error::Database(error) => {
            let state = error.code();
            let refused = refusal(
                state.as_deref().unwrap_or("XX000"),
                error.message(),
                settings.whereabouts(),
            );
            Error {
                fatal: is_fatal(&*error),
                ..refused
            }
        }
        sqlx::Error::Io(error) => Error::new(
            Code::ConnectionFailed,
            format!(
                "the connection to Postgres was lost before it answered: the statement may have run \
                 ({error})"
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
            "the answer of Postgres cannot be read: see the cause of this error",
        )
        .caused_by(other),
    }
}

/// No answer came in time: the server is overloaded, or is gone without a word.
pub(super) fn silence(limit: Duration) -> Error {
    let error = Error::new(
        Code::ConnectionFailed,
        format!(
            "Postgres has not answered within {} ms: the statement may still have run",
            limit.as_millis()
        ),
    );
    Error {
        unanswered: true,
        ..error
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
    // The original message quotes the character.
    let cause = if cause.contains("saslprep") {
        String::from(
            "the user name or the password has a character that cannot be sent: both are prepared with \
             SASLprep (RFC 4013), which allows no control characters and no emoji",
        )
    } else {
        cause
    };
    let cause = match certificate_advice(&cause).or_else(|| startup_advice(&cause)) {
        Some(advice) => format!("{cause} ({advice})"),
        None => cause,
    };
    Error {
        sql_state,
        fatal: true,
        ..not_connected(settings, &cause)
    }
}

/// What to do about a certificate that rustls refuses with no more than the name of the problem.
fn certificate_advice(cause: &str) -> Option<&'static str> {
    if cause.contains("UnknownIssuer") {
        Some(
            "the server's certificate was signed by an unknown authority: give the authority's certificate \
             as ssl.ca, or as sslrootcert in the connection string",
        )
    } else if cause.contains("CaUsedAsEndEntity") {
        Some(
            "the server's certificate is marked as an authority's, which a server may not use: give the \
             server a certificate that the authority has signed, or one with basicConstraints CA:FALSE",
        )
    } else {
        None
    }
}

/// What to do when PgBouncer refuses a parameter that it would have to keep for each client.
fn startup_advice(cause: &str) -> Option<&'static str> {
    cause
        .contains("unsupported startup parameter")
        .then_some(
            "a pooler stands before Postgres and refuses options, lock_timeout and \
             idle_in_transaction_session_timeout: leave them out. If the pooler's mode is \"transaction\", use \
             `initJobQueue({ pooler: 'transaction' })`",
        )
}

/// The queue was closed while a statement was under way.
pub(super) fn closed() -> Error {
    Error::new(
        Code::Closed,
        "the job queue was closed before Postgres answered: the statement may have run",
    )
}

pub(super) fn pool_failed(error: PoolError<Error>, settings: &Settings) -> Error {
    match error {
        PoolError::Backend(error) => error,
        PoolError::Closed => Error::new(Code::Closed, "the job queue is closed"),
        PoolError::Timeout(_) => timed_out(settings),
        PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => Error::new(
            Code::ConnectionFailed,
            "the connection pool is set up wrongly: this is a bug of pg-bg-job-queue, please report it",
        ),
    }
}

/// No connection was available in time: all are busy, or the server does not answer.
pub(super) fn timed_out(settings: &Settings) -> Error {
    let limit = settings.connect_timeout.unwrap_or_default().as_millis();
    let max = settings.max_connections;
    let cause = format!(
        "within {limit} ms (connectionTimeoutMillis) no connection was opened, and none of the queue's \
         became free (max: {max})"
    );
    not_connected(settings, &cause)
}

pub(super) fn not_connected(settings: &Settings, cause: &str) -> Error {
    let error = Error::new(
        Code::ConnectionFailed,
        format!(
            "cannot connect to Postgres at {}: {cause}",
            settings.target()
        ),
    );
    Error {
        unsent: true,
        ..error.caused_by(cause)
    }
}
