//! Leaving the jobs for which there is no handler here to other workers.

use tokio::time::Instant;

use super::{Engine, Mode};
use crate::error::{Code, Error};
use crate::job::{ClaimedJob, End, in_line};
use crate::processor::{Handlers, Store};

impl<S: Store, H: Handlers> Engine<S, H> {
    /// Whether only jobs are to be claimed for which there is a handler.
    pub(super) fn claims_handled_only(&self, now: Instant) -> bool {
        let handled = &self.settings.taken_types;
        self.settings.leaves_unknown
            && (self.settings.shared.unknown).claims_handled_only(handled, now)
    }

    /// Hands back those of the claimed jobs that have no handler here, and returns the others.
    pub(super) fn leave_unknown(
        &mut self,
        claimed: Vec<ClaimedJob>,
        now: Instant,
    ) -> Vec<ClaimedJob> {
        if !self.settings.leaves_unknown {
            return claimed;
        }
        let is_known = |job: &ClaimedJob| self.settings.of_types.contains_key(&job.job_type);
        if claimed.iter().all(is_known) {
            return claimed;
        }
        let (known, unknown): (Vec<_>, Vec<_>) = claimed.into_iter().partition(is_known);
        if self.mode == Mode::Batch {
            // Others take their places.
            self.claims.batch_left += unknown.len();
        }
        let handled = self.settings.taken_types.clone();
        let shared = self.settings.shared.clone();
        for job in unknown {
            let job_type = in_line(&job.job_type);
            let reason = format!("No handler registered for job type: {job_type}");
            if shared.unknown.met(&handled, &job.job_type, now) {
                self.handlers.report(&Error::new(
                    Code::NoHandler,
                    format!(
                        "{reason}. Job {} and others of this type are left to workers that have a handler for it. This \
                         processor now claims only jobs of the types that it handles, and looks at all types again \
                         after a minute, then two, up to an hour",
                        job.run.id
                    ),
                ));
            }
            self.end(job.run, End::released(Some(reason)));
        }
        known
    }
}
