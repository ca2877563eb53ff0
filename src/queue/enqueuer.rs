//! Jobs that are added at the same time travel in one insert, and are committed by one flush of the
//! log.
//!
//! While no insert is under way, a job is sent at once: gathering adds no waiting. Jobs that arrive during
//! an insert go with the next one. Each job is answered when it is committed, and with its own error:
//! a job that Postgres refuses does not fail its neighbours.
//!
//! Jobs arrive in groups: the jobs that were added in one turn of JavaScript's event loop
//! (`ts/queue/enqueuer.ts`). A group stays together.
//!
//! A job with a key may have to wait for the end of a transaction that has added the same key. So each comes alone, and
//! travels with others that have keys, as long as none of them has to wait for long.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until, timeout};

use super::announcements::Announcements;
use crate::begun::begun;
use crate::connect::{Pool, Schema};
use crate::error::{Code, Error, Result};
use crate::job::{Added, NewJob};
use crate::parts::apart;
use crate::store::announcement;
use crate::store::enqueue::{self, BLOCKED};

/// The most jobs that travel together, as in `ts/queue/enqueuer.ts`.
const MAX_JOBS: usize = 5_000;
/// The most payload that travels together, in bytes; a larger payload travels alone.
const MAX_BYTES: usize = 8 * 1024 * 1024;
/// An insert that takes longer is held up: the jobs that wait for it go on another connection.
const STALLED: Duration = Duration::from_millis(20);

/// The result of each job of a group, in their order.
type Answers = Vec<Result<Added>>;

struct Group {
    ticket: u64,
    jobs: Vec<NewJob>,
    added: oneshot::Sender<Answers>,
}

impl Group {
    fn is_keyed(&self) -> bool {
        self.jobs.iter().any(NewJob::is_keyed)
    }

    fn bytes(&self) -> usize {
        self.jobs.iter().map(|job| job.payload.get().len()).sum()
    }
}

/// How jobs wait for transactions that have added their keys.
#[derive(Debug, Clone, Copy)]
enum Waits {
    /// They have no keys.
    Never,
    Briefly,
    Patiently,
}

#[derive(Default)]
struct State {
    next_ticket: u64,
    /// In the order of their tickets.
    waiting: Vec<Group>,
    /// The tasks that send. Each looks again before it ends.
    senders: usize,
    announcements: Announcements,
}

