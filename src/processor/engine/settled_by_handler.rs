//! Runs that their handlers settle in transactions of their own. Only the store knows how a transaction
//! ended, and while it is open the job is locked: an exchange would wait for it, with all outcomes
//! that travel along. So the store is asked first, and its answer decides.

use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::error::{Code, Error, Result};
use crate::job::{Outcome, Run};
use crate::processor::{Handlers, Settled, Store};

/// The time before asking again how an open transaction has ended.
const OPEN: Duration = Duration::from_secs(1);

/// The side that ended a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    /// Its handler has returned or thrown, and should have ended its transaction before.
    Handler,
    /// Its time was up, or its job was cancelled. The handler may be about to end its transaction.
    Engine,
}

/// The outcome of a run. It is written only if the handler's transaction was rolled back.
pub(super) struct Unsure {
    outcome: Outcome,
    by: By,
    ended_at: Instant,
    ask_at: Instant,
    /// It was reported that the transaction is open.
    told: bool,
}

impl Unsure {
    pub(super) fn new(outcome: Outcome, by: By, now: Instant) -> Self {
        Self {
            outcome,
            by,
            ended_at: now,
            ask_at: now,
            told: false,
        }
    }
}

/// The runs whose transactions' ends are to be asked for.
#[derive(Default)]
pub(super) struct UnsureRuns {
    waiting: Vec<Unsure>,
    asking: bool,
}

impl UnsureRuns {
    pub fn push(&mut self, unsure: Unsure) {
        self.waiting.push(unsure);
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && !self.asking
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn asks_at(&mut self, _: Instant) -> Option<Instant> {
        let next = self.unsure.waiting.iter().map(|unsure| unsure.ask_at).min();
        let next = next.filter(|_| !self.unsure.asking);
        next.map(|at| at.max(self.outage.after))
    }

    pub(super) fn ask_how_transactions_ended(&mut self, now: Instant) {
        let all = std::mem::take(&mut self.unsure.waiting);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|it| it.ask_at <= now);
        self.unsure.waiting = later;
        self.unsure.asking = true;
        let runs = due.iter().map(|unsure| unsure.outcome.run).collect();
        self.ask(
            |store| async move { store.settled_by_handler(runs).await },
            move |engine, reply| engine.transactions_ended(due, reply),
        );
    }

    fn transactions_ended(&mut self, mut asked: Vec<Unsure>, reply: Result<Vec<(Run, Settled)>>) {
        self.unsure.asking = false;
        match reply {
            Ok(settled) => {
                for (run, settled) in settled {
                    let position = asked.iter().position(|it| it.outcome.run == run);
                    let Some(unsure) = position.map(|at| asked.swap_remove(at)) else {
                        continue;
                    };
                    match settled {
                        Settled::Committed => {
                            self.held.remove(run);
                            self.tally.completed += 1;
                            self.handlers.settled_by_handler(run, true);
                        }
                        // The run is settled by its own outcome, as any other.
                        Settled::RolledBack => {
                            self.write(unsure.outcome);
                            self.handlers.settled_by_handler(run, false);
                        }
                        Settled::Open => self.is_open(unsure),
                        Settled::Lost => {
                            self.held.remove(run);
                            self.report_refusal(run);
                            self.handlers.settled_by_handler(run, false);
                        }
                    }
                }
            }
            Err(error) => {
                asked.append(&mut self.unsure.waiting);
                self.unsure.waiting = asked;
                self.store_failed(Instant::now(), error);
            }
        }
    }

    /// Asks again, for as long as a lease: the client may have given up a statement that the server still runs, and
    /// meanwhile no worker takes the job over, since the transaction has locked it. A handler that ended too early is
    /// reported at once.
    fn is_open(&mut self, unsure: Unsure) {
        let run = unsure.outcome.run;
        let is_over = unsure.ended_at.elapsed() >= self.settings.lease;
        if !unsure.told && (is_over || unsure.by == By::Handler) {
            self.report_open(run, unsure.by);
        }
        if is_over {
            self.held.remove(run);
            self.handlers.settled_by_handler(run, false);
            return;
        }
        self.unsure.push(Unsure {
            ask_at: Instant::now() + OPEN.min(self.settings.lease / 4),
            told: unsure.told || unsure.by == By::Handler,
            ..unsure
        });
    }

    /// If the transaction is committed later, the job is completed; if not, the job's lease ends.
    fn report_open(&self, run: Run, by: By) {
        let id = run.id;
        let (code, why) = match by {
            By::Handler => (
                Code::InvalidArgument,
                "has ended, but the transaction in which it called completeIn is still open: a handler must await \
                 the commit or rollback. The job is settled when the transaction ends. If that takes longer than a \
                 lease and the transaction is rolled back, the job runs again",
            ),
            By::Engine => (
                Code::DatabaseError,
                "had to end, because its time was up, its job was cancelled or its processor was stopped. The transaction in which it called \
                 completeIn has stayed open for a whole lease since then. If the transaction is not committed, the \
                 job runs again when its lease ends",
            ),
        };
        self.handlers
            .report(&Error::new(code, format!("the run of job {id} {why}")));
    }
}
