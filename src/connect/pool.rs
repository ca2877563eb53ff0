//! The connections of one queue.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use deadpool::Runtime;
use deadpool::managed::{self, Manager, Metrics, PoolError, RecycleError, RecycleResult, WeakPool};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection as _, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::refusal::{connect_failed, not_connected, pool_failed, timed_out};
use super::send::{Undone, ask, within};
use super::settings::{Pooler, Settings};
use super::statement::Statement;
use crate::error::{Code, Error, Result};

/// A connection that was idle for longer is asked whether it lives before it is used: the process
/// may have been frozen, and the server or something in between may have closed it meanwhile. By the
/// wall's clock, because the other one may stop with a machine that is frozen.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long such a connection has to answer.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How often idle connections are looked at.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// Asks the user's `password` function.
pub type AskPassword =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String>> + Send>> + Send + Sync>;

pub(super) struct Connections {
    settings: Settings,
    ask_password: Option<AskPassword>,
    /// When one of them was last found broken.
    broken_at: Mutex<Option<Instant>>,
}

impl Connections {
    /// What ended one connection (a restart, a fail-over, a cut) has most likely ended the others
    /// too, those in use included: all that were made before are closed when they are next looked at.
    pub(super) fn distrust(&self) {
        *self
            .broken_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn distrusts(&self, metrics: &Metrics) -> bool {
        let broken_at = self
            .broken_at
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        broken_at.is_some_and(|at| metrics.created <= at)
    }

    async fn connect_options(&self) -> Result<PgConnectOptions> {
        let asked = match &self.ask_password {
            Some(ask) => {
                let refused = |error: Error| not_connected(&self.settings, &error.message);
                Some(ask().await.map_err(refused)?)
            }
            None => None,
        };
        let password = asked.as_deref().or(self.settings.password.as_deref());
        let failed = |error| connect_failed(error, &self.settings);
        self.settings.connect_options(password).map_err(failed)
    }
}

pub(super) struct Connection {
    pub(super) postgres: PgConnection,
    pub(super) used_at: SystemTime,
}

impl Manager for Connections {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection> {
        let options = self.connect_options().await?;
        let failed = |error| connect_failed(error, &self.settings);
        let mut postgres = PgConnection::connect_with(&options).await.map_err(failed)?;
        if self.settings.pooler == Pooler::None {
            postgres
                .execute(sqlx::raw_sql(AssertSqlSafe(self.settings.for_session())))
                .await
                .map_err(failed)?;
        }
        Ok(Connection {
            postgres,
            used_at: SystemTime::now(),
        })
    }

    async fn recycle(
        &self,
        connection: &mut Connection,
        metrics: &Metrics,
    ) -> RecycleResult<Error> {
        let too_old = |limit| metrics.age() >= limit;
        if self.settings.max_lifetime.is_some_and(too_old) {
            return Err(RecycleError::message("too old"));
        }
        if self.distrusts(metrics) {
            return Err(RecycleError::message("made before another broke"));
        }
        // A clock that was set back is an error here.
        let idle = connection.used_at.elapsed();
        if idle.is_ok_and(|idle| idle < TRUSTED_FOR) {
            return Ok(());
        }
        match timeout(PING_TIMEOUT, connection.postgres.ping()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(RecycleError::message("does not answer")),
        }
    }
}

/// Opens connections as they are needed, up to `max_connections`.
#[derive(Clone)]
pub struct Pool {
    pub(super) connections: managed::Pool<Connections>,
    /// One for each connection that may be open.
    places: Arc<Semaphore>,
    reaping: Arc<AtomicBool>,
}

impl Pool {
    /// Opens no connection.
    pub fn new(settings: Settings, ask_password: Option<AskPassword>) -> Result<Self> {
        let max = settings.max_connections;
        let connections = managed::Pool::builder(Connections {
            settings,
            ask_password,
            broken_at: Mutex::default(),
        })
        .max_size(max)
        .runtime(Runtime::Tokio1)
        // The connection used last is used next, so that those not needed become idle.
        .queue_mode(managed::QueueMode::Lifo)
        .build()
        .map_err(|error| {
            Error::new(Code::InvalidConfig, "the connection pool cannot be made").caused_by(error)
        })?;
        Ok(Self {
            connections,
            places: Arc::new(Semaphore::new(max)),
            reaping: Arc::default(),
        })
    }

