//! Working against a deadline: a job that would not end in time is not begun, and a run that has not ended at
//! the deadline is handed back.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, Mode};
use crate::error::{Code, Error};
use crate::job::{ClaimedJob, End, FailureReason, Run, names};
use crate::processor::{DidNotFit, Handlers, Store};

/// A run that has begun.
pub(super) struct Begun {
    job_type: String,
    at: Instant,
    /// No attempt is left after this one.
    is_last: bool,
    /// Its place among all runs that were handed over, from 0.
    place: u64,
}

impl Begun {
    pub(super) fn new(job: &ClaimedJob, at: Instant, place: u64) -> Self {
        Self {
            job_type: job.job_type.clone(),
            at,
            is_last: job.attempts >= job.max_attempts,
            place,
        }
    }
}

/// The time that an engine has, and the runs that use it.
pub(super) struct Invocation {
    started_at: Instant,
    /// When runs began, and their types, if there is a deadline.
    pub begun: HashMap<Run, Begun>,
}

impl Invocation {
    pub fn new(now: Instant) -> Self {
        Self {
            started_at: now,
            begun: HashMap::new(),
        }
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.mode {
            Mode::UntilEmpty { deadline, .. } => Some(deadline),
            Mode::Batch | Mode::Background => None,
        }
    }

    fn time_left(&self, now: Instant) -> Option<Duration> {
        self.deadline()
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    /// The types of jobs that are worth claiming; `None` means all.
    pub(super) fn claimable_types(&mut self, now: Instant) -> Option<Vec<String>> {
        let handled_only = self.claims_handled_only(now);
        let Some((fitting, others)) = self.fitting_types(now) else {
            return handled_only.then(|| self.settings.taken_types.clone());
        };
        self.tally.not_claimed = others;
        (handled_only || !self.tally.not_claimed.is_empty()).then_some(fitting)
    }

    fn fitting_types(&self, now: Instant) -> Option<(Vec<String>, Vec<String>)> {
        self.deadline()?;
        let types = self.settings.taken_types.iter().cloned();
        Some(types.partition(|job_type| self.fits_type(job_type, now)))
    }

    /// Whether so little time is left that no job is worth claiming.
    pub(super) fn too_late_to_claim(&self, now: Instant) -> bool {
        self.time_left(now).is_some_and(|left| left.is_zero())
            || (self.fitting_types(now))
                .is_some_and(|(fitting, others)| fitting.is_empty() && !others.is_empty())
    }

    /// Whether a job of the type usually ends in the time that is left. A type that takes longer than a whole
    /// invocation may use nearly all of one, so that no type is left alone for ever.
    fn fits_type(&self, job_type: &str, now: Instant) -> bool {
        let Some(left) = self.time_left(now) else {
            return true;
        };
        self.settings.shared.usual.fits(job_type, left) || left >= self.time() * 9 / 10
    }

    /// The engine's time in all.
    fn time(&self) -> Duration {
        let deadline = self.deadline();
        deadline.map_or(Duration::MAX, |deadline| {
            deadline - self.invocation.started_at
        })
    }

    /// Whether a claimed job can still begin.
    pub(super) fn fits(&self, job: &ClaimedJob, now: Instant) -> bool {
        self.fits_type(&job.job_type, now)
    }

    /// Takes note of how long a run took.
    pub(super) fn took(&mut self, run: Run) {
        if let Some(begun) = self.invocation.begun.remove(&run) {
            let took = begun.at.elapsed();
            self.settings.shared.usual.took(&begun.job_type, took);
        }
    }

    /// A run has begun only now: the handlers' thread was busy.
    pub(super) fn begun_late(&mut self, run: Run) {
        let now = Instant::now();
        self.held.begun_late(run, now);
        if let Some(begun) = self.invocation.begun.get_mut(&run) {
            begun.at = now;
        }
    }

    pub(super) fn meets_deadline_at(&mut self, _: Instant) -> Option<Instant> {
        self.deadline().filter(|_| self.ending.give_up_at.is_none())
    }

    pub(super) fn meet_deadline(&mut self, _: Instant) {
        let begun = self.handlers.begun();
        let running = (self.invocation.begun.iter()).filter(|(_, run)| run.place < begun);
        let running: Vec<_> = running.map(|(run, _)| run.id).collect();
        self.hand_back(
            Code::Deadline,
            "the job was handed back, because its processor has reached its deadline",
        );
        if !running.is_empty() {
            let jobs = names(running);
            self.handlers.report(&Error::new(
                Code::Deadline,
                format!(
                    "the deadline came before the end of {jobs}: what had begun was handed back, and runs again after \
                     the jobs that are due now, unless this was its last attempt. A longer `maxDuration` gives jobs more \
                     time; a handler that ends when its signal aborts loses none"
                ),
            ));
        }
    }

    /// The end of a run that is handed back. A run that has not ended by the deadline goes behind the due jobs, and if
    /// it had at least half of the invocation, its attempt counts.
    pub(super) fn handed_back(&mut self, run: Run) -> End {
        let begun = self.invocation.begun.remove(&run);
        let met = self.deadline().is_some_and(|at| at <= Instant::now());
        if begun
            .as_ref()
            .is_some_and(|begun| begun.place >= self.handlers.begun())
        {
            self.tally.started -= 1;
            // Behind, since it may be the one that blocks the handlers' thread: of the runs that were handed over
            // together, only the first is known to have begun while that is so.
            return End::Released {
                behind: true,
                reason: None,
            };
        }
        let Some(Begun {
            job_type,
            at,
            is_last,
            ..
        }) = begun.filter(|_| met)
        else {
            return End::released(None);
        };
        let had = at.elapsed();
        self.settings.shared.usual.took_longer(&job_type, had);
        let id = run.id;
        self.tally.did_not_fit.push(DidNotFit { id, job_type });
        if had < self.time() / 2 {
            return End::Released {
                behind: true,
                reason: None,
            };
        }
        let message = format!(
            "Did not end before the deadline; it had run for {} ms",
            had.as_millis()
        );
        let entry = serde_json::json!({ "name": "Deadline", "message": message }).to_string();
        if is_last {
            return End::Failed {
                entry,
                pending_reason: None,
                retry: None,
                reason: Some(FailureReason::Timeout),
            };
        }
        End::Unfinished { entry }
    }
}
