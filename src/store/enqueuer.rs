//! Jobs that are added at the same time travel in one insert, and are committed by one flush of the
//! log.
//!
//! While no insert is under way, a job is sent at once: gathering adds no waiting. What arrives during
//! an insert goes with the next one. Each caller is answered when its own job is committed, and with
//! its own fault: a job that Postgres refuses does not fail its neighbours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use super::enqueue::{self, NewJob};
use super::table::fetch_results;
use crate::connect::{Pool, Schema};
use crate::error::{Code, Error, Result};

/// The most jobs that travel together.
const MAX_JOBS: usize = 5_000;
/// The most payload that travels together, in bytes; a larger one travels alone.
const MAX_BYTES: usize = 8 * 1024 * 1024;

struct Waiting {
    job: NewJob,
    added: oneshot::Sender<Result<String>>,
}

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    /// Whether a task is sending, and will look again before it ends.
    sending: bool,
}

pub struct Enqueuer {
    pool: Pool,
    schema: Arc<Schema>,
    state: Mutex<State>,
}

impl Enqueuer {
    pub fn new(pool: Pool, schema: Arc<Schema>) -> Self {
        Self {
            pool,
            schema,
            state: Mutex::default(),
        }
    }

    /// Adds a job and returns its id once it is committed.
    pub async fn add(self: &Arc<Self>, job: NewJob) -> Result<String> {
        let (added, answer) = oneshot::channel();
        let idle = {
            let mut state = self.lock();
            state.waiting.push(Waiting { job, added });
            !std::mem::replace(&mut state.sending, true)
        };
        if idle {
            tokio::spawn(self.clone().send());
        }
        answer.await.unwrap_or_else(|_| {
            Err(Error::new(
                Code::Closed,
                "the job queue ended before it answered: the job may have been added",
            ))
        })
    }

    async fn send(self: Arc<Self>) {
        while let Some(batch) = self.next_batch() {
            self.insert(batch).await;
        }
    }

    /// The jobs that go next, or `None` when there are none and the sender may end.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        let mut bytes = 0;
        let mut fits = |waiting: &Waiting| {
            bytes += waiting.job.payload.len();
            bytes <= MAX_BYTES
        };
        let fitting = state
            .waiting
            .iter()
            .take(MAX_JOBS)
            .take_while(|&job| fits(job));
        let count = fitting.count().max(1).min(state.waiting.len());
        state.sending = count > 0;
        state
            .sending
            .then(|| state.waiting.drain(..count).collect())
    }

    async fn insert(&self, batch: Vec<Waiting>) {
        let jobs: Vec<&NewJob> = batch.iter().map(|waiting| &waiting.job).collect();
        let inserted = fetch_results(&self.pool, enqueue::jobs(&self.schema, &jobs)).await;
        match inserted.and_then(|ids| enqueue::in_order(ids, batch.len())) {
            Ok(ids) => {
                for (waiting, id) in batch.into_iter().zip(ids) {
                    answer(waiting, Ok(id));
                }
            }
            // The statement had no effect: the server said so. Each job alone then finds out whether
            // it was the one.
            Err(error) if batch.len() > 1 && error.blames_row() => {
                for waiting in batch {
                    Box::pin(self.insert(vec![waiting])).await;
                }
            }
            Err(error) => {
                for waiting in batch {
                    answer(waiting, Err(error.clone()));
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(waiting: Waiting, result: Result<String>) {
    // Whoever asked may be gone with its environment.
    let _ = waiting.added.send(result);
}
