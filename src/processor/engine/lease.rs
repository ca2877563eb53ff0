//! Keeping the leases of the held runs.

use std::collections::HashMap;

use tokio::time::Instant;

use super::Engine;
use crate::backoff::Backoff;
use crate::error::Result;
use crate::job::{Refusal, Run};
use crate::processor::{Extended, Handlers, Store};

/// The longest wait before an extension is tried again, in parts of a lease: several times before it ends.
const TRIES_A_LEASE: u32 = 16;

/// Extending leases.
pub(super) struct Leases {
    under_way: bool,
    /// After a failure: extensions are not tried again before this time.
    after: Instant,
    backoff: Backoff,
}

impl Leases {
    pub fn new(now: Instant) -> Self {
        Self {
            under_way: false,
            after: now,
            backoff: Backoff::default(),
        }
    }

    /// Whether the last extension failed.
    pub fn failing(&self) -> bool {
        self.backoff.failing()
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn extends_at(&mut self, _: Instant) -> Option<Instant> {
        let next = self.held.next_extension();
        let next = next.filter(|_| !self.leases.under_way);
        next.map(|at| at.max(self.leases.after))
    }

    pub(super) fn extend(&mut self, now: Instant) {
        let runs = self.held.begin_extending(now);
        if runs.is_empty() {
            return;
        }
        self.leases.under_way = true;
        let asked = runs.clone();
        self.ask(
            |store| async move { store.extend(asked).await },
            move |engine, reply| engine.extended(now, runs, reply),
        );
    }

    fn extended(&mut self, asked_at: Instant, runs: Vec<Run>, reply: Result<Vec<Extended>>) {
        self.leases.under_way = false;
        match reply {
            Ok(owned) => {
                self.leases.backoff.succeed();
                let owned: HashMap<_, _> = owned
                    .into_iter()
                    .map(|extended| (extended.run, extended))
                    .collect();
                let mut refusals = Vec::new();
                for run in runs {
                    let Some(extended) = owned.get(&run) else {
                        self.lose(run);
                        continue;
                    };
                    if let Some(error) = &extended.refused {
                        if self.held.refused(run) {
                            let (id, error) = (run.id, error.clone());
                            refusals.push(Refusal { id, error });
                        }
                        self.leases.after = Instant::now() + self.settings.lease / TRIES_A_LEASE;
                    } else if extended.locked {
                        self.held.locked(run, Instant::now());
                    } else {
                        self.held.extended(run, asked_at);
                    }
                    if extended.cancel_requested {
                        self.cancel(run);
                    }
                }
                self.tell_refusals(
                    "kept by its worker (its lease cannot be extended)",
                    refusals,
                );
            }
            Err(error) => {
                self.report_failure(asked_at, &error);
                let wait = self.leases.backoff.fail();
                let longest = self.settings.lease / TRIES_A_LEASE;
                self.leases.after = Instant::now() + wait.min(longest);
                for run in runs {
                    self.held.not_extended(run);
                }
            }
        }
    }
}
