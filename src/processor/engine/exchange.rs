//! Settling ended runs and claiming due jobs, in one round trip.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::recover::Asks;
use super::{Engine, Mode};
use crate::error::{Code, Error, Result};
use crate::job::{ClaimedJob, End, ExhaustedJob, Outcome, in_line};
use crate::processor::heard::Heard;
use crate::processor::recovery::Recovery;
use crate::processor::{Exchanged, Handlers, Recovered, Store, Wanted};

/// Runs that end during an exchange that takes longer than this do not wait for it.
const LONG: Duration = Duration::from_millis(250);

/// The outcomes and claim of an exchange, to be taken up again if it fails.
struct SentExchange {
    at: Instant,
    outcomes: Vec<Outcome>,
    wanted: Wanted,
}

/// The answer to an exchange, and to a recovery, if there was one.
struct Brought {
    exchanged: Exchanged,
    recovery: Option<Result<Recovered>>,
}

pub(super) struct Exchanges {
    pub under_way: usize,
    /// When the last exchange began.
    began: Instant,
}

impl Exchanges {
    pub fn new(now: Instant) -> Self {
        Self {
            under_way: 0,
            began: now,
        }
    }
}

/// Looking for jobs.
pub(super) struct Claims {
    /// The token of the last claim.
    token: i64,
    /// How many jobs the exchange under way that claims may bring.
    coming: usize,
    /// When to look, if a slot is free.
    pub next: Instant,
    pub heard: Heard,
    /// Jobs may have become due after the claims under way have looked.
    pub woken: bool,
    /// How many jobs of the batch are still to be claimed.
    pub batch_left: usize,
    /// The last look found nothing due. See [`Mode::UntilEmpty`].
    pub found_nothing: bool,
    /// At least one claim was answered.
    pub answered: bool,
}

impl Claims {
    pub fn new(now: Instant, batch_size: usize) -> Self {
        Self {
            token: first_token(),
            coming: 0,
            next: now,
            heard: Heard::new(now),
            woken: false,
            batch_left: batch_size,
            found_nothing: false,
            answered: false,
        }
    }

    fn next_token(&mut self) -> i64 {
        self.token = self.token.checked_add(1).unwrap_or(1);
        self.token
    }
}

/// The number at which an engine begins to count its claims: above 0, and different in each engine.
fn first_token() -> i64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0u8) >> 2;
    i64::try_from(bits).unwrap_or(0).max(1)
}

impl<S: Store, H: Handlers> Engine<S, H> {
    fn claim_limit(&mut self, now: Instant) -> usize {
        if self.ending.stopping || self.ending.failure.is_some() {
            return 0;
        }
        if self.deadline().is_some() && self.too_late_to_claim(now) {
            return 0;
        }
        let ahead = self.pace.ahead(now).min(2 * self.settings.batch_size);
        let wanted = self.settings.concurrency + ahead;
        let coming = self.held.len() + self.claims.coming;
        let most = match self.mode {
            Mode::Batch => self.claims.batch_left,
            Mode::Background | Mode::UntilEmpty { .. } => self.settings.batch_size,
        };
        wanted.saturating_sub(coming).min(most)
    }

    pub(super) fn exchanges_at(&mut self, now: Instant) -> Option<Instant> {
        if self.exchanges.under_way >= self.settings.exchanges {
            return None;
        }
        let claimable = self.claimable(now);
        let outcomes = self.travelling(now);
        let at = if self.exchanges.under_way == 0 {
            let claim = (claimable > 0).then_some(self.claims.next);
            let settle = (outcomes > 0).then_some(now);
            [claim, settle].into_iter().flatten().min()
        } else if outcomes + self.due(claimable, now) >= self.settings.batch_size {
            Some(now)
        } else {
            // Runs that end during a round trip travel with the next, unless they fill one, or the round trip takes
            // long.
            (outcomes > 0).then(|| self.exchanges.began + LONG)
        };
        at.map(|at| at.max(self.outage.after))
    }

    pub(super) fn begin_exchanges(&mut self, now: Instant) {
        while self.exchanges_at(now).is_some_and(|at| at <= now) {
            let claimable = self.claimable(now);
            // A round trip that settles may as well claim.
            let limit = if self.travelling(now) == 0 {
                self.due(claimable, now)
            } else {
                claimable
            };
            self.begin_exchange(now, limit);
        }
    }

