//! Settling what has ended and claiming what is due, in one round trip.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::recover::Asks;
use super::{Engine, Mode};
use crate::error::{Code, Error, Result};
use crate::job::{End, ExhaustedJob, Outcome};
use crate::processor::recovery::Recovery;
use crate::processor::{Exchanged, Handlers, Recovered, Store, Wanted};

/// An exchange that takes longer than this is not waited for by what has ended meanwhile.
const LONG: Duration = Duration::from_millis(250);

/// What an exchange was sent with, to be taken up again if it fails.
pub(super) struct SentExchange {
    at: Instant,
    outcomes: Vec<Outcome>,
    wanted: Wanted,
}

/// What an exchange brought, and what came of a recovery, if there was one.
pub(super) struct Brought {
    exchanged: Exchanged,
    recovery: Option<Result<Recovered>>,
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// How many jobs to ask for, if an exchange begins now.
    pub(super) fn claim_limit(&mut self, now: Instant) -> usize {
        if self.stopping || self.failure.is_some() {
            return 0;
        }
        if self.deadline().is_some() && self.too_late_to_claim(now) {
            return 0;
        }
        let ahead = self.pace.ahead(now).min(2 * self.settings.batch_size);
        let wanted = self.settings.concurrency + ahead;
        let coming = self.held.len() + self.claiming;
        let most = match self.mode {
            Mode::Batch => self.batch_left,
            Mode::Background | Mode::UntilEmpty { .. } => self.settings.batch_size,
        };
        wanted.saturating_sub(coming).min(most)
    }

    /// One exchange at a time claims. A second claim would pass over the jobs of the first, which takes both of
    /// them longer than it saves; a second exchange only settles.
    pub(super) fn begin_exchanges(&mut self) {
        let now = Instant::now();
        while self.exchange_after <= now && self.exchanges.len() < self.settings.exchanges {
            let claimable = if self.claiming == 0 {
                self.claim_limit(now)
            } else {
                0
            };
            let due = if self.next_claim <= now { claimable } else { 0 };
            // What comes up during a round trip travels with the next, unless it fills one, or that takes long.
            let beside = self.settles_beside_at().is_some_and(|at| at <= now);
            let enough = if self.exchanges.is_empty() || beside {
                1
            } else {
                self.settings.batch_size
            };
            if self.outcomes.len() + due < enough {
                return;
            }
            // A round trip that settles may as well claim.
            let limit = if self.outcomes.is_empty() {
                due
            } else {
                claimable
            };
            self.begin_exchange(now, limit);
        }
    }

    /// When outcomes no longer wait for the exchange that is under way.
    pub(super) fn settles_beside_at(&self) -> Option<Instant> {
        let can = !self.exchanges.is_empty() && self.exchanges.len() < self.settings.exchanges;
        (can && !self.outcomes.is_empty()).then(|| self.exchange_began + LONG)
    }

    fn begin_exchange(&mut self, now: Instant, limit: usize) {
        self.exchange_began = now;
        let only = self.claimable_types(now);
        let wanted = Wanted {
            limit,
            token: self.next_token(),
            only,
        };
        let sent = SentExchange {
            at: now,
            outcomes: std::mem::take(&mut self.outcomes),
            wanted,
        };
        self.claiming += limit;
        if limit > 0 {
            self.woken = false;
        }
        let store = Arc::clone(&self.store);
        let shared = Arc::clone(&self.settings.shared);
        let asks = self.asks_for_lost(limit > 0);
        self.exchanges.push(Box::pin(async move {
            let outcomes = sent.outcomes.clone();
            let reply = exchange(&*store, &shared.recovery, outcomes, &sent.wanted, asks).await;
            (sent, reply)
        }));
    }

    pub(super) fn exchanged(&mut self, sent: SentExchange, reply: Result<Brought>) {
        self.claiming -= sent.wanted.limit;
        match reply {
            Ok(Brought {
                exchanged,
                recovery,
            }) => {
                self.backoff.succeed();
                self.failing_since = None;
                if let Some(recovery) = recovery {
                    self.recovered(recovery);
                }
                self.count_settled(&sent.outcomes, &exchanged);
                if sent.wanted.limit > 0 {
                    self.has_claimed = true;
                    self.take_in(exchanged, &sent);
                }
            }
            Err(error) => self.exchange_failed(sent, error),
        }
    }

    fn take_in(&mut self, exchanged: Exchanged, sent: &SentExchange) {
        let found = exchanged.found();
        // A full answer means that there is more, a short one that the rest is not due yet.
        let more = found >= sent.wanted.limit || exchanged.unfinished;
        let now = Instant::now();
        self.heard.looked(found > 0);
        self.next_claim = if more || self.woken {
            now
        } else {
            now + self.settings.poll_interval
        };
        self.found_nothing = found == 0 && !more && !self.woken && !self.waits_for_lost();
        self.batch_left = if more || self.waits_for_lost() {
            self.batch_left.saturating_sub(exchanged.claimed.len())
        } else {
            0
        };
        self.tell_exhausted(exchanged.exhausted);
        self.tell_refusals("claimed", exchanged.refused);
        let claim_sent = exchanged.claim_sent.unwrap_or(sent.at);
        for unreadable in exchanged.unreadable {
            self.held.insert(unreadable.run, claim_sent);
            self.end_unreadable(unreadable);
        }
        if exchanged.in_doubt {
            self.claim_is_lost(sent.wanted.token, sent.at, true);
        }
        if self.waiting.is_empty() {
            self.moved_at = now;
        }
        for job in exchanged.claimed {
            self.held.insert(job.run, claim_sent);
            self.waiting.push_back(job);
        }
        // What waits already may be less urgent than what has come. The sort is stable, and the rest
        // of the order is the claim's.
        self.waiting
            .make_contiguous()
            .sort_by_key(|job| Reverse(job.priority));
        if self.stopping {
            self.stop();
        }
    }

