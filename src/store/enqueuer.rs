//! Jobs that are added at the same time travel in one insert, and are committed by one flush of the
//! log.
//!
//! While no insert is under way, a job is sent at once: gathering adds no waiting. What arrives during
//! an insert goes with the next one. Each caller is answered when its own job is committed, and with
//! its own fault: a job that Postgres refuses does not fail its neighbours.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::enqueue::{self, NewJob};
use super::notify::{Announcements, announcement};
use super::table::fetch_results;
use crate::connect::{Pool, Schema};
use crate::error::{Code, Error, Result};

/// The most jobs that travel together.
const MAX_JOBS: usize = 5_000;
/// The most payload that travels together, in bytes; a larger one travels alone.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// An insert that takes longer is held up by something: what waits for it goes on another connection.
const STALLED: Duration = Duration::from_millis(20);

struct Waiting {
    ticket: u64,
    job: NewJob,
    added: oneshot::Sender<Result<String>>,
}

#[derive(Default)]
struct State {
    next_ticket: u64,
    /// In the order of their tickets.
    waiting: Vec<Waiting>,
    /// The tasks that send. Each looks again before it ends.
    senders: usize,
    announcements: Announcements,
}

impl State {
    fn position(&self, ticket: u64) -> Option<usize> {
        let of_ticket = |waiting: &Waiting| waiting.ticket;
        self.waiting.binary_search_by_key(&ticket, of_ticket).ok()
    }
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
        let (added, mut answer) = oneshot::channel();
        let ticket = self.queue_up(job, added);
        let asked = Instant::now();
        loop {
            match timeout(STALLED, &mut answer).await {
                Ok(answer) => return answer.unwrap_or_else(|_| Err(interrupted())),
                Err(_) if !self.waits(ticket) => {
                    return answer.await.unwrap_or_else(|_| Err(interrupted()));
                }
                Err(_) => {}
            }
            let limit = self.pool.connect_timeout();
            if limit.is_some_and(|limit| asked.elapsed() >= limit) && self.withdraw(ticket) {
                return Err(self.pool.timed_out());
            }
            self.send_on_another();
        }
    }

    fn queue_up(self: &Arc<Self>, job: NewJob, added: oneshot::Sender<Result<String>>) -> u64 {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push(Waiting { ticket, job, added });
        if state.senders == 0 {
            self.start_sender(&mut state);
        }
        ticket
    }

    fn send_on_another(self: &Arc<Self>) {
        let mut state = self.lock();
        if state.senders < self.pool.max_connections() {
            self.start_sender(&mut state);
        }
    }

    fn start_sender(self: &Arc<Self>, state: &mut State) {
        state.senders += 1;
        let enqueuer = self.clone();
        tokio::spawn(async move {
            loop {
                // Here, and not beside the inserts: word of them is not worth another connection.
                enqueuer.announce().await;
                match enqueuer.next_batch() {
                    Some(batch) => enqueuer.insert(batch).await,
                    None => return,
                }
            }
        });
    }

    /// Whether the job has not been sent yet.
    fn waits(&self, ticket: u64) -> bool {
        self.lock().position(ticket).is_some()
    }

    /// Takes back what has not been sent; returns whether that was so.
    fn withdraw(&self, ticket: u64) -> bool {
        let mut state = self.lock();
        let position = state.position(ticket);
        position.map(|at| state.waiting.remove(at)).is_some()
    }

    /// The jobs that go next, or `None` when there are none and the sender ends.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.senders -= 1;
            return None;
        }
        let mut bytes = 0;
        let mut fits = |waiting: &Waiting| {
            bytes += waiting.job.payload.get().len();
            bytes <= MAX_BYTES
        };
        let candidates = state.waiting.iter().take(MAX_JOBS);
        let count = candidates.take_while(|&job| fits(job)).count().max(1);
        Some(state.waiting.drain(..count).collect())
    }

    async fn announce(&self) {
        let due = self.lock().announcements.take(Instant::now());
        if due {
            // What is not heard is found by the poll.
            let _ = self.pool.fetch(announcement(&self.schema)).await;
        }
    }

    /// Sees to it that somebody announces what was added, if no sender is left to.
    fn owe_announcement(self: &Arc<Self>) {
        let Some(at) = self.lock().announcements.owed(Instant::now()) else {
            return;
        };
        let enqueuer = self.clone();
        tokio::spawn(async move {
            sleep_until(at).await;
            let mut state = enqueuer.lock();
            if state.senders == 0 {
                enqueuer.start_sender(&mut state);
            }
        });
    }

    async fn insert(self: &Arc<Self>, batch: Vec<Waiting>) {
        let jobs: Vec<&NewJob> = batch.iter().map(|waiting| &waiting.job).collect();
        let any_due = jobs.iter().any(|job| job.is_due());
        let told = any_due && self.lock().announcements.goes_along(Instant::now());
        let statement = enqueue::jobs(&self.schema, &jobs, told);
        match fetch_results(&self.pool, statement).await {
            Ok(ids) if ids.len() != batch.len() => {
                // A trigger of the user's can keep rows out; whose, nobody can tell.
                let message = "Postgres added another number of jobs than it was given";
                for waiting in batch {
                    answer(waiting, Err(Error::new(Code::DatabaseError, message)));
                }
            }
            Ok(ids) => {
                if any_due && !told {
                    self.owe_announcement();
                }
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

fn interrupted() -> Error {
    Error::new(
        Code::Closed,
        "the job queue ended before it answered: the job may have been added",
    )
}
