//! How slow the server is. A statement that takes long has a slow row in it, or the server is slow with every
//! statement: a statement without any row tells which. Then all limits of time are doubled, until the server is quick
//! again.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Five seconds become forty with it.
const MOST_DOUBLINGS: u32 = 3;

#[derive(Debug, Default)]
pub struct Slowness {
    doublings: AtomicU32,
}

impl Slowness {
    /// A limit for a server that is as slow as this one.
    pub fn scaled(&self, limit: Duration) -> Duration {
        limit * (1 << self.doublings.load(Ordering::Relaxed))
    }

    /// A statement without any row has exceeded its limit.
    pub fn grows(&self) {
        let more = |doublings: u32| Some((doublings + 1).min(MOST_DOUBLINGS));
        // The update never fails.
        let _ = (self.doublings).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    /// A statement whose limit was `limit` has been answered after `took`.
    pub fn answered(&self, took: Duration, limit: Duration) {
        if self.doublings.load(Ordering::Relaxed) > 0 && took < limit / 8 {
            self.doublings.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn limits_grow_with_the_server_s_slowness_and_shrink_once_it_is_quick() {
        let slowness = Slowness::default();
        assert_eq!(slowness.scaled(SECOND), SECOND);
        for _ in 0..9 {
            slowness.grows();
        }
        assert_eq!(slowness.scaled(SECOND), 8 * SECOND);
        slowness.answered(SECOND, 8 * SECOND);
        assert_eq!(slowness.scaled(SECOND), 8 * SECOND);
        slowness.answered(SECOND / 2, 8 * SECOND);
        assert_eq!(slowness.scaled(SECOND), SECOND);
    }
}
