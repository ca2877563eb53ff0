//! The connections of one queue.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use deadpool::Runtime;
use deadpool::managed::{self, Manager, Metrics, PoolError, RecycleError, RecycleResult, WeakPool};
use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use tokio::sync::watch;
use tokio::time::timeout;

use super::patience::Leases;
use super::places::{Place, Places, Turn};
use super::refusal::{connect_failed, not_connected, pool_failed, timed_out};
use super::session::{self, Session};
use super::settings::{Pooler, Settings};
use crate::error::{Code, Error, Result};

/// A connection that was idle for longer is tested before it is used: the process
/// may have been frozen, and the server or a proxy may have closed it meanwhile. Measured by the
/// wall clock, because the monotonic clock may stop while a machine is frozen.
const TRUSTED_FOR: Duration = Duration::from_secs(1);
/// How long the tested connection has to answer.
pub(super) const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How long statements that are under way may take when the pool is closed.
const LAST_ANSWERS: Duration = Duration::from_secs(1);
/// How often idle connections are looked at.
const REAP_INTERVAL: Duration = Duration::from_secs(1);

/// Asks the user's `password` function.
pub type AskPassword =
    Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<String>> + Send>> + Send + Sync>;

pub(super) struct Connections {
    settings: Settings,
    ask_password: Option<AskPassword>,
    leases: Leases,
    /// When one of them was last found broken.
    broken_at: Mutex<Option<Instant>>,
}

impl Connections {
    /// The fault that ended one connection (a restart, a fail-over, a cut) has most likely ended the others
    /// too, those in use included: all older connections are closed when they are next looked at.
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
    /// `None` behind a pooler that hands connections on.
    pub(super) session: Option<Session>,
}

impl Manager for Connections {
    type Type = Connection;
    type Error = Error;

    async fn create(&self) -> Result<Connection> {
        let options = self.connect_options().await?;
        let failed = |error| connect_failed(error, &self.settings);
        let mut postgres = PgConnection::connect_with(&options).await.map_err(failed)?;
        let session = match self.settings.pooler {
            Pooler::None => {
                let limits = self.leases.patience().limits();
                let message = self.settings.for_session(limits);
                let begun = Session::begin(&mut postgres, message, limits).await;
                Some(begun.map_err(failed)?)
            }
            Pooler::Transaction => None,
        };
        Ok(Connection {
            postgres,
            used_at: SystemTime::now(),
            session,
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
    places: Places,
    leases: Leases,
    /// Whether it is closed: statements that are under way then fail.
    closed: watch::Sender<bool>,
    reaping: Arc<AtomicBool>,
}

impl Pool {
    /// Opens no connection.
    pub fn new(settings: Settings, ask_password: Option<AskPassword>) -> Result<Self> {
        let max = settings.max_connections;
        let leases = Leases::default();
        let connections = managed::Pool::builder(Connections {
            settings,
            ask_password,
            leases: leases.clone(),
            broken_at: Mutex::default(),
        })
        .max_size(max)
        .runtime(Runtime::Tokio1)
        // The connection used last is used next, so that unneeded ones become idle.
        .queue_mode(managed::QueueMode::Lifo)
        .build()
        .map_err(|error| {
            Error::new(Code::InvalidConfig, "the connection pool cannot be made").caused_by(error)
        })?;
        Ok(Self {
            connections,
            places: Places::new(max, leases.clone()),
            leases,
            closed: watch::Sender::new(false),
            reaping: Arc::default(),
        })
    }

    pub fn max_connections(&self) -> usize {
        self.settings().max_connections
    }

    /// The leases of the workers that run on these connections.
    pub fn leases(&self) -> &Leases {
        &self.leases
    }

    /// Whether a connection can be spared to listen on.
    pub(super) fn can_listen(&self) -> bool {
        self.max_connections() > 1 && self.settings().pooler == Pooler::None
    }

    /// Takes the place of one connection, so that the number of connections stays the same with one that is
    /// made outside of the pool. Waits until a place is free.
    pub(super) async fn take_place(&self) -> Option<Place> {
        let place = self.places.take(Turn::Listener).await?;
        // All places may have an open connection.
        let mut spare = self.connections.status().size >= self.max_connections();
        self.connections
            .retain(|_, _| !std::mem::replace(&mut spare, false));
        Some(place)
    }

    /// Resolves when the place that was taken should be given back.
    pub(super) async fn place_is_wanted(&self) {
        self.places.wanted_of_listener().await;
    }

    /// The options for a connection outside of the pool.
    pub(super) async fn connect_options(&self) -> Result<PgConnectOptions> {
        self.connections.manager().connect_options().await
    }

    /// How long a caller waits for a connection; with `None` there is no limit.
    pub fn connect_timeout(&self) -> Option<Duration> {
        self.settings().connect_timeout
    }

    /// How long a caller waits for an answer; with `None` there is no limit.
    pub fn query_timeout(&self) -> Option<Duration> {
        self.settings().query_timeout
    }

    /// The error for a caller that has waited for that long.
    pub fn timed_out(&self) -> Error {
        timed_out(self.settings())
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.connections.manager().settings
    }

    pub(super) async fn get(&self, turn: Turn) -> Result<(Place, managed::Object<Connections>)> {
        self.reap_idle();
        let settings = self.settings();
        let getting = async {
            let place = self.places.take(turn).await.ok_or(PoolError::Closed)?;
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

    /// Resolves when the pool is closed.
    pub(super) async fn closed(&self) {
        let mut closed = self.closed.subscribe();
        // The sender lives as long as this.
        let _ = closed.wait_for(|closed| *closed).await;
    }

    /// Has the server end the statement of a connection that the client has left. The place is taken until that
    /// is done: the server counts the connection until then.
    pub(super) fn leave(&self, place: Place, connection: managed::Object<Connections>) {
        let session = managed::Object::take(connection).session;
        let (Some(session), Ok(_)) = (session, tokio::runtime::Handle::try_current()) else {
            return;
        };
        let pool = self.clone();
        tokio::spawn(async move {
            let _place = place;
            let ending = async {
                let options = pool.connect_options().await?;
                let mut postgres = PgConnection::connect_with(&options).await?;
                session::end(&mut postgres, &session.backend).await?;
                postgres.close().await?;
                Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
            };
            // If it fails, the server's own limit ends the statement.
            let _ = timeout(PING_TIMEOUT, ending).await;
        });
    }

    /// Refuses further use and closes the connections. Statements under way have a moment to end, and then fail.
    pub async fn close(&self) {
        self.places.free_within(LAST_ANSWERS).await;
        self.closed.send_replace(true);
        let idle = self.connections.retain(|_, _| false).removed;
        self.connections.close();
        for connection in idle {
            // If this takes too long, the server notices the closed socket all the same.
            let _ = timeout(PING_TIMEOUT, connection.postgres.close()).await;
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
