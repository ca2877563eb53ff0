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
/// After what time a job that may be tried again is tried before others that wait.
const STARVING: Duration = Duration::from_secs(10);
/// Between two tries that are not quick, claims have this many times as long for the others.
const SHARE: u32 = 3;
const QUICK: Duration = Duration::from_millis(100);
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
    /// Not before is one of them tried again that was slow.
    suspect_after: Option<Instant>,
    /// A claim was not answered: the next one finds out whether one of the rows is the reason.
    in_doubt: bool,
}

#[derive(Debug)]
struct Entry {
    refusals: u32,
    until: Instant,
    remembered_until: Instant,
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

    /// A claim was not answered. Its backend may hold the locks of its jobs for a moment more, so that the next claims do
    /// not meet the job that is slow.
    pub fn doubt(&self, now: Instant) {
        self.lock().in_doubt = true;
        self.be_careful(now);
    }

    /// A careful claim was answered.
    pub fn trust(&self) {
        self.lock().in_doubt = false;
    }

    /// A row was refused: for a while, more of them are expected.
    pub fn be_careful(&self, now: Instant) {
        self.lock().careful_until = Some(now + FIRST);
    }

    /// All that are remembered, also if they may be tried again.
    pub fn ids(&self, now: Instant) -> Vec<i64> {
        let mut state = self.lock();
        // A job that was not refused again for twice as long as its pause is forgotten. A worker that
        // polls seldom comes back to it later.
        state.jobs.retain(|_, entry| now < entry.remembered_until);
        state.jobs.keys().copied().collect()
    }

    /// Those to be left alone now.
    pub fn resting(&self, now: Instant) -> Vec<i64> {
        let mut ids = self.ids(now);
        let state = self.lock();
        ids.retain(|id| state.jobs.get(id).is_some_and(|entry| now < entry.until));
        ids
    }

    /// The one of them that is to be tried again now, while `others` wait or not: the one that has waited longest, and
    /// before others if it has waited for long. What was slow takes no more than a part of the time.
    pub fn suspect(&self, now: Instant, others: bool) -> Option<i64> {
        let state = self.lock();
        if state.suspect_after.is_some_and(|after| now < after) {
            return None;
        }
        let was_slow = (state.slow_until).is_some_and(|until| now + SLOW / 2 < until);
        let waited = if others { STARVING } else { Duration::ZERO };
        let may_be_tried = |entry: &&Entry| entry.until + waited <= now && !(others && was_slow);
        let suspects = state.jobs.iter().filter(|(_, entry)| may_be_tried(entry));
        suspects
            .min_by_key(|(_, entry)| entry.until)
            .map(|(id, _)| *id)
    }

    /// A job was tried again, and claimed.
    pub fn forget(&self, id: i64) {
        self.lock().jobs.remove(&id);
    }

    /// A job was tried again, and not found: it is locked, or another processor's.
    pub fn rest(&self, id: i64, now: Instant) {
        if let Some(entry) = self.lock().jobs.get_mut(&id) {
            entry.until = now + FIRST;
        }
    }

    /// One that was put aside was tried again, which took this long.
    pub fn tried_suspect(&self, took: Duration, now: Instant) {
        self.lock().suspect_after = (took > QUICK).then(|| now + took * SHARE);
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

    /// Whether one was slow lately.
    pub fn knows_slow(&self, now: Instant) -> bool {
        self.lock().slow_until.is_some_and(|until| now < until)
    }

    fn put_until(&self, id: i64, refusals: u32, until: Instant) {
        let mut state = self.lock();
        if state.jobs.len() >= MOST {
            state.jobs.clear();
        }
        let remembered_until = until + (pause(refusals) * 2).max(LEAST_REMEMBERED);
        let entry = Entry {
            refusals,
            until,
            remembered_until,
        };
        state.jobs.insert(id, entry);
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
        assert_eq!(aside.resting(now + FIRST / 2), [7]);
        assert_eq!(aside.suspect(now + FIRST / 2, false), None);
        let later = now + FIRST;
        assert!(aside.resting(later).is_empty());
        assert_eq!(aside.suspect(later, false), Some(7));
        assert_eq!(aside.put(7, later), 2);
        assert_eq!(aside.resting(later + FIRST * 3 / 2), [7]);
        assert!(aside.resting(later + FIRST * 2).is_empty());
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

    #[test]
    fn what_may_be_tried_again_leaves_time_to_the_others() {
        let now = Instant::now();
        let aside = Aside::default();
        aside.put(7, now);
        aside.put(8, now + FIRST);
        let later = now + FIRST * 2;
        assert_eq!(aside.suspect(later, true), None);
        assert_eq!(aside.suspect(later, false), Some(7));
        assert_eq!(aside.suspect(later + STARVING, true), Some(7));
        aside.tried_suspect(FIRST, later);
        assert_eq!(aside.suspect(later + FIRST * SHARE / 2, false), None);
        aside.forget(7);
        assert_eq!(aside.suspect(later + FIRST * SHARE, false), Some(8));
    }
}
