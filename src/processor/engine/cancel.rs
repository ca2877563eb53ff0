//! Jobs that are to be cancelled.

use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::error::{Code, Error, Result};
use crate::job::{End, Run};
use crate::processor::{Handlers, Store};

/// The least time between two looks for cancelled jobs. Any role may send a notification of one.
const INTERVAL: Duration = Duration::from_millis(100);

/// Looking for requests, since their notifications may have been missed.
pub(super) struct Recheck {
    pub wanted: bool,
    after: Instant,
    under_way: bool,
}

impl Recheck {
    pub fn new(now: Instant) -> Self {
        Self {
            wanted: false,
            after: now,
            under_way: false,
        }
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn rechecks_at(&mut self, _: Instant) -> Option<Instant> {
        let Recheck {
            wanted,
            after,
            under_way,
        } = self.recheck;
        (wanted && !under_way).then_some(after)
    }

    pub(super) fn recheck(&mut self, now: Instant) {
        let runs = self.held.live_runs();
        self.recheck = Recheck {
            wanted: false,
            after: now + INTERVAL,
            under_way: !runs.is_empty(),
        };
        if runs.is_empty() {
            return;
        }
        self.ask(
            |store| async move { store.cancel_requested(runs).await },
            Self::rechecked,
        );
    }

    fn rechecked(&mut self, reply: Result<Vec<Run>>) {
        self.recheck.under_way = false;
        // If the question failed, the next extension finds the requests.
        for run in reply.unwrap_or_default() {
            self.cancel(run);
        }
    }

    /// The run is told, and has its grace to end. A run that has not started never will.
    pub(super) fn cancel(&mut self, run: Run) {
        if self.dispatch.forget(run) {
            self.end(run, End::Cancelled);
        } else if self
            .held
            .cancel(run, Instant::now() + self.settings.cancel_grace)
        {
            let reason = format!("job {} is being cancelled", run.id);
            self.handlers
                .abort(run, &Error::new(Code::Cancelled, reason), false);
        }
    }
}
