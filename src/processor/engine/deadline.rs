//! Working against a deadline: what would not end in time is not begun, and what has not ended when it
//! comes is handed back.

use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, Mode};
use crate::error::Code;
use crate::processor::{ClaimedJob, Handlers, Run, Store};

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.mode {
            Mode::UntilEmpty { deadline } => Some(deadline),
            Mode::Batch | Mode::Background => None,
        }
    }

    fn time_left(&self, now: Instant) -> Option<Duration> {
        self.deadline()
            .map(|deadline| deadline.saturating_duration_since(now))
    }

    /// The types of jobs that are worth claiming, if those are not all.
    pub(super) fn claimable_types(&self, now: Instant) -> Option<Vec<String>> {
        let left = self.time_left(now)?;
        let fits = |job_type: &&String| self.settings.usual.fits(job_type, left);
        let types = &self.settings.job_types;
        let fitting: Vec<_> = types.iter().filter(fits).cloned().collect();
        (fitting.len() < types.len()).then_some(fitting)
    }

    /// Whether so little time is left that no job is worth claiming.
    pub(super) fn too_late_to_claim(&self, now: Instant) -> bool {
        self.time_left(now).is_some_and(|left| left.is_zero())
            || self
                .claimable_types(now)
                .is_some_and(|types| types.is_empty())
    }

    /// Whether a job that was claimed may as well begin.
    pub(super) fn fits(&self, job: &ClaimedJob, now: Instant) -> bool {
        self.time_left(now)
            .is_none_or(|left| self.settings.usual.fits(&job.job_type, left))
    }

    /// Takes note of how long a run took.
    pub(super) fn took(&mut self, run: Run) {
        if let Some((job_type, begun)) = self.begun.remove(&run) {
            self.settings.usual.took(&job_type, begun.elapsed());
        }
    }

    pub(super) fn meet_deadline(&mut self) {
        if self.give_up_at.is_none() && self.deadline().is_some_and(|at| at <= Instant::now()) {
            self.hand_back(
                Code::Deadline,
                "the job was handed back, because the time of its processor is up",
            );
        }
    }
}
