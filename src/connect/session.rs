//! One connection that is a session of its own: its backend at the server, and the limits that are in force
//! on it.

use std::time::Duration;

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Executor, Row};

use super::patience::Limits;
use super::send::{Answer, tell};

/// How the server names its side of the connection. A process id alone may belong to another process a moment later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Backend {
    process: i32,
    /// As text, which is the same when it is read again.
    started: String,
}

#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) backend: Backend,
    /// The limits that the user's configuration and role have set.
    pub(super) own: Limits,
    in_force: Limits,
}

/// The earlier value of `$name`, in milliseconds; 0 is no limit.
macro_rules! before {
    ($name:literal) => {
        concat!(
            "(pg_catalog.date_part('epoch', pg_catalog.current_setting('",
            $name,
            "')::interval) * 1000::double precision)::bigint"
        )
    };
}

/// Lets the server keep the session while it is idle, for as long as this side wants it to (`idleTimeoutMillis`).
/// Before version 14 Postgres has no limit for idle sessions.
macro_rules! stay_idle {
    () => {
        "case when pg_catalog.current_setting('idle_session_timeout', true) <> '0' then
            pg_catalog.set_config('idle_session_timeout', '0', false) end"
    };
}

/// For a session that only listens.
pub(super) const STAY_IDLE: &str = concat!("select ", stay_idle!());

/// Reads the limits that hold, puts shorter ones in force, and asks which backend serves the connection: in the message
/// that sets a new connection up, so that this costs no round trip of its own.
pub(super) fn introduction(limits: Limits) -> String {
    let bounded = |before: &str, name: &str, limit: Option<Duration>| {
        let Some(limit) = limit else {
            return String::from("null");
        };
        let ms = limit.as_millis().max(1);
        format!(
            "pg_catalog.set_config('{name}', (case when {before} between 1 and {ms} then {before} else {ms} end)::text, false)"
        )
    };
    let (statement, lock) = (before!("statement_timeout"), before!("lock_timeout"));
    format!(
        "select pg_catalog.pg_backend_pid() as process,
            (
                select activity.backend_start::text
                from pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) activity
            ) as started,
            {statement} as statement_timeout, {lock} as lock_timeout,
            {}, {}, {}",
        bounded(statement, "statement_timeout", limits.statement),
        bounded(lock, "lock_timeout", limits.lock),
        stay_idle!(),
    )
}

impl Session {
    /// Sets up a new connection by a message that ends with the [`introduction`].
    pub(super) async fn begin(
        postgres: &mut PgConnection,
        message: String,
        limits: Limits,
    ) -> Result<Self, sqlx::Error> {
        let rows = postgres
            .fetch_all(sqlx::raw_sql(AssertSqlSafe(message)))
            .await?;
        let row = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let own = Limits {
            statement: limit(row, "statement_timeout")?,
            lock: limit(row, "lock_timeout")?,
        };
        Ok(Self {
            backend: Backend {
                process: row.try_get("process")?,
                started: row.try_get::<Option<_>, _>("started")?.unwrap_or_default(),
            },
            own,
            in_force: limits.within(own),
        })
    }

    /// Puts limits in force, if they are not.
    pub(super) async fn limit(
        &mut self,
        postgres: &mut PgConnection,
        limits: Limits,
    ) -> Answer<()> {
        let wanted = limits.within(self.own);
        if wanted != self.in_force {
            tell(postgres, wanted.assignments("set")).await?;
            self.in_force = wanted;
        }
        Ok(())
    }
}

fn limit(row: &PgRow, name: &str) -> Result<Option<Duration>, sqlx::Error> {
    let ms: i64 = row.try_get(name)?;
    Ok(u64::try_from(ms)
        .ok()
        .filter(|ms| *ms > 0)
        .map(Duration::from_millis))
}

/// Ends the backend of a connection that the client has left, even in a statement: it might go on to
/// claim jobs for nobody.
pub(super) async fn end(postgres: &mut PgConnection, backend: &Backend) -> Result<(), sqlx::Error> {
    sqlx::query(
        "select pg_catalog.pg_terminate_backend(activity.pid)
        from pg_catalog.pg_stat_get_activity($1::integer) activity
        where activity.backend_start::text = $2::text",
    )
    .bind(backend.process)
    .bind(&backend.started)
    .execute(postgres)
    .await
    .map(drop)
}
