//! A notification of another process is a hint: every role that may connect to the database can send one. So the
//! engine looks in the table before it acts on a hint, and the number of looks is limited.

use std::time::Duration;

use tokio::time::Instant;

/// How many hints in a row may each lead to a look, ...
const BURST: u32 = 20;
/// ... and the time between two further looks.
const INTERVAL: Duration = Duration::from_millis(50);

/// A bucket of tokens: a look costs one, and a look that finds a job gives it back, so that true hints are never
/// slowed down.
#[derive(Debug)]
pub struct Heard {
    /// When the bucket is full again.
    full_at: Instant,
    /// Looks that were made for hints, and whose result is not known yet.
    open: u32,
}

impl Heard {
    pub fn new(now: Instant) -> Self {
        Self {
            full_at: now,
            open: 0,
        }
    }

    /// When to look because of a hint that came now.
    pub fn look_at(&mut self, now: Instant) -> Instant {
        let free_from = self.full_at.checked_sub(INTERVAL * (BURST - 1));
        match free_from.filter(|at| *at > now) {
            // The look that is due then serves this hint too.
            Some(at) => at,
            None => {
                self.full_at = self.full_at.max(now) + INTERVAL;
                self.open += 1;
                now
            }
        }
    }

    /// The look that is due has been made for earlier hints.
    pub fn looked(&mut self, found: bool) {
        let open = std::mem::take(&mut self.open);
        if found && let Some(earlier) = self.full_at.checked_sub(INTERVAL * open) {
            self.full_at = earlier;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_that_lead_to_nothing_soon_lead_to_few_looks() {
        let start = Instant::now();
        let mut heard = Heard::new(start);
        let mut looks = 0;
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            if heard.look_at(now) <= now {
                looks += 1;
                heard.looked(false);
            }
        }
        assert!((200..=220).contains(&looks), "{looks} looks in ten seconds");
    }

    #[test]
    fn hints_that_lead_to_jobs_are_all_followed_at_once() {
        let start = Instant::now();
        let mut heard = Heard::new(start);
        for ms in 0..1_000 {
            let now = start + Duration::from_millis(ms);
            assert_eq!(heard.look_at(now), now);
            heard.looked(true);
        }
    }

    #[test]
    fn a_hint_that_comes_too_soon_is_followed_when_the_next_look_may_be() {
        let start = Instant::now();
        let mut heard = Heard::new(start);
        for _ in 0..BURST {
            assert_eq!(heard.look_at(start), start);
            heard.looked(false);
        }
        assert_eq!(heard.look_at(start), start + INTERVAL);
        assert_eq!(heard.look_at(start + INTERVAL), start + INTERVAL);
    }
}
