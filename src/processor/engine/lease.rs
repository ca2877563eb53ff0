//! Keeping the leases of what is held, and giving up what they have ended for.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, Mode};
use crate::error::{Code, Error, Result};
use crate::processor::pace::Pace;
use crate::processor::{Handlers, Run, Store};

/// How long what was claimed ahead may wait for a slot before it is handed back to whoever has one.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// What an extension was sent with.
pub(super) struct SentExtension {
    at: Instant,
    runs: Vec<Run>,
}

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn begin_extension(&mut self) {
        let now = Instant::now();
        if self.extension.is_some() || self.extend_after > now {
            return;
        }
        let runs = self.held.to_extend(now);
        if runs.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let asked = runs.clone();
        let reply = Box::pin(async move { store.extend(asked).await });
        self.extension = Some((SentExtension { at: now, runs }, reply));
    }

    pub(super) fn extended(&mut self, reply: Result<Vec<Run>>) {
        let Some((sent, _)) = self.extension.take() else {
            return;
        };
        match reply {
            Ok(owned) => {
                self.extend_backoff.succeed();
                for run in sent.runs {
                    if owned.contains(&run) {
                        self.held.extended(run, sent.at);
                    } else {
                        self.lose(run);
                    }
                }
            }
            Err(error) => {
                self.report_failure(&error);
                self.extend_after = Instant::now() + self.extend_backoff.fail();
            }
        }
    }

    /// Gives up what time has run out for.
    pub(super) fn lapse(&mut self) {
        let now = Instant::now();
        for run in self.held.lapsed(now) {
            self.lose(run);
        }
        if self.waited_too_long_at().is_some_and(|at| at <= now) {
            self.release_waiting();
            self.pace = Pace::new(now);
        }
    }

    /// When what was claimed ahead is handed back, because every slot is taken by something slow. A
    /// batch waits for its slots, since nothing else is to be run.
    pub(super) fn waited_too_long_at(&self) -> Option<Instant> {
        let waits = self.mode == Mode::Background && !self.waiting.is_empty();
        waits.then(|| self.moved_at + LONGEST_WAIT)
    }

    /// The run no longer owns its job, or cannot know that it does. What has not started never will;
    /// what runs is told, and keeps its slot until it ends.
    fn lose(&mut self, run: Run) {
        let before = self.waiting.len();
        self.waiting.retain(|job| job.run != run);
        if self.waiting.len() < before {
            self.held.remove(run);
        } else if self.held.lose(run) {
            let message = format!("the run of job {} has lost its lease", run.id);
            self.handlers
                .abort(run, &Error::new(Code::LeaseLost, message));
        }
    }
}
