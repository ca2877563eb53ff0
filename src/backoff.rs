//! How long to wait after the store has failed.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(15);

/// Doubles from 100 ms to 15 s, with jitter, so that many workers do not return all at once.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    pub fn failing(&self) -> bool {
        self.failures > 0
    }

    pub fn succeed(&mut self) {
        self.failures = 0;
    }

    /// Counts a failure and says how long to wait: half to all of the doubled time ("equal jitter",
    /// after Marc Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
    pub fn fail(&mut self) -> Duration {
        let doubled = FIRST
            .saturating_mul(1 << self.failures.min(16))
            .min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        doubled.mul_f64(0.5 + 0.5 * fraction())
    }
}

/// A number in `0..1` that differs between processes and calls. `RandomState` is seeded by the
/// operating system, which spares a dependency for this little use.
fn fraction() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0u8) >> 11;
    bits as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_longer_with_each_failure_up_to_a_bound() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..40).map(|_| backoff.fail()).collect();
        assert!(waits[0] >= FIRST / 2 && waits[0] <= FIRST);
        assert!(waits[3] >= FIRST * 4);
        assert!(
            waits
                .iter()
                .skip(10)
                .all(|wait| *wait >= LONGEST / 2 && *wait <= LONGEST)
        );
    }

    #[test]
    fn starts_again_after_a_success() {
        let mut backoff = Backoff::default();
        backoff.fail();
        backoff.fail();
        assert!(backoff.failing());
        backoff.succeed();
        assert!(!backoff.failing());
        assert!(backoff.fail() <= FIRST);
    }
}
