//! Starting what was claimed. The last attempt of a job is counted before its handler begins, so that a worker that
//! dies between the claim and that moment costs no job the run that it was granted; the others with their claim.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::Engine;
use super::deadline::Begun;
use crate::error::Result;
use crate::job::{ClaimedJob, End, Run};
use crate::processor::{Counted, Handlers, Store};

/// What a count was sent with.
pub(super) struct SentCount {
    at: Instant,
    pub(super) jobs: Vec<ClaimedJob>,
}

impl<S: Store, H: Handlers> Engine<S, H> {
    pub(super) fn start_waiting(&mut self) {
        let free = self.settings.concurrency.saturating_sub(self.running());
        let count = free.min(self.waiting.len());
        if count == 0 {
            return;
        }
        let now = Instant::now();
        self.moved_at = now;
        let jobs: Vec<_> = self.waiting.drain(..count).collect();
        let (jobs, too_long): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| self.fits(job, now));
        for job in too_long {
            self.release(job.run);
        }
        let (last, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.uncounted);
        self.uncounted.extend(last);
        self.start(jobs, now);
    }

    fn start(&mut self, jobs: Vec<ClaimedJob>, now: Instant) {
        if jobs.is_empty() {
            return;
        }
        self.tally.started += jobs.len() as u64;
        for job in &jobs {
            if self.deadline().is_some() {
                self.begun.insert(job.run, Begun::new(job, now));
            }
            let timeout = job.timeout.or(self.settings.default_timeout);
            self.held.start(job.run, now, timeout);
        }
        self.handlers.run(jobs);
    }

    pub(super) fn begin_counting(&mut self) {
        if self.uncounted.is_empty() || self.counting.is_some() {
            return;
        }
        let jobs = std::mem::take(&mut self.uncounted);
        let runs = jobs.iter().map(|job| job.run).collect();
        let store = Arc::clone(&self.store);
        let reply = Box::pin(async move { store.begin(runs).await });
        let at = Instant::now();
        self.counting = Some((SentCount { at, jobs }, reply));
    }

    /// Whether the attempt of this run is being counted. Its lease is moved with that.
    pub(super) fn is_being_counted(&self, run: Run) -> bool {
        let sent = self.counting.as_ref();
        sent.is_some_and(|(sent, _)| sent.jobs.iter().any(|job| job.run == run))
    }

    pub(super) fn counted(&mut self, reply: Result<Counted>) {
        let Some((SentCount { at, mut jobs }, _)) = self.counting.take() else {
            return;
        };
        // What was cancelled or lost meanwhile has ended.
        jobs.retain(|job| self.held.is_live(job.run));
        let counted = match reply {
            Ok(counted) => counted,
            Err(error) => {
                self.report_failure(at, &error);
                self.exchange_after = Instant::now() + self.backoff.fail();
                Counted::default()
            }
        };
        let reasons: HashMap<_, _> = (counted.refused.iter())
            .map(|it| (it.id, it.error.refuses_to_let_be("begun")))
            .collect();
        let mut untold = counted.refused;
        untold.retain(|it| !counted.refused_before.contains(&it.id));
        self.tell_refusals("begun", untold);
        for run in &counted.runs {
            self.held.extended(*run, at);
        }
        let begins = |job: &ClaimedJob| !self.stopping && counted.runs.contains(&job.run);
        let (begin, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(begins);
        // Some transaction has locked the job, Postgres refuses, or the job is another's by now.
        for job in others {
            let reason = reasons.get(&job.run.id).cloned();
            self.end(job.run, End::released(reason));
        }
        self.start(begin, Instant::now());
    }
}
