//! Jobs that Postgres refuses to let be changed, and whose rows could not even store that: this
//! process leaves them alone for a while, which doubles with each refusal.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long a job is left alone after its first refusal, ...
const FIRST: Duration = Duration::from_secs(1);
/// ... and at the most.
const LONGEST: Duration = Duration::from_secs(300);
/// How long it is remembered after that, at the least.
const LEAST_REMEMBERED: Duration = Duration::from_secs(60);
/// How long after a slow job more slow jobs are expected.
const SLOW: Duration = Duration::from_secs(10);
/// A slow job is left alone for as long as another job that was refused this many times more.
const SLOW_LATER: u32 = 2;
/// The most jobs that are remembered.
const MOST: usize = 10_000;

#[derive(Debug, Default)]
pub struct Aside(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<i64, Entry>,
    /// Until then, statements find out which rows they can change.
    careful_until: Option<Instant>,
    /// Until then, more slow jobs are expected.
    slow_until: Option<Instant>,
    /// A claim was not answered: the next one finds out whether one of the rows is the reason.
    in_doubt: bool,
}

#[derive(Debug)]
struct Entry {
    refusals: u32,
    until: Instant,
}

/// How long a job is left alone that was refused this often in a row.
pub fn pause(refusals: u32) -> Duration {
    FIRST
        .saturating_mul(1 << refusals.saturating_sub(1).min(16))
        .min(LONGEST)
}

impl Aside {
    /// Whether rows were refused lately.
    pub fn is_careful(&self, now: Instant) -> bool {
        let state = self.lock();
        state.in_doubt
            || state.careful_until.is_some_and(|until| now < until)
            || !state.jobs.is_empty()
    }

    /// A claim was not answered.
    pub fn doubt(&self) {
        self.lock().in_doubt = true;
    }

    /// A careful claim was answered.
    pub fn trust(&self) {
        self.lock().in_doubt = false;
    }

    /// A row was refused: for a while, more of them are expected.
    pub fn be_careful(&self, now: Instant) {
        self.lock().careful_until = Some(now + FIRST);
    }

    /// The jobs to be left alone now.
    pub fn ids(&self, now: Instant) -> Vec<i64> {
        let mut state = self.lock();
        // A job that was not refused again for twice as long as its pause is forgotten. A worker that
        // polls seldom comes back to it later.
        state.jobs.retain(|_, entry| {
            let remembered = (pause(entry.refusals) * 2).max(LEAST_REMEMBERED);
            now < entry.until + remembered
        });
        let left = state.jobs.iter().filter(|(_, entry)| now < entry.until);
        left.map(|(id, _)| *id).collect()
    }

    /// How often a job that was put aside lately was refused in a row, also if it may be tried again.
    pub fn refusals(&self, id: i64) -> u32 {
        self.lock().jobs.get(&id).map_or(0, |entry| entry.refusals)
    }

    /// Puts a job aside; returns how often it was refused in a row.
    pub fn put(&self, id: i64, now: Instant) -> u32 {
        let refusals = self.refusals(id) + 1;
        self.put_until(id, refusals, now + pause(refusals));
        refusals
    }

    /// The same, for a job that was slow, this often in a row, as its row says: it would hold up the next claim that
    /// it is a part of.
    pub fn put_slow(&self, id: i64, refusals: u32, now: Instant) {
        self.put_until(id, refusals, now + pause(refusals + SLOW_LATER));
        self.lock().slow_until = Some(now + SLOW);
    }

    /// Whether a job that was put aside may be tried before waiting ones: not if jobs were slow just now.
    pub fn may_try_suspect(&self, now: Instant) -> bool {
        let slow_until = self.lock().slow_until;
        slow_until.is_none_or(|until| until < now + SLOW / 2)
    }

    /// Whether a job was slow lately.
    pub fn knows_slow(&self, now: Instant) -> bool {
        self.lock().slow_until.is_some_and(|until| now < until)
    }

    fn put_until(&self, id: i64, refusals: u32, until: Instant) {
        let mut state = self.lock();
        if state.jobs.len() >= MOST {
            state.jobs.clear();
        }
        state.jobs.insert(id, Entry { refusals, until });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_left_alone_for_a_while_that_doubles() {
        let now = Instant::now();
        let aside = Aside::default();
        assert!(!aside.is_careful(now));
        assert_eq!(aside.put(7, now), 1);
        assert!(aside.is_careful(now));
        assert_eq!(aside.ids(now + FIRST / 2), [7]);
        let later = now + FIRST;
        assert!(aside.ids(later).is_empty());
        assert_eq!(aside.put(7, later), 2);
        assert_eq!(aside.ids(later + FIRST * 3 / 2), [7]);
        assert!(aside.ids(later + FIRST * 2).is_empty());
        assert_eq!(pause(40), LONGEST);
    }

    #[test]
    fn what_is_no_longer_refused_is_forgotten() {
        let now = Instant::now();
        let aside = Aside::default();
        aside.put(7, now);
        let later = now + FIRST + LEAST_REMEMBERED;
        assert!(aside.ids(later).is_empty());
        assert!(!aside.is_careful(later));
        assert_eq!(aside.put(7, later), 1);
    }
}