impl State {
    fn position(&self, ticket: u64) -> Option<usize> {
        let of_group = |group: &Group| group.ticket;
        self.waiting.binary_search_by_key(&ticket, of_group).ok()
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

    /// Adds jobs, each for itself, and returns what has become of them once they are committed.
    pub async fn add(self: &Arc<Self>, jobs: Vec<NewJob>) -> Answers {
        let count = jobs.len();
        let all_failed = |error: Error| vec![Err(error); count];
        let (added, mut answers) = oneshot::channel();
        let ticket = self.queue_up(jobs, added);
        let asked = Instant::now();
        loop {
            match timeout(STALLED, &mut answers).await {
                Ok(answers) => return answers.unwrap_or_else(|_| all_failed(interrupted())),
                Err(_) if !self.waits(ticket) => {
                    let answers = answers.await;
                    return answers.unwrap_or_else(|_| all_failed(interrupted()));
                }
                Err(_) => {}
            }
            let limit = self.pool.connect_timeout();
            if limit.is_some_and(|limit| asked.elapsed() >= limit) && self.withdraw(ticket) {
                return all_failed(self.pool.timed_out());
            }
            self.start_sender(self.pool.max_connections());
        }
    }

    fn queue_up(self: &Arc<Self>, jobs: Vec<NewJob>, added: oneshot::Sender<Answers>) -> u64 {
        let mut state = self.lock();
        let ticket = state.next_ticket;
        state.next_ticket += 1;
        state.waiting.push(Group {
            ticket,
            jobs,
            added,
        });
        drop(state);
        self.start_sender(1);
        ticket
    }

    /// Starts a sender, unless `most` run already.
    fn start_sender(self: &Arc<Self>, most: usize) {
        let mut state = self.lock();
        if state.senders >= most {
            return;
        }
        state.senders += 1;
        drop(state);
        let enqueuer = self.clone();
        tokio::spawn(begun(async move {
            loop {
                // After the inserts, not beside them: an announcement is not worth another connection.
                enqueuer.announce().await;
                match enqueuer.next_groups() {
                    Some(groups) => enqueuer.send(groups).await,
                    None => return,
                }
            }
        }));
    }

    /// Whether the group has not been sent yet.
    fn waits(&self, ticket: u64) -> bool {
        self.lock().position(ticket).is_some()
    }

    /// Takes a group back if it has not been sent; returns whether that was so.
    fn withdraw(&self, ticket: u64) -> bool {
        let mut state = self.lock();
        let position = state.position(ticket);
        position.map(|at| state.waiting.remove(at)).is_some()
    }

    /// The groups to send next, or `None` when there are none and the sender ends.
    fn next_groups(&self) -> Option<Vec<Group>> {
        let mut state = self.lock();
        if state.waiting.is_empty() {
            state.senders -= 1;
            return None;
        }
        let (mut jobs, mut bytes) = (0, 0);
        let mut fits = |group: &Group| {
            jobs += group.jobs.len();
            bytes += group.bytes();
            jobs <= MAX_JOBS && bytes <= MAX_BYTES
        };
        let keyed = state.waiting.first().is_some_and(Group::is_keyed);
        let (mut sent, mut left) = (Vec::new(), Vec::new());
        let mut is_full = false;
        for group in std::mem::take(&mut state.waiting) {
            if is_full || group.is_keyed() != keyed {
                left.push(group);
                continue;
            }
            if fits(&group) || sent.is_empty() {
                sent.push(group);
            } else {
                is_full = true;
                left.push(group);
            }
        }
        state.waiting = left;
        Some(sent)
    }

    async fn announce(&self) {
        let due = self.lock().announcements.take(Instant::now());
        if due {
            // If the announcement fails, a poll finds the jobs.
            let _ = self.pool.fetch(announcement(&self.schema)).await;
        }
    }

    /// Makes sure that added jobs are announced, if no sender is left to do it.
    fn owe_announcement(self: &Arc<Self>) {
        let Some(at) = self.lock().announcements.owed(Instant::now()) else {
            return;
        };
        let enqueuer = self.clone();
        tokio::spawn(async move {
            sleep_until(at).await;
            enqueuer.start_sender(1);
        });
    }

    /// Returns as soon as the next groups may be sent.
    async fn send(self: &Arc<Self>, groups: Vec<Group>) {
        if groups.iter().any(Group::is_keyed) {
            self.clone().send_keyed(groups).await;
            return;
        }
        let jobs: Vec<&NewJob> = groups.iter().flat_map(|group| &group.jobs).collect();
        let answers = self.insert(&jobs, false).await;
        answer(groups, answers);
    }

    /// Sends jobs with keys. If one has to wait, the others are sent apart from it, and not after it. Jobs with the same
    /// key stay together: they all have to wait.
    fn send_keyed(self: Arc<Self>, groups: Vec<Group>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let jobs: Vec<&NewJob> = groups.iter().flat_map(|group| &group.jobs).collect();
            match self.try_to_insert(&jobs, Waits::Briefly).await {
                Ok(added) => answer(groups, added.into_iter().map(Ok).collect()),
                Err(error) if error.was_held_up() => self.send_by_key(groups, &error),
                Err(error) => self.send_apart(groups, error).await,
            }
        })
    }

    fn send_by_key(self: &Arc<Self>, groups: Vec<Group>, error: &Error) {
        let mut by_key: BTreeMap<_, Vec<Group>> = BTreeMap::new();
        for group in groups {
            let key = group.jobs.first().map(|job| {
                let (job_type, key) = job.key();
                (job_type.to_owned(), key.map(str::to_owned))
            });
            by_key.entry(key).or_default().push(group);
        }
        let parts: Vec<_> = by_key.into_values().collect();
        if let [_] = parts[..] {
            let (enqueuer, groups) = (self.clone(), parts.into_iter().flatten().collect());
            tokio::spawn(async move { enqueuer.wait_for_key(groups).await });
            return;
        }
        for part in apart(parts, error) {
            let groups = part.into_iter().flatten().collect();
            tokio::spawn(self.clone().send_keyed(groups));
        }
    }

    async fn wait_for_key(self: &Arc<Self>, groups: Vec<Group>) {
        let jobs: Vec<&NewJob> = groups.iter().flat_map(|group| &group.jobs).collect();
        match self.try_to_insert(&jobs, Waits::Patiently).await {
            Ok(added) => answer(groups, added.into_iter().map(Ok).collect()),
            Err(error) => self.send_apart(groups, error).await,
        }
    }

    /// After jobs with keys were refused: in parts, none of which waits for another.
    async fn send_apart(self: &Arc<Self>, groups: Vec<Group>, error: Error) {
        if groups.len() > 1 && error.was_refused() && self.is_fault_of_a_job(&error).await {
            for part in apart(groups, &error) {
                tokio::spawn(self.clone().send_keyed(part));
            }
        } else {
            let count = groups.iter().map(|group| group.jobs.len()).sum();
            answer(groups, vec![Err(error); count]);
        }
    }

    /// Whether an insert that was refused was so for a job: of the user's triggers, each can raise anything. What the
    /// server itself is kept from, it is kept from without any job too.
    async fn is_fault_of_a_job(&self, error: &Error) -> bool {
        error.blames_row() || self.inserts_nothing().await.is_ok()
    }

    async fn inserts_nothing(&self) -> Result<()> {
        let none: [&NewJob; 0] = [];
        let statement = enqueue::jobs(&self.schema, &none, false, None);
        self.pool.fetch(statement).await.map(drop)
    }

    /// `known` is whether one of the jobs is known to be at fault.
    async fn insert(self: &Arc<Self>, jobs: &[&NewJob], known: bool) -> Answers {
        match self.try_to_insert(jobs, Waits::Never).await {
            Ok(added) => added.into_iter().map(Ok).collect(),
            Err(error) => self.insert_apart(jobs, error, known).await,
        }
    }

    async fn try_to_insert(self: &Arc<Self>, jobs: &[&NewJob], waits: Waits) -> Result<Vec<Added>> {
        let any_due = jobs.iter().any(|job| job.is_due());
        let told = any_due && self.lock().announcements.goes_along(Instant::now());
        let (pool, schema) = (&self.pool, &self.schema);
        let rows = match waits {
            Waits::Never => pool.fetch(enqueue::jobs(schema, jobs, told, None)).await,
            Waits::Briefly => {
                let statement = enqueue::jobs(schema, jobs, told, Some(BLOCKED));
                pool.fetch(statement).await
            }
            Waits::Patiently => {
                enqueue::patiently(pool, schema, jobs, told, true, pool.query_timeout()).await
            }
        };
        let added = enqueue::added(&rows?)?;
        if any_due && !told {
            self.owe_announcement();
        }
        Ok(added)
    }

    /// After these jobs were refused. The statement had no effect: the server said so. Each half then finds out whether
    /// the one that it was is in it.
    async fn insert_apart(
        self: &Arc<Self>,
        jobs: &[&NewJob],
        error: Error,
        known: bool,
    ) -> Answers {
        if jobs.len() > 1 && error.was_refused() && (known || self.is_fault_of_a_job(&error).await)
        {
            let (first, second) = jobs.split_at(jobs.len() / 2);
            let mut answers = Box::pin(self.insert(first, true)).await;
            answers.append(&mut Box::pin(self.insert(second, true)).await);
            answers
        } else {
            vec![Err(error); jobs.len()]
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn answer(groups: Vec<Group>, answers: Answers) {
    let mut answers = answers.into_iter();
    for Group { jobs, added, .. } in groups {
        // The caller may be gone with its environment.
        let _ = added.send(answers.by_ref().take(jobs.len()).collect());
    }
}

fn interrupted() -> Error {
    Error::new(
        Code::Closed,
        "the job queue ended before it answered: the job may have been added",
    )
}
