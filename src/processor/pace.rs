//! How fast jobs end, and so how many more to have at hand than run.

use std::time::Duration;

use tokio::time::Instant;

/// The pace is that of the last such stretch.
const WINDOW: Duration = Duration::from_millis(50);
/// Jobs are claimed ahead for this long. A round trip takes less; another worker that is idle waits
/// no longer for what is kept here.
const AHEAD: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub struct Pace {
    since: Instant,
    ended: usize,
    per_second: f64,
}

impl Pace {
    pub fn new(now: Instant) -> Self {
        Self {
            since: now,
            ended: 0,
            per_second: 0.0,
        }
    }

    pub fn ended(&mut self, count: usize) {
        self.ended += count;
    }

    /// How many jobs will end in the time to claim ahead for, if all goes on as it does.
    pub fn ahead(&mut self, now: Instant) -> usize {
        let elapsed = now - self.since;
        if elapsed >= WINDOW {
            self.per_second = self.ended as f64 / elapsed.as_secs_f64();
            self.since = now;
            self.ended = 0;
        }
        (self.per_second * AHEAD.as_secs_f64()) as usize
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
}
