//! How long a statement may take.
//!
//! The server gives up before the client does: if the client left first, its backend would wait on, and
//! claim jobs for nobody. A statement waits for a lock only briefly, so that one locked row or table holds
//! neither a worker's other jobs nor a queue's only connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The lease that the limits are made for while no worker runs: the default of `leaseDuration`.
const USUAL_LEASE: Duration = Duration::from_secs(30);
/// How long a worker waits for an answer, however short its lease is.
const LEAST_ANSWER: Duration = Duration::from_secs(5);
/// How long a statement works at rows of which one seems to be slow, ...
const SHORT_PROBE: Duration = Duration::from_millis(500);
/// ... and at a row alone that was slow before: longer each time, up to the last of these.
const PROBE: Duration = Duration::from_secs(1);
const LONGEST_PROBE: Duration = Duration::from_secs(4);
/// The longest and the shortest wait for an answer that other work waits for, with any lease. A busy machine stands
/// still for less than the shortest.
const LONGEST_BRIEF: Duration = Duration::from_secs(5);
const SHORTEST_BRIEF: Duration = Duration::from_millis(300);
const SHORTEST_PROBE: Duration = Duration::from_millis(100);
/// The shortest wait for an exchange, which is reported if it is not answered.
const SHORTEST_EXCHANGE: Duration = Duration::from_secs(2);
/// How long a statement waits for a lock, however long the lease is.
const LONGEST_LOCK: Duration = Duration::from_secs(1);

/// How long a worker with a lease can wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    lease: Duration,
}

impl Patience {
    pub fn with_lease(lease: Duration) -> Self {
        Self { lease }
    }

    /// How long the client waits. An answer that takes longer than half a lease comes too late for its jobs.
    pub fn answer(self) -> Duration {
        (self.lease / 2).max(LEAST_ANSWER)
    }

    /// How long the server works at a statement: less than the client waits.
    fn statement(self) -> Duration {
        self.answer() * 4 / 5
    }

    /// How long a statement waits for each lock. Several turns of this fit into half a lease.
    fn lock(self) -> Duration {
        (self.lease / 8).min(LONGEST_LOCK)
    }

    /// How long the server works at a statement that finds out which row is slow: another row takes far less.
    pub fn probe(self) -> Duration {
        SHORT_PROBE
    }

    /// The same, for a note in a row that was slow just now: it may be slow again.
    pub fn note(self) -> Duration {
        SHORTEST_PROBE
    }

    /// The same, for a row that was refused this often before: a row that is always slow succeeds in the end. A worker
    /// with little `time` finds out in a moment of it, so that the other rows have the rest.
    pub fn probe_again(self, refusals: u32, time: Option<Duration>) -> Duration {
        self.settles_again(refusals, time).min(LONGEST_PROBE)
    }

    /// The same, of a run's outcome: up to a third of the lease, since it is written in the end or the job runs again.
    pub fn settles_again(self, refusals: u32, time: Option<Duration>) -> Duration {
        match refusals {
            0 => time.map_or(self.probe(), |time| {
                (time / 60).clamp(SHORTEST_PROBE, self.probe())
            }),
            _ => doubled(refusals).min(self.last().max(PROBE)),
        }
    }

    /// The same, where several of them have to fit into a part of a lease.
    pub fn short_probe(self) -> Duration {
        (self.lease / 16).clamp(SHORTEST_PROBE, PROBE)
    }

    /// How long the client waits for an exchange. `time` is the worker's time in all, if that is limited.
    pub fn exchange(self, time: Option<Duration>) -> Duration {
        let longest = time.map_or(LONGEST_BRIEF, |time| {
            (time / 5).clamp(SHORTEST_BRIEF, LONGEST_BRIEF)
        });
        (self.lease / 6).max(SHORTEST_EXCHANGE).min(longest)
    }

    /// How long the client waits if other work waits for the answer, or has to be done after it.
    pub fn brief(self) -> Duration {
        (self.lease / 6).clamp(SHORTEST_BRIEF, LONGEST_BRIEF)
    }

    /// How long the server works at a last try.
    pub fn last(self) -> Duration {
        self.lease / 3
    }

    pub fn limits(self) -> Limits {
        Limits {
            statement: Some(self.statement()),
            lock: Some(self.lock()),
        }
    }
}

