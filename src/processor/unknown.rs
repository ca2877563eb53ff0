//! Job types for which a processor has no handler: a newer deployment may have added them. Their jobs are left to the
//! workers that have one. A processor that has met such a job claims only jobs of the types that it handles, for a while
//! that doubles: else each of its claims would meet the same jobs.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// For how long only handled types are claimed, at first ...
const FIRST: Duration = Duration::from_secs(60);
/// ... and at the most.
const LONGEST: Duration = Duration::from_secs(60 * 60);
/// The most types that are remembered as told: an app may have a type for each of its jobs.
const MOST_TOLD: usize = 1_000;

/// By the types that a processor handles. Shared by the processors of a queue, since a route has a new one for each
/// request.
#[derive(Debug, Default)]
pub struct UnknownTypes(Mutex<HashMap<Vec<String>, Met>>);

#[derive(Debug)]
struct Met {
    /// The types of which `onError` was told.
    told: HashSet<String>,
    wait: Duration,
    /// Until then only handled types are claimed.
    until: Instant,
}

impl UnknownTypes {
    /// Whether a processor with these handlers is to claim jobs of the handled types only.
    pub fn claims_handled_only(&self, handled: &[String], now: Instant) -> bool {
        self.lock().get(handled).is_some_and(|met| now < met.until)
    }

    /// A processor with these handlers has met jobs of this type. Returns whether that is to be told.
    pub fn met(&self, handled: &[String], job_type: &str, now: Instant) -> bool {
        let mut all = self.lock();
        let met = all.entry(handled.to_vec()).or_insert_with(|| Met {
            told: HashSet::new(),
            wait: Duration::ZERO,
            until: now,
        });
        if now >= met.until {
            // They were still there when all types were claimed again.
            let still = now < met.until + met.wait;
            met.wait = if still {
                (met.wait * 2).min(LONGEST)
            } else {
                FIRST
            };
            met.until = now + met.wait;
        }
        met.told.len() < MOST_TOLD && met.told.insert(job_type.to_owned())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<String>, Met>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn handled() -> [String; 1] {
        ["job".into()]
    }

    #[test]
    fn a_type_is_told_once_and_the_wait_doubles_up_to_an_hour() {
        let unknown = UnknownTypes::default();
        let handled = handled();
        let mut now = Instant::now();
        assert!(!unknown.claims_handled_only(&handled, now));
        assert!(unknown.met(&handled, "new", now));
        for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert!(!unknown.met(&handled, "new", now));
            assert!(unknown.claims_handled_only(&handled, now + MINUTE * minutes - MINUTE / 2));
            now += MINUTE * minutes;
            assert!(!unknown.claims_handled_only(&handled, now));
        }
        assert!(unknown.met(&handled, "newer", now), "another type");
    }

    #[test]
    fn the_wait_begins_anew_when_none_was_met_for_a_while() {
        let unknown = UnknownTypes::default();
        let handled = handled();
        let now = Instant::now();
        unknown.met(&handled, "new", now);
        let later = now + MINUTE * 2;
        unknown.met(&handled, "new", later);
        assert!(!unknown.claims_handled_only(&handled, later + MINUTE));
    }

    #[test]
    fn processors_with_other_handlers_find_out_for_themselves() {
        let unknown = UnknownTypes::default();
        let now = Instant::now();
        unknown.met(&handled(), "new", now);
        let others = ["job".into(), "other".into()];
        assert!(!unknown.claims_handled_only(&others, now));
        assert!(unknown.met(&others, "new", now));
    }
}
