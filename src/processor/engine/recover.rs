//! Bringing back the jobs of lost workers. An exchange asks for them in passing. If one of them keeps the others
//! from coming back, it is searched for beside the exchanges, so that no other job waits for it.

use tokio::time::Instant;

use super::{Engine, Mode};
use crate::error::Result;
use crate::processor::recovery::Recovery;
use crate::processor::{Handlers, Recovered, Store};

/// The state of jobs that can be brought back only one by one.
#[derive(Default)]
pub(super) struct RecoverEach {
    wanted: bool,
    under_way: bool,
    /// The next exchange that claims need not ask: all were just dealt with.
    done: bool,
    /// Bringing jobs back failed when it was last tried.
    fails: bool,
}

/// Whether an exchange asks for the jobs of lost workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asks {
    Never,
    IfNobodyHas,
    /// The same, and always before the engine reports that nothing more is due.
    BeforeTheEnd,
}

impl RecoverEach {
    fn is_idle(&self) -> bool {
        !self.wanted && !self.under_way
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// Whether the next exchange asks.
    pub(super) fn asks_for_lost(&mut self, claims: bool) -> Asks {
        if !claims || !self.recover_each.is_idle() || std::mem::take(&mut self.recover_each.done) {
            Asks::Never
        } else if self.mode == Mode::Background {
            Asks::IfNobodyHas
        } else {
            Asks::BeforeTheEnd
        }
    }

    /// Whether jobs of lost workers may still come back that this engine is to wait for.
    pub(super) fn waits_for_lost(&self) -> bool {
        !self.recover_each.is_idle() && !self.ending.stopping && self.ending.failure.is_none()
    }

    pub(super) fn recovers_each_at(&mut self, _: Instant) -> Option<Instant> {
        let RecoverEach {
            wanted, under_way, ..
        } = self.recover_each;
        (wanted && !under_way).then_some(self.outage.after)
    }

    pub(super) fn recover_each(&mut self, _: Instant) {
        self.recover_each.wanted = false;
        self.recover_each.under_way = true;
        self.ask(
            |store| async move { store.recover_each().await },
            Self::recovered_each,
        );
    }

    fn recovered_each(&mut self, reply: Result<Recovered>) {
        self.recover_each.under_way = false;
        self.recover_each.done = true;
        // Even if no job has come back, one more look tells whether jobs are due.
        self.claims.next = Instant::now();
        self.recovered(reply);
    }

    /// Takes in the result of a recovery.
    pub(super) fn recovered(&mut self, reply: Result<Recovered>) {
        match reply {
            Ok(recovered) => {
                self.recover_each.fails = false;
                self.recover_each.wanted |= recovered.needs_care;
                self.tell_exhausted(recovered.exhausted);
                self.tell_refusals("brought back", recovered.refused);
            }
            Err(error) => {
                // The next exchange reports an error of the connection.
                let is_told = std::mem::replace(&mut self.recover_each.fails, true);
                if error.was_refused() && !is_told {
                    self.handlers.report(&error);
                }
            }
        }
    }
}

impl Asks {
    /// Whether to ask after an exchange that has found jobs, or fewer than it wanted.
    pub(super) fn asks(self, recovery: &Recovery, found: bool, short: bool) -> bool {
        self != Self::Never
            && (recovery.is_due(Instant::now(), found) || (self == Self::BeforeTheEnd && short))
    }
}
