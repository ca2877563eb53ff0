//! The order in which connections are given out. There is a place for each connection that may be open.
//!
//! Leases come first: while a worker runs, the calls of users leave one place to it. If the worker still has to
//! wait, the listener gives its place away, soonest for an extension.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::patience::Leases;

/// How long a worker waits for a place before the listener is asked to give up its own: for an extension, ...
const EXTENSION_WAITS: Duration = Duration::from_millis(50);
/// ... and for other work.
const WORKER_WAITS: Duration = Duration::from_millis(500);

/// The purpose of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// A call of the user's.
    Caller,
    /// A worker's claims and outcomes.
    Worker,
    /// Keeping the leases of running jobs.
    Lease,
    /// Hearing of notifications.
    Listener,
}

#[derive(Clone)]
pub(super) struct Places {
    max: usize,
    all: Arc<Semaphore>,
    /// The places that calls of users may have while a worker runs.
    callers: Arc<Semaphore>,
    leases: Leases,
    wanted_of_listener: Arc<Notify>,
}

/// A place, free again when this is dropped.
pub struct Place {
    _all: OwnedSemaphorePermit,
    _caller: Option<OwnedSemaphorePermit>,
}

impl Places {
    pub(super) fn new(max: usize, leases: Leases) -> Self {
        Self {
            max,
            all: Arc::new(Semaphore::new(max)),
            callers: Arc::new(Semaphore::new(max.saturating_sub(1).max(1))),
            leases,
            wanted_of_listener: Arc::default(),
        }
    }

    /// Waits for a place. `None` if the pool is closed.
    pub(super) async fn take(&self, turn: Turn) -> Option<Place> {
        let caller = if turn == Turn::Caller && self.leases.any() {
            Some(self.callers.clone().acquire_owned().await.ok()?)
        } else {
            None
        };
        let mut taking = Box::pin(self.all.clone().acquire_owned());
        let patience = match turn {
            Turn::Caller | Turn::Listener => None,
            Turn::Worker => Some(WORKER_WAITS),
            Turn::Lease => Some(EXTENSION_WAITS),
        };
        let all = match patience {
            None => taking.await,
            Some(patience) => match timeout(patience, &mut taking).await {
                Ok(taken) => taken,
                Err(_) => {
                    self.wanted_of_listener.notify_waiters();
                    taking.await
                }
            },
        };
        Some(Place {
            _all: all.ok()?,
            _caller: caller,
        })
    }

    /// Resolves when the listener should give its place to an extension.
    pub(super) async fn wanted_of_listener(&self) {
        self.wanted_of_listener.notified().await;
    }

    /// Waits until all places are free, for the `limit` at the most.
    pub(super) async fn free_within(&self, limit: Duration) {
        let all = u32::try_from(self.max).unwrap_or(u32::MAX);
        // Whether they became free or not, the connections are closed next.
        let _ = timeout(limit, self.all.acquire_many(all)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(1);

    async fn is_free(places: &Places, turn: Turn) -> bool {
        timeout(SOON, places.take(turn)).await.is_ok()
    }

    #[tokio::test(start_paused = true)]
    async fn callers_leave_a_place_to_a_worker_that_runs() {
        let leases = Leases::default();
        let places = Places::new(2, leases.clone());
        let first = places.take(Turn::Caller).await;
        assert!(is_free(&places, Turn::Caller).await);
        drop(first);
        let _worker = leases.hold(SOON);
        let _first = places.take(Turn::Caller).await;
        assert!(!is_free(&places, Turn::Caller).await);
        assert!(is_free(&places, Turn::Worker).await);
    }

    #[tokio::test(start_paused = true)]
    async fn the_listener_gives_its_place_to_a_worker_and_not_to_callers() {
        let places = Places::new(2, Leases::default());
        let listening = places.clone();
        let listener = tokio::spawn(async move {
            let _place = listening.take(Turn::Listener).await;
            listening.wanted_of_listener().await;
        });
        tokio::task::yield_now().await;
        let _slow = places.take(Turn::Caller).await;
        assert!(!is_free(&places, Turn::Caller).await);
        assert!(is_free(&places, Turn::Lease).await);
        listener.await.unwrap();
    }
}
