//! Giving up runs whose time has run out.

use tokio::time::Instant;

use super::Engine;
use crate::error::{Code, Error};
use crate::job::{End, FailureReason, Run};
use crate::processor::held::TimedOut;
use crate::processor::pace::Pace;
use crate::processor::{Handlers, Store};

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn expires_at(&mut self, _: Instant) -> Option<Instant> {
        let waited = self.dispatch.waited_too_long_at();
        [self.held.next_check(), waited].into_iter().flatten().min()
    }

    pub(super) fn expire(&mut self, now: Instant) {
        let expired = self.held.expired(now, self.handlers.begun());
        for run in expired.lapsed {
            if self.dispatch.is_being_counted(run) {
                // The answer says whether it owns its job; if it does not begin, its attempt is given back.
                self.held.locked(run, now);
            } else {
                self.lose(run);
            }
        }
        for timed_out in expired.timed_out {
            self.time_out(timed_out);
        }
        for run in expired.not_cancelled {
            self.end(run, End::Cancelled);
        }
        if (self.dispatch.waited_too_long_at()).is_some_and(|at| at <= now) {
            self.release_waiting();
            self.pace = Pace::new(now);
        }
    }

    /// The attempt has failed, and its slot is free, even if the handler goes on.
    fn time_out(&mut self, timed_out: TimedOut) {
        let TimedOut {
            run,
            limit,
            retry,
            owned,
        } = timed_out;
        let ms = limit.as_millis();
        let message = format!("Timed out after {ms} ms");
        if owned {
            let reason = format!("job {} has timed out after {ms} ms", run.id);
            self.handlers
                .abort(run, &Error::new(Code::Timeout, reason), true);
            let entry = serde_json::json!({ "name": "Timeout", "message": message }).to_string();
            self.end(
                run,
                End::Failed {
                    entry,
                    pending_reason: None,
                    retry,
                    reason: Some(FailureReason::Timeout),
                },
            );
        } else {
            // Another run has the job, or will have it.
            self.held.remove(run);
        }
    }

    /// The run no longer owns its job, or cannot know that it does. A run that has not started never will;
    /// a running one is told, and keeps its slot until it ends.
    pub(super) fn lose(&mut self, run: Run) {
        if self.dispatch.forget(run) {
            self.held.remove(run);
        } else if self.held.lose(run) {
            let message = format!(
                "the run of job {} has lost its lease: another worker can take the job over",
                run.id
            );
            self.handlers
                .abort(run, &Error::new(Code::LeaseLost, message), false);
        }
    }
}
