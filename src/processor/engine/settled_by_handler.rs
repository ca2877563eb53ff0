//! Runs that their handlers settle in transactions of their own. How a transaction ended is known to
//! the store alone, and while it is open the job is locked: an exchange would wait for it, with all
//! that travels along. So the store is asked first, and what it says decides.

use std::sync::Arc;

use tokio::time::Instant;

use super::Engine;
use crate::error::{Code, Error, Result};
use crate::processor::{Handlers, Run, Settled, Store};

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn begin_asking(&mut self) {
        if self.unsure.is_empty() || self.asking.is_some() || self.exchange_after > Instant::now() {
            return;
        }
        let outcomes = std::mem::take(&mut self.unsure);
        let runs = outcomes.iter().map(|outcome| outcome.run).collect();
        let store = Arc::clone(&self.store);
        let reply = Box::pin(async move { store.settled_by_handler(runs).await });
        self.asking = Some((outcomes, reply));
    }

    pub(super) fn asked(&mut self, reply: Result<Vec<(Run, Settled)>>) {
        let Some((mut outcomes, _)) = self.asking.take() else {
            return;
        };
        match reply {
            Ok(settled) => {
                for (run, settled) in settled {
                    let position = outcomes.iter().position(|outcome| outcome.run == run);
                    let Some(outcome) = position.map(|at| outcomes.swap_remove(at)) else {
                        continue;
                    };
                    match settled {
                        Settled::Committed => {
                            self.held.remove(run);
                            self.tally.completed += 1;
                            self.handlers.settled_by_handler(run, true);
                        }
                        // The run is settled by how it ended, as any other.
                        Settled::RolledBack => {
                            self.outcomes.push(outcome);
                            self.handlers.settled_by_handler(run, false);
                        }
                        Settled::Open => {
                            self.held.remove(run);
                            self.report_open(run);
                            self.handlers.settled_by_handler(run, false);
                        }
                        Settled::Lost => {
                            self.held.remove(run);
                            self.report_refusal(run);
                            self.handlers.settled_by_handler(run, false);
                        }
                    }
                }
            }
            Err(error) => {
                outcomes.append(&mut self.unsure);
                self.unsure = outcomes;
                self.store_failed(Instant::now(), error);
            }
        }
    }

    /// If the transaction is committed later, the job is completed; if not, its lease ends.
    fn report_open(&self, run: Run) {
        self.handlers.report(&Error::new(
            Code::InvalidArgument,
            format!(
                "the run of job {} has ended while the transaction in which it completed its job was \
                 still open: a handler must await the commit or rollback; if it is not committed, the \
                 job runs again when its lease ends",
                run.id
            ),
        ));
    }
}
