//! A store that cannot be reached, or refuses every statement.

use tokio::time::Instant;

use super::Engine;
use crate::backoff::Backoff;
use crate::error::Error;
use crate::processor::{Handlers, Store};

/// The engine's knowledge of an outage.
pub(super) struct Outage {
    /// The store is not asked again before this time, except to extend leases.
    pub after: Instant,
    pub backoff: Backoff,
    /// Since when every exchange has failed, and how the last one did.
    pub since: Option<Instant>,
    pub last: Option<Error>,
    /// When a failure was last reported.
    told_at: Option<Instant>,
}

impl Outage {
    pub fn new(now: Instant) -> Self {
        Self {
            after: now,
            backoff: Backoff::default(),
            since: None,
            last: None,
            told_at: None,
        }
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// Reports that the database could not be reached or refused: once an outage, by the first statement
    /// that meets it. Statements that were sent before the last report met the same outage.
    pub(super) fn report_failure(&mut self, asked_at: Instant, error: &Error) {
        let failing = self.outage.backoff.failing() || self.leases.failing();
        let is_told = (self.outage.told_at).is_some_and(|told_at| asked_at <= told_at);
        if !failing && !is_told {
            self.outage.told_at = Some(Instant::now());
            self.handlers.report(error);
        }
    }

    /// The outcomes are tried again, after a while.
    pub(super) fn store_failed(&mut self, asked_at: Instant, error: Error) {
        let now = Instant::now();
        self.report_failure(asked_at, &error);
        self.outage.last = Some(error.clone());
        self.outage.after = now + self.outage.backoff.fail();
        let failing_since = *self.outage.since.get_or_insert(asked_at);
        // An engine that is about to end keeps trying to write its last outcomes for as long as
        // their leases can have lasted; in the background there is no reason ever to give up.
        if self.no_more_claims()
            && self.held.len() == 0
            && now - failing_since >= self.settings.lease
        {
            self.outcomes.clear();
            self.unsure.clear();
            self.give_up_each();
            self.ending.failure = Some(error);
        }
    }
}
