//! How long jobs of a type usually take, as far as this process has seen.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Estimated as TCP estimates how long to wait for an answer (RFC 6298, section 2): a smoothed mean,
/// and four times the smoothed deviation from it.
#[derive(Debug, Clone, Copy)]
struct Estimate {
    mean: f64,
    deviation: f64,
}

impl Estimate {
    fn first(seconds: f64) -> Self {
        Self {
            mean: seconds,
            deviation: seconds / 2.0,
        }
    }

    fn take_in(&mut self, seconds: f64) {
        self.deviation += ((self.mean - seconds).abs() - self.deviation) / 4.0;
        self.mean += (seconds - self.mean) / 8.0;
    }

    fn usual(&self) -> Duration {
        Duration::from_secs_f64((self.mean + 4.0 * self.deviation).max(0.0))
    }
}

/// By job type. Shared by the processors of a queue, so that a warm process knows from the start.
#[derive(Debug, Default)]
pub struct UsualDurations(Mutex<HashMap<String, Estimate>>);

impl UsualDurations {
    pub fn took(&self, job_type: &str, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let mut estimates = self.lock();
        match estimates.get_mut(job_type) {
            Some(estimate) => estimate.take_in(seconds),
            None => {
                estimates.insert(job_type.to_owned(), Estimate::first(seconds));
            }
        }
    }

    /// A job of the type was broken off after this time: it takes longer than that.
    pub fn took_longer(&self, job_type: &str, duration: Duration) {
        self.took(job_type, duration * 2);
    }

    /// Whether a job of the type usually ends in this time. A type that was never seen is taken to
    /// end in time.
    pub fn fits(&self, job_type: &str, time: Duration) -> bool {
        let estimates = self.lock();
        let estimate = estimates.get(job_type);
        estimate.is_none_or(|estimate| estimate.usual() <= time)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Estimate>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_was_never_seen_fits() {
        assert!(UsualDurations::default().fits("job", Duration::from_millis(1)));
    }

    #[test]
    fn what_takes_the_same_each_time_fits_in_little_more() {
        let usual = UsualDurations::default();
        for _ in 0..20 {
            usual.took("job", SECOND);
        }
        assert!(usual.fits("job", SECOND * 11 / 10));
        assert!(!usual.fits("job", SECOND * 9 / 10));
        assert!(usual.fits("other", SECOND / 1000));
    }

    #[test]
    fn what_varies_needs_more_than_it_takes_on_average() {
        let usual = UsualDurations::default();
        for n in 0..40 {
            usual.took("job", SECOND * (n % 2 * 2));
        }
        assert!(!usual.fits("job", SECOND * 2));
    }

    #[test]
    fn a_change_for_the_better_is_noticed() {
        let usual = UsualDurations::default();
        usual.took("job", SECOND * 60);
        for _ in 0..100 {
            usual.took("job", SECOND);
        }
        assert!(usual.fits("job", SECOND * 2));
    }
}