    /// How many outcomes the next exchange takes along.
    fn travelling(&self, now: Instant) -> usize {
        if self.each.expects_slow(now) {
            0
        } else {
            self.outcomes.len()
        }
    }

    /// How many jobs to ask for, if an exchange begins now. One at a time claims: a second claim would pass over the
    /// jobs of the first, which takes both of them longer than it saves.
    fn claimable(&mut self, now: Instant) -> usize {
        if self.claims.coming == 0 {
            self.claim_limit(now)
        } else {
            0
        }
    }

    /// The same, if there is nothing to settle.
    fn due(&self, claimable: usize, now: Instant) -> usize {
        if self.claims.next <= now {
            claimable
        } else {
            0
        }
    }

    fn begin_exchange(&mut self, now: Instant, limit: usize) {
        self.exchanges.began = now;
        let only = self.claimable_types(now);
        let wanted = Wanted {
            limit,
            token: self.claims.next_token(),
            only,
        };
        let travelling = self.travelling(now);
        let sent = SentExchange {
            at: now,
            outcomes: self.outcomes.drain(..travelling).collect(),
            wanted,
        };
        self.claims.coming += limit;
        if limit > 0 {
            self.claims.woken = false;
        }
        let shared = Arc::clone(&self.settings.shared);
        let asks = self.asks_for_lost(limit > 0);
        self.exchanges.under_way += 1;
        self.ask(
            |store| async move {
                let outcomes = sent.outcomes.clone();
                let reply = exchange(&*store, &shared.recovery, outcomes, &sent.wanted, asks).await;
                (sent, reply)
            },
            |engine, (sent, reply)| engine.exchanged(sent, reply),
        );
    }

    fn exchanged(&mut self, sent: SentExchange, reply: Result<Brought>) {
        self.exchanges.under_way -= 1;
        self.claims.coming -= sent.wanted.limit;
        match reply {
            Ok(Brought {
                mut exchanged,
                recovery,
            }) => {
                self.outage.backoff.succeed();
                self.outage.since = None;
                if let Some(recovery) = recovery {
                    self.recovered(recovery);
                }
                self.count_settled(&sent.outcomes, &exchanged);
                let claim_failed = exchanged.claim_failed.take();
                if sent.wanted.limit > 0 && (claim_failed.is_none() || exchanged.found() > 0) {
                    self.claims.answered = true;
                    self.take_in(exchanged, &sent);
                }
                if let Some(error) = claim_failed {
                    let outcomes = Vec::new();
                    self.exchange_failed(SentExchange { outcomes, ..sent }, error);
                }
            }
            Err(error) => self.exchange_failed(sent, error),
        }
    }

    fn take_in(&mut self, exchanged: Exchanged, sent: &SentExchange) {
        let found = exchanged.found();
        // A full answer means that more jobs are due, a short one that the rest is not due yet.
        let more = found >= sent.wanted.limit || exchanged.unfinished;
        let now = Instant::now();
        self.claims.heard.looked(found > 0);
        self.claims.next = if more || self.claims.woken {
            now
        } else {
            now + self.settings.poll_interval
        };
        self.claims.found_nothing =
            found == 0 && !more && !self.claims.woken && !self.waits_for_lost();
        self.claims.batch_left = if more || self.waits_for_lost() {
            self.claims
                .batch_left
                .saturating_sub(exchanged.claimed.len())
        } else {
            0
        };
        self.tell_exhausted(exchanged.exhausted);
        self.tell_refusals("claimed", exchanged.refused);
        let claim_sent = exchanged.claim_sent.unwrap_or(sent.at);
        for unreadable in exchanged.unreadable {
            self.held.insert(unreadable.run, claim_sent);
            if unreadable.has_dead_letter {
                self.held.note_dead_letter(unreadable.run);
            }
            self.end_unreadable(unreadable);
        }
        if exchanged.in_doubt {
            self.claim_is_lost(sent.wanted.token, sent.at, true);
        }
        for job in &exchanged.claimed {
            self.held.insert(job.run, claim_sent);
            if job.has_dead_letter {
                self.held.note_dead_letter(job.run);
            }
        }
        let claimed = self.end_exhausted(exchanged.claimed);
        let claimed = self.leave_unknown(claimed, now);
        self.dispatch.take_in(claimed, now);
        if self.ending.stopping {
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
            if error.suspects_rows() && !error.fatal {
                return;
            }
        } else {
            outcomes.append(&mut self.outcomes);
            self.outcomes = outcomes;
        }

        if self.mode != Mode::Background && self.tally.started == 0 && self.held.len() == 0 {
            let now = Instant::now();
            let since = *self.outage.since.get_or_insert(sent.at);
            // An unanswered claim is tried once more: it then finds out whether a job is at fault.
            let patience = match error.unanswered {
                true => self.settings.answer_within * 3 / 2,
                false => self.settings.answer_within,
            };
            let waits = (error.was_held_up() || error.unanswered)
                && now - since < patience
                && !self.too_late_to_claim(now);
            if !waits {
                self.report_failure(sent.at, &error);
                self.ending.failure = Some(error);
                return;
            }
        } else if self.mode == Mode::Batch && sent.wanted.limit > 0 {
            // The claimed jobs are run; the others are left to the next batch.
            self.claims.batch_left = 0;
        }
        self.store_failed(sent.at, error);
    }

