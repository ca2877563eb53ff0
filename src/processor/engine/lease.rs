//! Keeping the leases of what is held, and giving up what time has run out for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::error::{Code, Error, Result};
use crate::job::{End, Refusal, Run};
use crate::processor::held::TimedOut;
use crate::processor::pace::Pace;
use crate::processor::{Extended, Handlers, Store};

/// How long what was claimed ahead may wait for a slot before it is handed back to whoever has one.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The least time between two looks for cancelled jobs. Anyone may say that there are some.
const RECHECK_INTERVAL: Duration = Duration::from_millis(100);

/// The longest wait before an extension is tried again, in parts of a lease: several times before it ends.
const TRIES_A_LEASE: u32 = 16;

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
        let runs = self.held.begin_extending(now);
        if runs.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let asked = runs.clone();
        let reply = Box::pin(async move { store.extend(asked).await });
        self.extension = Some((SentExtension { at: now, runs }, reply));
    }

    pub(super) fn extended(&mut self, reply: Result<Vec<Extended>>) {
        let Some((sent, _)) = self.extension.take() else {
            return;
        };
        match reply {
            Ok(owned) => {
                self.extend_backoff.succeed();
                let owned: HashMap<_, _> = owned
                    .into_iter()
                    .map(|extended| (extended.run, extended))
                    .collect();
                let mut refusals = Vec::new();
                for run in sent.runs {
                    let Some(extended) = owned.get(&run) else {
                        self.lose(run);
                        continue;
                    };
                    if let Some(error) = &extended.refused {
                        if self.held.refused(run) {
                            let (id, error) = (run.id, error.clone());
                            refusals.push(Refusal { id, error });
                        }
                        self.extend_after = Instant::now() + self.settings.lease / TRIES_A_LEASE;
                    } else if extended.locked {
                        self.held.locked(run, Instant::now());
                    } else {
                        self.held.extended(run, sent.at);
                    }
                    if extended.cancel_requested {
                        self.cancel(run);
                    }
                }
                self.tell_refusals("kept by its worker: its lease cannot be extended", refusals);
            }
            Err(error) => {
                self.report_failure(sent.at, &error);
                let wait = self.extend_backoff.fail();
                let longest = self.settings.lease / TRIES_A_LEASE;
                self.extend_after = Instant::now() + wait.min(longest);
                for run in sent.runs {
                    self.held.not_extended(run);
                }
            }
        }
    }

    pub(super) fn begin_recheck(&mut self) {
        let now = Instant::now();
        if !self.recheck || self.rechecking.is_some() || self.recheck_after > now {
            return;
        }
        self.recheck = false;
        self.recheck_after = now + RECHECK_INTERVAL;
        let runs = self.held.live_runs();
        if runs.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let reply = Box::pin(async move { store.cancel_requested(runs).await });
        self.rechecking = Some(((), reply));
    }

    pub(super) fn rechecked(&mut self, reply: Result<Vec<Run>>) {
        self.rechecking = None;
        // If it failed, the next extension will tell.
        for run in reply.unwrap_or_default() {
            self.cancel(run);
        }
    }

    /// Gives up what time has run out for.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        let expired = self.held.expired(now);
        for run in expired.lapsed {
            if self.is_being_counted(run) {
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
        if self.waited_too_long_at().is_some_and(|at| at <= now) {
            self.release_waiting();
            self.pace = Pace::new(now);
        }
    }

    /// When what was claimed ahead is handed back, because every slot is taken by something slow.
    pub(super) fn waited_too_long_at(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.moved_at + LONGEST_WAIT)
    }

    /// The attempt has failed, and its slot is free, whatever the handler does from now on.
    fn time_out(&mut self, TimedOut { run, limit, owned }: TimedOut) {
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
                },
            );
        } else {
            // Another run has the job, or will have it.
            self.held.remove(run);
        }
    }

    /// Somebody wants the job cancelled: its run is told, and has a while to end. What has not started
    /// never will.
    pub(super) fn cancel(&mut self, run: Run) {
        if self.forget_waiting(run) {
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

    /// The run no longer owns its job, or cannot know that it does. What has not started never will;
    /// what runs is told, and keeps its slot until it ends.
    fn lose(&mut self, run: Run) {
        if self.forget_waiting(run) {
            self.held.remove(run);
        } else if self.held.lose(run) {
            let message = format!("the run of job {} has lost its lease", run.id);
            self.handlers
                .abort(run, &Error::new(Code::LeaseLost, message), false);
        }
    }

    /// Whether the run had not started; it will not.
    fn forget_waiting(&mut self, run: Run) -> bool {
        let before = self.waiting.len() + self.uncounted.len();
        self.waiting.retain(|job| job.run != run);
        self.uncounted.retain(|job| job.run != run);
        self.is_being_counted(run) || self.waiting.len() + self.uncounted.len() < before
    }
}
