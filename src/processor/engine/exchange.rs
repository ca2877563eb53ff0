//! Settling what has ended and claiming what is due, in one round trip.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::sync::Arc;

use tokio::time::Instant;

use super::{Engine, Mode};
use crate::error::{Code, Error, Result};
use crate::processor::{End, Exchanged, Handlers, Outcome, Recovery, Run, Store};

/// What an exchange was sent with, to be taken up again if it fails.
pub(super) struct SentExchange {
    at: Instant,
    outcomes: Vec<Outcome>,
    limit: usize,
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// How many jobs to ask for, if an exchange begins now.
    pub(super) fn claim_limit(&mut self, now: Instant) -> usize {
        if self.stopping {
            return 0;
        }
        match self.mode {
            Mode::Batch => self.batch_left,
            Mode::UntilEmpty { .. } if self.too_late_to_claim(now) => 0,
            Mode::Background | Mode::UntilEmpty { .. } => {
                let ahead = self.pace.ahead(now).min(2 * self.settings.batch_size);
                let wanted = self.settings.concurrency + ahead;
                let coming = self.held.len() + self.claiming;
                wanted.saturating_sub(coming).min(self.settings.batch_size)
            }
        }
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
            // What comes up during a round trip travels with the next, unless it fills one.
            let enough = if self.exchanges.is_empty() {
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

    fn begin_exchange(&mut self, now: Instant, limit: usize) {
        let sent = SentExchange {
            at: now,
            outcomes: std::mem::take(&mut self.outcomes),
            limit,
        };
        self.claiming += limit;
        if limit > 0 {
            self.woken = false;
            // The answer will say what is left of the batch.
            self.batch_left = 0;
        }
        let store = Arc::clone(&self.store);
        let recovery = Arc::clone(&self.settings.recovery);
        let only = self.claimable_types(now);
        let ends = self.mode != Mode::Background;
        self.exchanges.push(Box::pin(async move {
            let outcomes = sent.outcomes.clone();
            let reply = exchange(&*store, &recovery, outcomes, limit, only, ends).await;
            (sent, reply)
        }));
    }

    pub(super) fn exchanged(&mut self, sent: SentExchange, reply: Result<Exchanged>) {
        self.claiming -= sent.limit;
        match reply {
            Ok(exchanged) => {
                self.backoff.succeed();
                self.failing_since = None;
                self.count_settled(&sent.outcomes, &exchanged.settled);
                if sent.limit > 0 {
                    self.take_in(exchanged, &sent);
                }
            }
            Err(error) => self.exchange_failed(sent, error),
        }
    }

    fn take_in(&mut self, exchanged: Exchanged, sent: &SentExchange) {
        let found = exchanged.claimed.len() + exchanged.lost.len();
        // A full answer means that there is more, a short one that the rest is not due yet.
        let full = found >= sent.limit;
        let now = Instant::now();
        self.next_claim = if full || self.woken {
            now
        } else {
            now + self.settings.poll_interval
        };
        self.found_nothing = found == 0 && !self.woken;
        self.batch_left = if full {
            sent.limit - exchanged.claimed.len()
        } else {
            0
        };
        for job in exchanged.lost {
            self.handlers.report(&Error::new(
                Code::LeaseLost,
                format!(
                    "job {} ({}) has no attempts left and has failed: see its error_history",
                    job.id, job.job_type
                ),
            ));
        }
        if self.waiting.is_empty() {
            self.moved_at = now;
        }
        for job in exchanged.claimed {
            self.held.insert(job.run, sent.at);
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

    fn count_settled(&mut self, sent: &[Outcome], settled: &[Run]) {
        let settled: HashSet<_> = settled.iter().collect();
        for outcome in sent {
            if settled.contains(&outcome.run) {
                self.tally.count(&outcome.end);
            } else if outcome.end != End::Released {
                self.report_refusal(outcome.run);
            }
        }
    }

    pub(super) fn report_refusal(&self, run: Run) {
        self.handlers.report(&Error::new(
            Code::LeaseLost,
            format!(
                "the outcome of job {} was refused: the run had lost its lease",
                run.id
            ),
        ));
    }

    fn exchange_failed(&mut self, sent: SentExchange, error: Error) {
        let mut outcomes = sent.outcomes;
        if error.blames_data() {
            // Only the error entries are free text. One that this database cannot hold must not
            // keep its neighbours from being settled.
            outcomes.iter_mut().for_each(Outcome::simplify);
        }
        for outcome in &mut outcomes {
            outcome.sent_before = true;
        }
        outcomes.append(&mut self.outcomes);
        self.outcomes = outcomes;

        if self.mode != Mode::Background {
            // What was claimed is run; what was not is left to the next batch.
            self.batch_left = 0;
            if self.tally.started == 0 && self.held.len() == 0 {
                self.report_failure(&error);
                self.failure = Some(error);
                return;
            }
        }
        self.store_failed(sent.at, error);
    }

    /// What was to be written is tried again, after a while.
    pub(super) fn store_failed(&mut self, asked_at: Instant, error: Error) {
        let now = Instant::now();
        self.report_failure(&error);
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
            self.failure = Some(error);
        }
    }
}

/// Settles and claims, and now and then brings back the jobs of lost workers: after the claim, which does not
/// wait for it. An engine that `ends` when nothing more is due always does before it is told so.
async fn exchange<S: Store>(
    store: &S,
    recovery: &Recovery,
    outcomes: Vec<Outcome>,
    limit: usize,
    only: Option<Vec<String>>,
    ends: bool,
) -> Result<Exchanged> {
    let mut exchanged = store.exchange(outcomes, limit, only.clone()).await?;
    let found = exchanged.claimed.len() + exchanged.lost.len();
    let rest = limit.saturating_sub(found);
    // What only settles does not ask, and must not take the turn of what does.
    let due = || recovery.is_due(Instant::now(), found > 0) || (ends && rest > 0);
    if limit == 0 || !due() {
        return Ok(exchanged);
    }
    // What was claimed is to be run, whatever becomes of this; what is wrong, the next exchange will say.
    let Ok(recovered) = store.recover().await else {
        return Ok(exchanged);
    };
    exchanged.lost.extend(recovered.lost);
    if recovered.pending > 0
        && rest > 0
        && let Ok(more) = store.exchange(Vec::new(), rest, only).await
    {
        exchanged.claimed.extend(more.claimed);
        exchanged.lost.extend(more.lost);
    }
    Ok(exchanged)
}