    /// Ends those of the claimed jobs that have no attempts left, and returns the others. Most end with the claim
    /// itself; these leave a dead letter.
    fn end_exhausted(&mut self, claimed: Vec<ClaimedJob>) -> Vec<ClaimedJob> {
        if !claimed.iter().any(ClaimedJob::is_exhausted) {
            return claimed;
        }
        let (exhausted, claimed): (Vec<_>, Vec<_>) =
            claimed.into_iter().partition(ClaimedJob::is_exhausted);
        if self.mode == Mode::Batch {
            // Others take their places.
            self.claims.batch_left += exhausted.len();
        }
        for job in exhausted {
            let message = format!("No attempts left: all {} were made", job.max_attempts);
            let entry = serde_json::json!({ "name": "NoAttemptsLeft", "message": message });
            let end = End::Failed {
                entry: entry.to_string(),
                pending_reason: None,
                retry: None,
                reason: None,
            };
            self.end(job.run, end);
            let (id, job_type) = (job.run.id, job.job_type);
            self.tell_exhausted(vec![ExhaustedJob { id, job_type }]);
        }
        claimed
    }

    pub(super) fn tell_exhausted(&self, exhausted: Vec<ExhaustedJob>) {
        for job in exhausted {
            self.handlers.report(&Error::new(
                Code::LeaseLost,
                format!(
                    "job {} ({}) has no attempts left and has failed: see its error_history",
                    job.id,
                    in_line(&job.job_type)
                ),
            ));
        }
    }

    fn end_unreadable(&mut self, unreadable: crate::job::Unreadable) {
        let state = unreadable.error.sql_state.as_deref().unwrap_or("none");
        let message = format!("Postgres cannot return the payload (SQLSTATE {state})");
        self.handlers.report(
            &Error::new(
                Code::InvalidPayload,
                format!(
                    "job {} ({}) has failed for good: {message}",
                    unreadable.run.id,
                    in_line(&unreadable.job_type)
                ),
            )
            .with_state_of(&unreadable.error),
        );
        let entry = serde_json::json!({ "name": "Unreadable", "message": message }).to_string();
        self.end(unreadable.run, End::Refused { entry });
    }
}

/// Settles and claims, and now and then brings back the jobs of lost workers: after the claim, which does not
/// wait for it. The claimed jobs are run, even if the recovery fails.
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
    if exchanged.unfinished
        || exchanged.claim_failed.is_some()
        || !asks.asks(recovery, found > 0, rest > 0)
    {
        return Ok(Brought {
            exchanged,
            recovery: None,
        });
    }
    let recovery = store.recover().await;
    if let Ok(recovered) = &recovery {
        // They are due now, and the next exchange claims them.
        exchanged.unfinished |= recovered.pending > 0 && rest > 0;
    }
    Ok(Brought {
        exchanged,
        recovery: Some(recovery),
    })
}
