//! Notifications: a connection that listens to a channel, for as long as somebody wants
//! to know.
//!
//! Notifications only save time. Without them the same news is found later: a processor looks again
//! when the connection is made anew, and polls all the while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Executor;
use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::pool::Pool;
use super::session::STAY_IDLE;
use crate::backoff::Backoff;

/// A connection that is silent for this long is tested: the peer may have gone without a
/// word.
const SILENCE: Duration = Duration::from_secs(30);
/// How long the connection has to answer, and how long a new one may take to be made.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug)]
pub enum Heard {
    /// From now on no message is missed; earlier messages may have been.
    Listening,
    /// A notification's payload.
    Message(String),
}

type Hear = Arc<dyn Fn(Heard) + Send + Sync>;

/// Listens on its own connection, one of the pool's number, while there is an [`Attendance`].
pub struct Listener {
    pool: Pool,
    channel: &'static str,
    hear: Hear,
    attendances: Mutex<Attendances>,
}

#[derive(Default)]
struct Attendances {
    count: usize,
    /// Dropped to end the task that listens.
    task: Option<oneshot::Sender<()>>,
}

/// Somebody who wants to know. Listening ends when the last one is dropped.
pub struct Attendance(Arc<Listener>);

impl Listener {
    pub fn new(
        pool: Pool,
        channel: &'static str,
        hear: impl Fn(Heard) + Send + Sync + 'static,
    ) -> Self {
        Self {
            pool,
            channel,
            hear: Arc::new(hear),
            attendances: Mutex::default(),
        }
    }

    /// Begins to listen, where that is possible: not through a pooler that hands a connection on after
    /// each transaction, and not where the only connection is needed for everything else.
    pub fn attend(self: &Arc<Self>) -> Attendance {
        let mut attendances = self.lock();
        attendances.count += 1;
        if attendances.count == 1 && self.pool.can_listen() {
            let (task, ended) = oneshot::channel();
            attendances.task = Some(task);
            tokio::spawn(listen_until(
                ended,
                self.pool.clone(),
                self.channel,
                self.hear.clone(),
            ));
        }
        Attendance(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, Attendances> {
        self.attendances
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Attendance {
    fn drop(&mut self) {
        let mut attendances = self.0.lock();
        attendances.count -= 1;
        if attendances.count == 0 {
            attendances.task = None;
        }
    }
}

async fn listen_until(ended: oneshot::Receiver<()>, pool: Pool, channel: &'static str, hear: Hear) {
    let listening = async {
        // A place that was given away to an extension is taken again when it is free.
        while let Some(_place) = pool.take_place().await {
            tokio::select! {
                () = listen_for_ever(&pool, channel, &hear) => {}
                () = pool.place_is_wanted() => {}
            }
        }
    };
    tokio::select! {
        _ = ended => {}
        () = listening => {}
    }
}

async fn listen_for_ever(pool: &Pool, channel: &str, hear: &Hear) {
    let mut backoff = Backoff::default();
    loop {
        // The engine meets the same failure, and reports it.
        if let Ok(Ok(mut listener)) = timeout(PATIENCE, connect(pool, channel)).await {
            backoff.succeed();
            hear(Heard::Listening);
            while let Some(message) = next(&mut listener).await {
                hear(Heard::Message(message));
            }
        }
        sleep(backoff.fail()).await;
    }
}

async fn connect(pool: &Pool, channel: &str) -> Result<PgListener, sqlx::Error> {
    let options = pool
        .connect_options()
        .await
        .map_err(|error| sqlx::Error::Configuration(Box::new(error)))?;
    // sqlx's listener takes its connection from a pool of sqlx's.
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(PATIENCE)
        .connect_lazy_with(options);
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.eager_reconnect(false);
    listener.execute(STAY_IDLE).await?;
    listener.listen(channel).await?;
    Ok(listener)
}

/// The next message, or `None` when the connection is lost.
async fn next(listener: &mut PgListener) -> Option<String> {
    loop {
        match timeout(SILENCE, listener.try_recv()).await {
            Ok(Ok(message)) => return message.map(|message| message.payload().to_owned()),
            Ok(Err(_)) => return None,
            // The server answers an empty statement, and does nothing.
            Err(_) => match timeout(PATIENCE, listener.execute("")).await {
                Ok(Ok(_)) => {}
                _ => return None,
            },
        }
    }
}