    pub fn max_connections(&self) -> usize {
        self.settings().max_connections
    }

    /// Whether a connection can be spared to listen on.
    pub(super) fn can_listen(&self) -> bool {
        self.max_connections() > 1 && self.settings().pooler == Pooler::None
    }

    /// Takes the place of one connection, so that the number stays what it is with another that is
    /// made outside of the pool. Waits until one is free.
    pub(super) async fn take_place(&self) -> Option<OwnedSemaphorePermit> {
        let place = self.places.clone().acquire_owned().await.ok()?;
        // As many may be open as there were places.
        let mut spare = self.connections.status().size >= self.max_connections();
        self.connections
            .retain(|_, _| !std::mem::replace(&mut spare, false));
        Some(place)
    }

    /// What a connection outside of the pool is to be made with.
    pub(super) async fn connect_options(&self) -> Result<PgConnectOptions> {
        self.connections.manager().connect_options().await
    }

    /// How long a caller is ready to wait for a connection; `None` is for ever.
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.settings().connect_timeout
    }

    /// What a caller is told who has waited for so long.
    pub fn timed_out(&self) -> Error {
        timed_out(self.settings())
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.connections.manager().settings
    }

    /// Runs a statement on a connection of its own and returns its rows. One that the server has
    /// undone for the sake of another transaction is sent again.
    pub async fn fetch(&self, statement: Statement) -> Result<Vec<PgRow>> {
        self.fetch_within(self.settings().query_timeout, &statement)
            .await
    }

    /// The same, with a limit of the caller's to the wait for the answer.
    pub async fn fetch_within(
        &self,
        limit: Option<Duration>,
        statement: &Statement,
    ) -> Result<Vec<PgRow>> {
        let mut undone = Undone::default();
        loop {
            let answer = self.fetch_once(limit, statement).await;
            if !undone.go_again(&answer).await {
                return answer;
            }
        }
    }

    async fn fetch_once(
        &self,
        limit: Option<Duration>,
        statement: &Statement,
    ) -> Result<Vec<PgRow>> {
        // The place is free again when the connection is back, not before.
        let (_place, mut connection) = self.get().await?;
        let answer = ask(&mut connection.postgres, statement, self.settings());
        let rows = within(limit, answer).await;
        connection.used_at = SystemTime::now();
        let failure = match rows {
            Ok(rows) => return Ok(rows),
            Err(failure) => failure,
        };
        if failure.ends_connection() {
            // What is broken is closed in place of given back.
            drop(managed::Object::take(connection));
            self.connections.manager().distrust();
        }
        Err(failure.into())
    }

    pub(super) async fn get(&self) -> Result<(OwnedSemaphorePermit, managed::Object<Connections>)> {
        self.reap_idle();
        let settings = self.settings();
        let getting = async {
            let place = self.places.clone().acquire_owned().await;
            let place = place.map_err(|_| PoolError::Closed)?;
            Ok((place, self.connections.get().await?))
        };
        let got = match settings.connect_timeout {
            // One limit for the wait in the queue and the making of a connection together.
            Some(limit) => match timeout(limit, getting).await {
                Ok(got) => got,
                Err(_) => return Err(self.timed_out()),
            },
            None => getting.await,
        };
        got.map_err(|error| pool_failed(error, settings))
    }

    /// Refuses further use and closes the connections that are not in use; one that is, closes when
    /// its statement is done.
    pub async fn close(&self) {
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        for connection in idle {
            // The server notices a closed socket as well as a farewell.
            let _ = connection.postgres.close().await;
        }
    }

    /// Starts, once, the task that closes connections idle for too long. It ends with the pool.
    fn reap_idle(&self) {
        let Some(idle_timeout) = self.settings().idle_timeout else {
            return;
        };
        if !self.reaping.swap(true, Ordering::Relaxed) {
            tokio::spawn(reap(self.connections.weak(), idle_timeout));
        }
    }
}

async fn reap(pool: WeakPool<Connections>, idle_timeout: Duration) {
    loop {
        tokio::time::sleep(REAP_INTERVAL).await;
        let Some(pool) = pool.upgrade().filter(|pool| !pool.is_closed()) else {
            return;
        };
        let idle = pool
            .retain(|_, metrics| metrics.last_used() < idle_timeout)
            .removed;
        for connection in idle {
            let _ = connection.postgres.close().await;
        }
    }
}