    fn count_settled(&mut self, sent: &[Outcome], exchanged: &Exchanged) {
        let settled: HashSet<_> = exchanged.settled.iter().collect();
        let mut missing = Vec::new();
        for outcome in sent {
            if settled.contains(&outcome.run) {
                self.written(outcome);
            } else {
                missing.push(outcome.clone());
            }
        }
        self.settle_each(missing);
    }

    fn exchange_failed(&mut self, sent: SentExchange, error: Error) {
        if error.leaves_open() && sent.wanted.limit > 0 {
            self.claim_is_lost(sent.wanted.token, sent.at, error.was_refused());
        }
        let mut outcomes = sent.outcomes;
        if error.leaves_open() {
            for outcome in &mut outcomes {
                outcome.sent_before = true;
            }
        }
        if error.may_blame_rows() && !outcomes.is_empty() {
            // One of the outcomes may be at fault, or the claim: each is asked for alone.
            self.settle_each(outcomes);
            if error.suspects_rows() {
                return;
            }
        } else {
            outcomes.append(&mut self.outcomes);
            self.outcomes = outcomes;
        }

        if self.mode != Mode::Background && self.tally.started == 0 && self.held.len() == 0 {
            let now = Instant::now();
            let since = *self.failing_since.get_or_insert(sent.at);
            // What was not answered is tried once more: a claim then finds out whether it is the fault of a job.
            let patience = match error.unanswered {
                true => self.settings.answer_within * 3 / 2,
                false => self.settings.answer_within,
            };
            let waits = (error.was_held_up() || error.unanswered)
                && now - since < patience
                && !self.too_late_to_claim(now);
            if !waits {
                self.report_failure(sent.at, &error);
                self.failure = Some(error);
                return;
            }
        } else if self.mode == Mode::Batch && sent.wanted.limit > 0 {
            // What was claimed is run; what was not is left to the next batch.
            self.batch_left = 0;
        }
        self.store_failed(sent.at, error);
    }

    /// What was to be written is tried again, after a while.
    pub(super) fn store_failed(&mut self, asked_at: Instant, error: Error) {
        let now = Instant::now();
        self.report_failure(asked_at, &error);
        self.last_failure = Some(error.clone());
        self.exchange_after = now + self.backoff.fail();
        let failing_since = *self.failing_since.get_or_insert(asked_at);
        // An engine that is about to end keeps trying to write its last outcomes for as long as
        // their leases can have lasted; in the background there is no reason ever to give up.
        if self.no_more_claims()
            && self.held.len() == 0
            && now - failing_since >= self.settings.lease
        {
            self.outcomes.clear();
            self.unsure.clear();
            self.give_up_each();
            self.failure = Some(error);
        }
    }

    pub(super) fn tell_exhausted(&self, exhausted: Vec<ExhaustedJob>) {
        for job in exhausted {
            self.handlers.report(&Error::new(
                Code::LeaseLost,
                format!(
                    "job {} ({}) has no attempts left and has failed: see its error_history",
                    job.id, job.job_type
                ),
            ));
        }
    }

    pub(super) fn end_unreadable(&mut self, unreadable: crate::job::Unreadable) {
        let state = unreadable.error.sql_state.as_deref().unwrap_or("none");
        let message = format!("Postgres cannot give the payload back (SQLSTATE {state})");
        self.handlers.report(
            &Error::new(
                Code::InvalidPayload,
                format!(
                    "job {} ({}) has failed for good: {message}",
                    unreadable.run.id, unreadable.job_type
                ),
            )
            .with_state_of(&unreadable.error),
        );
        let entry = serde_json::json!({ "name": "Unreadable", "message": message }).to_string();
        self.end(unreadable.run, End::Refused { entry });
    }
}

/// Settles and claims, and now and then brings back the jobs of lost workers: after the claim, which does not
/// wait for it. What was claimed is to be run, whatever becomes of that.
async fn exchange<S: Store>(
    store: &S,
    recovery: &Recovery,
    outcomes: Vec<Outcome>,
    wanted: &Wanted,
    asks: Asks,
) -> Result<Brought> {
    let mut exchanged = store.exchange(outcomes, wanted.clone()).await?;
    let found = exchanged.found();
    let rest = wanted.limit.saturating_sub(found);
    if exchanged.unfinished || !asks.asks(recovery, found > 0, rest > 0) {
        return Ok(Brought {
            exchanged,
            recovery: None,
        });
    }
    let recovery = store.recover().await;
    if let Ok(recovered) = &recovery {
        // They are due now, and claimed by the next exchange.
        exchanged.unfinished |= recovered.pending > 0 && rest > 0;
    }
    Ok(Brought {
        exchanged,
        recovery: Some(recovery),
    })
}
