//! How an engine ends.

use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, Mode};
use crate::error::{Code, Error, Result};
use crate::job::{End, Run, names};
use crate::processor::{Handlers, Store, Tally};

/// How long an engine that was told to hand back tries to write that to the database.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a job has failed in place of being handed back.
const LAST_ATTEMPT: &str =
    "the job has failed, because its processor has reached its deadline during the last attempt";

/// Why a run is handed back.
pub(super) const STOPPED: &str =
    "the job was handed back, because its processor was stopped before the run ended";

#[derive(Default)]
pub(super) struct Ending {
    /// No more jobs are claimed.
    pub stopping: bool,
    /// End by then, even with unsettled outcomes.
    pub give_up_at: Option<Instant>,
    /// The error that ended it early.
    pub failure: Option<Error>,
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// Claims no more, and gives back the jobs that were claimed but not started.
    pub(super) fn stop(&mut self) {
        self.ending.stopping = true;
        self.release_waiting();
    }

    /// Stops, and gives back the running jobs.
    pub(super) fn hand_back(&mut self, code: Code, why: &str) {
        self.stop();
        let last_words = match self.mode {
            Mode::UntilEmpty { last_words, .. } => last_words.min(LAST_WORDS),
            Mode::Batch | Mode::Background => LAST_WORDS,
        };
        (self.ending.give_up_at).get_or_insert(Instant::now() + last_words);
        let reason = Error::new(code, why);
        for run in self.held.live_runs() {
            let end = self.handed_back(run);
            let failed = matches!(end, End::Failed { .. });
            let last = failed.then(|| Error::new(code, LAST_ATTEMPT));
            self.handlers
                .abort(run, last.as_ref().unwrap_or(&reason), failed);
            self.end(run, end);
        }
        if self.deadline().is_some() {
            // There is no time to find out by an exchange whether one of them is slow.
            let outcomes = std::mem::take(&mut self.outcomes);
            self.settle_each(outcomes);
        }
    }

    /// The JavaScript environment has ended while handlers ran. A job that had started keeps its
    /// lease until that ends by itself, so that the attempt is counted: a job that kills its process
    /// must not be tried for ever.
    pub(super) fn abandon(&mut self) {
        self.stop();
        (self.ending.give_up_at).get_or_insert(Instant::now() + LAST_WORDS);
        for run in self.dispatch.being_counted() {
            self.release(run);
        }
        self.held.abandon_live();
    }

    pub(super) fn no_more_claims(&self) -> bool {
        self.ending.stopping
            || self.ending.failure.is_some()
            || match self.mode {
                Mode::Batch => self.claims.batch_left == 0,
                Mode::Background => false,
                Mode::UntilEmpty { .. } => {
                    self.claims.found_nothing || self.too_late_to_claim(Instant::now())
                }
            }
    }

    /// Whether nothing is left but outcomes that are settled one by one.
    pub(super) fn is_done_but_for_each(&self) -> bool {
        self.no_more_claims()
            && self.held.len() == 0
            && self.outcomes.is_empty()
            && self.unsure.is_empty()
            && self.exchanges.under_way == 0
            && self.lost_claims.is_empty()
            && !self.waits_for_lost()
    }

    pub(super) fn finished(&self) -> bool {
        (self.is_done_but_for_each() && self.each.is_empty())
            || (self.ending.give_up_at).is_some_and(|at| at <= Instant::now())
    }

    pub(super) fn result(self) -> Result<Tally> {
        let unwritten = self.held.unwritten();
        let has_deadline = self.deadline().is_some();
        let never_claimed = self.mode != Mode::Background && self.tally.started == 0;
        let fails = self.outage.since.is_some();
        let unanswered = has_deadline && !self.claims.answered;
        let last_failure = self.outage.last.filter(|_| fails && never_claimed);
        match self.ending.failure.or(last_failure) {
            Some(error) => Err(error),
            None if unanswered => Err(Error::new(
                Code::Deadline,
                "Postgres did not answer a claim before the deadline",
            )),
            None if unwritten.is_empty() => Ok(self.tally),
            None => {
                let error = not_written(&unwritten, fails);
                if fails {
                    return Err(error);
                }
                self.handlers.report(&error);
                Ok(self.tally)
            }
        }
    }
}

/// The engine ended before it could write the outcomes of these runs.
fn not_written(runs: &[Run], unreachable: bool) -> Error {
    let jobs = names(runs.iter().map(|run| run.id).collect());
    let (code, why) = if unreachable {
        (Code::ConnectionFailed, "the database did not answer")
    } else {
        (
            Code::DatabaseError,
            "Postgres refuses them or is slow, or other transactions have locked the jobs",
        )
    };
    Error::new(
        code,
        format!(
            "the outcomes of {jobs} could not be written in time: {why}. A job whose outcome was not written runs \
             again when its lease has ended"
        ),
    )
}
