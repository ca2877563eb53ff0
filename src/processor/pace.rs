//! How fast jobs end, and so how many jobs to claim ahead of the running ones.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// The pace is that of the last stretch of this length.
const WINDOW: Duration = Duration::from_millis(50);
/// Jobs are claimed ahead for this long. A round trip takes less; another worker that is idle waits
/// no longer for the jobs that are kept here.
const AHEAD: Duration = Duration::from_millis(100);
/// The first stretch is taken to be no shorter, even if jobs end at once.
const SHORTEST: Duration = Duration::from_millis(1);

/// The pace at which the last engine of a queue has ended, for the next to begin with: a batch is over before its
/// own is known.
#[derive(Debug, Default)]
pub struct LastPace(Mutex<Option<f64>>);

impl LastPace {
    fn lock(&self) -> MutexGuard<'_, Option<f64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
pub struct Pace {
    since: Instant,
    ended: usize,
    /// `None` until the first job has ended, unless an earlier engine has left its pace.
    per_second: Option<f64>,
    is_first: bool,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            ended: 0,
            per_second: None,
            is_first: true,
        }
    }

    pub fn after(last: &LastPace, now: Instant) -> Self {
        Self {
            per_second: *last.lock(),
            ..Self::new(now)
        }
    }

    /// Leaves the pace for the next engine, if jobs have ended.
    pub fn leave(&self, last: &LastPace, now: Instant) {
        let known = self.per_second.filter(|_| !self.is_first);
        let measured = (self.ended > 0).then(|| self.measured(now));
        if let Some(pace) = known.or(measured) {
            *last.lock() = Some(pace);
        }
    }

    pub fn ended(&mut self, count: usize) {
        self.ended += count;
    }

    /// How many jobs will end in the time to claim ahead for, at the present pace.
    pub fn ahead(&mut self, now: Instant) -> usize {
        if now - self.since >= WINDOW {
            self.per_second = Some(self.measured(now));
            self.is_first = false;
            self.since = now;
            self.ended = 0;
        }
        let first = || {
            if self.ended > 0 {
                self.measured(now)
            } else {
                0.0
            }
        };
        (self.per_second.unwrap_or_else(first) * AHEAD.as_secs_f64()) as usize
    }

    fn measured(&self, now: Instant) -> f64 {
        self.ended as f64 / (now - self.since).max(SHORTEST).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_long_is_not_claimed_ahead() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.ended(3);
        assert_eq!(pace.ahead(start + Duration::from_secs(1)), 0);
    }

    #[test]
    fn what_ends_fast_is_claimed_ahead_for_a_tenth_of_a_second() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        pace.ended(500);
        assert_eq!(pace.ahead(start + WINDOW), 1_000);
        assert_eq!(
            pace.ahead(start + WINDOW * 2),
            0,
            "a standstill shows at once"
        );
    }

    #[test]
    fn the_first_that_end_say_how_fast_it_goes() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        assert_eq!(pace.ahead(start), 0);
        pace.ended(3);
        assert_eq!(pace.ahead(start + Duration::from_millis(10)), 30);
    }

    #[test]
    fn an_engine_begins_with_the_pace_of_the_last_one() {
        let start = Instant::now();
        let last = LastPace::default();
        let mut pace = Pace::after(&last, start);
        pace.ended(10);
        let end = start + Duration::from_millis(5);
        pace.leave(&last, end);
        let mut next = Pace::after(&last, end);
        assert_eq!(next.ahead(end), 200);
        assert_eq!(next.ahead(end + WINDOW), 0, "what hangs shows at once");
    }
}