/// For a row that was refused this often, at least once.
fn doubled(refusals: u32) -> Duration {
    PROBE.saturating_mul(1 << (refusals - 1).min(16))
}

/// Postgres's `statement_timeout` and `lock_timeout`; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    pub statement: Option<Duration>,
    pub lock: Option<Duration>,
}

impl Limits {
    /// For a statement alone.
    pub fn of_statement(limit: Duration) -> Self {
        Self {
            statement: Some(limit),
            lock: None,
        }
    }

    /// The shorter of each two: the user's setting holds where it is shorter.
    pub fn within(self, other: Self) -> Self {
        Self {
            statement: shorter(self.statement, other.statement),
            lock: shorter(self.lock, other.lock),
        }
    }

    /// SQL that puts them in force, by `set` or `set local`.
    pub fn assignments(self, set: &str) -> String {
        let ms = |limit: Option<Duration>| limit.map_or(0, |limit| limit.as_millis().max(1));
        format!(
            "{set} statement_timeout = {}; {set} lock_timeout = {}",
            ms(self.statement),
            ms(self.lock)
        )
    }
}

fn shorter(a: Option<Duration>, b: Option<Duration>) -> Option<Duration> {
    [a, b].into_iter().flatten().min()
}

/// The leases of the workers that run on a queue's connections.
#[derive(Debug, Clone, Default)]
pub struct Leases(Arc<Mutex<BTreeMap<Duration, usize>>>);

impl Leases {
    /// Takes note of a worker, for as long as the answer is kept.
    pub fn hold(&self, lease: Duration) -> HeldLease {
        *self.lock().entry(lease).or_default() += 1;
        HeldLease {
            leases: self.clone(),
            lease,
        }
    }

    /// Whether any worker runs.
    pub fn any(&self) -> bool {
        !self.lock().is_empty()
    }

    /// The patience of the worker that can wait the least.
    pub fn patience(&self) -> Patience {
        let shortest = self.lock().first_key_value().map(|(lease, _)| *lease);
        Patience::with_lease(shortest.unwrap_or(USUAL_LEASE))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Duration, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A worker runs on a queue's connections until this is dropped.
pub struct HeldLease {
    leases: Leases,
    lease: Duration,
}

impl Drop for HeldLease {
    fn drop(&mut self) {
        let mut leases = self.leases.lock();
        if let Some(count) = leases.get_mut(&self.lease) {
            *count -= 1;
            if *count == 0 {
                leases.remove(&self.lease);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_server_gives_up_before_the_client_and_a_lock_long_before_a_lease_ends() {
        for lease in [SECOND, 10 * SECOND, 30 * SECOND, 3600 * SECOND] {
            let patience = Patience::with_lease(lease);
            assert!(patience.statement() + SECOND <= patience.answer());
            assert!(patience.lock() * 4 <= lease / 2);
        }
    }

    #[test]
    fn an_extension_has_time_for_all_its_tries() {
        for lease in [4 * SECOND, 30 * SECOND, 3600 * SECOND] {
            let patience = Patience::with_lease(lease);
            let tries = patience.brief() + patience.short_probe() + patience.last();
            assert!(tries <= lease * 3 / 5);
        }
    }

    #[test]
    fn the_shortest_lease_counts_for_as_long_as_its_worker_runs() {
        let leases = Leases::default();
        assert!(!leases.any());
        let of = |lease| Patience::with_lease(lease);
        assert_eq!(leases.patience(), of(USUAL_LEASE));
        let long = leases.hold(60 * SECOND);
        assert_eq!(leases.patience(), of(60 * SECOND));
        let short = leases.hold(SECOND);
        assert_eq!(leases.patience(), of(SECOND));
        drop(short);
        assert_eq!(leases.patience(), of(60 * SECOND));
        drop(long);
        assert!(!leases.any());
    }

    #[test]
    fn what_the_user_has_set_holds_where_it_is_shorter() {
        let ours = Patience::with_lease(30 * SECOND).limits();
        let users = Limits {
            statement: Some(SECOND),
            lock: None,
        };
        let both = ours.within(users);
        assert_eq!(both.statement, Some(SECOND));
        assert_eq!(both.lock, ours.lock);
        assert_eq!(
            both.assignments("set local"),
            "set local statement_timeout = 1000; set local lock_timeout = 1000"
        );
    }
}
