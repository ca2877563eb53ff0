//! Starting claimed jobs. The last attempt of a job is counted before its handler begins, so that a worker that
//! dies between the claim and that moment does not cost the job its last run; other attempts count with their claims.

use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::deadline::Begun;
use super::{Engine, Mode};
use crate::error::Result;
use crate::job::{ClaimedJob, End, Run};
use crate::processor::{Counted, Handlers, Store};

/// How long a job that was claimed ahead may wait for a slot before it is handed back to other workers.
const LONGEST_WAIT: Duration = Duration::from_secs(1);

/// The jobs that were claimed and have not begun.
pub(super) struct Dispatch {
    /// The jobs that were claimed ahead, in the order in which they will start.
    waiting: VecDeque<ClaimedJob>,
    /// Jobs that have a slot, and whose last attempt is counted before they begin.
    uncounted: Vec<ClaimedJob>,
    /// The jobs whose last attempts are being counted.
    counting: Option<Vec<ClaimedJob>>,
    /// When a job last left `waiting`, or came into it when it was empty.
    moved_at: Instant,
}

impl Dispatch {
    pub fn new(now: Instant) -> Self {
        Self {
            waiting: VecDeque::new(),
            uncounted: Vec::new(),
            counting: None,
            moved_at: now,
        }
    }

    /// Has jobs wait for a slot.
    pub fn take_in(&mut self, jobs: Vec<ClaimedJob>, now: Instant) {
        if self.waiting.is_empty() {
            self.moved_at = now;
        }
        self.waiting.extend(jobs);
        // The waiting jobs may be less urgent than the new ones. The sort is stable, and the rest
        // of the order is the claim's.
        self.waiting
            .make_contiguous()
            .sort_by_key(|job| Reverse(job.priority));
    }

    /// When jobs that were claimed ahead are handed back, because slow jobs take every slot.
    pub fn waited_too_long_at(&self) -> Option<Instant> {
        (!self.waiting.is_empty()).then(|| self.moved_at + LONGEST_WAIT)
    }

    /// The runs whose attempts are being counted. The same statement extends their leases.
    pub fn being_counted(&self) -> Vec<Run> {
        let jobs = self.counting.iter().flatten();
        jobs.map(|job| job.run).collect()
    }

    pub fn is_being_counted(&self, run: Run) -> bool {
        let mut jobs = self.counting.iter().flatten();
        jobs.any(|job| job.run == run)
    }

    /// Forgets a run that had not started; returns whether that was so.
    pub fn forget(&mut self, run: Run) -> bool {
        let before = self.waiting.len() + self.uncounted.len();
        self.waiting.retain(|job| job.run != run);
        self.uncounted.retain(|job| job.run != run);
        self.is_being_counted(run) || self.waiting.len() + self.uncounted.len() < before
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// How many runs have a slot.
    pub(super) fn running(&self) -> usize {
        self.held.len() - self.dispatch.waiting.len()
    }

    fn startable(&self) -> usize {
        let free = self.settings.concurrency.saturating_sub(self.running());
        free.min(self.dispatch.waiting.len())
    }

    pub(super) fn starts_at(&mut self, now: Instant) -> Option<Instant> {
        (self.startable() > 0).then_some(now)
    }

    pub(super) fn start_waiting(&mut self, now: Instant) {
        let count = self.startable();
        self.dispatch.moved_at = now;
        let jobs: Vec<_> = self.dispatch.waiting.drain(..count).collect();
        let (jobs, too_long): (Vec<_>, Vec<_>) =
            jobs.into_iter().partition(|job| self.fits(job, now));
        for job in too_long {
            self.release(job.run);
        }
        let (last, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.uncounted);
        self.dispatch.uncounted.extend(last);
        self.start(jobs, now);
    }

    fn start(&mut self, jobs: Vec<ClaimedJob>, now: Instant) {
        if jobs.is_empty() {
            return;
        }
        self.tally.started += jobs.len() as u64;
        for (place, job) in (self.handlers.handed_over()..).zip(&jobs) {
            if self.deadline().is_some() {
                let begun = Begun::new(job, now, place);
                self.invocation.begun.insert(job.run, begun);
            }
            let of_type = self.settings.of_types.get(&job.job_type);
            let timeout = (job.timeout())
                .or(of_type.and_then(|of_type| of_type.timeout))
                .or(self.settings.default_timeout);
            let retry = of_type.and_then(|of_type| of_type.retry.clone());
            self.held.start(job.run, now, timeout, retry, place);
        }
        self.handlers.run(jobs);
    }

    pub(super) fn counts_at(&mut self, now: Instant) -> Option<Instant> {
        let Dispatch {
            uncounted,
            counting,
            ..
        } = &self.dispatch;
        (!uncounted.is_empty() && counting.is_none()).then_some(now)
    }

    pub(super) fn count(&mut self, now: Instant) {
        let jobs = std::mem::take(&mut self.dispatch.uncounted);
        let runs = jobs.iter().map(|job| job.run).collect();
        self.dispatch.counting = Some(jobs);
        self.ask(
            |store| async move { store.begin(runs).await },
            move |engine, reply| engine.counted(now, reply),
        );
    }

    fn counted(&mut self, asked_at: Instant, reply: Result<Counted>) {
        let mut jobs = self.dispatch.counting.take().unwrap_or_default();
        // Runs that were cancelled or lost meanwhile have ended.
        jobs.retain(|job| self.held.is_live(job.run));
        let counted = match reply {
            Ok(counted) => counted,
            Err(error) => {
                self.report_failure(asked_at, &error);
                self.outage.after = Instant::now() + self.outage.backoff.fail();
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
            self.held.extended(*run, asked_at);
        }
        let begins = |job: &ClaimedJob| !self.ending.stopping && counted.runs.contains(&job.run);
        let (begin, others): (Vec<_>, Vec<_>) = jobs.into_iter().partition(begins);
        // A transaction has locked the job, Postgres refuses the statement, or the job is another run's by now.
        for job in others {
            let reason = reasons.get(&job.run.id).cloned();
            self.end(job.run, End::released(reason));
        }
        self.start(begin, Instant::now());
    }

    /// Hands back the waiting jobs.
    pub(super) fn release_waiting(&mut self) {
        let waiting = std::mem::take(&mut self.dispatch.waiting);
        let uncounted = std::mem::take(&mut self.dispatch.uncounted);
        if self.mode == Mode::Batch {
            self.claims.batch_left += waiting.len();
        }
        for job in waiting.into_iter().chain(uncounted) {
            self.release(job.run);
        }
    }

    /// Hands back a run that has not begun.
    pub(super) fn release(&mut self, run: Run) {
        self.end(run, End::released(None));
    }
}
