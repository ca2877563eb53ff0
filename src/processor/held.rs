//! The runs that an engine owns, the ends of their leases, and their time limits.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::job::Run;

/// After what time to try again to extend the lease of a job that a transaction has locked.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// After what time to look again whether a run has begun whose time would be up.
const NOT_BEGUN: Duration = Duration::from_millis(100);

#[derive(Debug)]
struct Holding {
    /// When the lease ends, counted from before the statement that set it was sent: never later than
    /// the database's own idea of it.
    until: Instant,
    /// The run was told that its lease is over. It is no longer extended; if it still ends,
    /// the fence decides.
    over: bool,
    /// An extension is under way.
    extending: bool,
    deadline: Option<Deadline>,
    /// The run was told that its job is to be cancelled, and has time to end until then.
    grace_until: Option<Instant>,
    settlement: Settlement,
    /// The run has ended, and it is not known that its outcome is written. Until that is known, it keeps its job.
    ended: bool,
    /// `onError` was told that its lease cannot be extended.
    refusal_told: bool,
    /// If its job fails for good, a dead letter is added.
    has_dead_letter: bool,
}

/// The side that writes a run's outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    Engine,
    /// The handler, in a transaction of its own, whose end is not known.
    Handler,
}

#[derive(Debug, Clone)]
struct Deadline {
    at: Instant,
    /// The run's time in all.
    limit: Duration,
    /// When the job is tried again if the run does not end in time: see [`crate::job::End::Failed`].
    retry: Option<Arc<str>>,
    /// The place of the run among all that were handed over, from 0.
    place: u64,
}

impl Holding {
    fn extend_at(&self, lease: Duration) -> Option<Instant> {
        (!self.over && !self.extending).then(|| self.until - lease / 2)
    }

    fn check_at(&self) -> Option<Instant> {
        if self.ended {
            return None;
        }
        let lapse = (!self.over).then_some(self.until);
        let deadline = self.deadline.as_ref().map(|deadline| deadline.at);
        [lapse, deadline, self.grace_until]
            .into_iter()
            .flatten()
            .min()
    }
}

/// The runs whose time has run out.
#[derive(Debug, Default)]
pub struct Expired {
    /// Their leases have ended without an extension.
    pub lapsed: Vec<Run>,
    /// Runs that have reached their time limits, and whether they still own their jobs.
    pub timed_out: Vec<TimedOut>,
    /// Runs that were to be cancelled, and have not ended within their grace.
    pub not_cancelled: Vec<Run>,
}

#[derive(Debug)]
pub struct TimedOut {
    pub run: Run,
    pub limit: Duration,
    pub retry: Option<Arc<str>>,
    pub owned: bool,
}

/// Every run that was claimed and whose outcome is not written yet.
///
/// The two instants are never later than the first extension or expiry, so that hundreds of runs are
/// walked only when one of them is due, not at every step of the engine.
#[derive(Debug)]
pub struct Held {
    lease: Duration,
    runs: HashMap<Run, Holding>,
    /// How many of them have not ended.
    live: usize,
    extend_at: Option<Instant>,
    check_at: Option<Instant>,
}

impl Held {
    pub fn new(lease: Duration) -> Self {
        Self {
            lease,
            runs: HashMap::new(),
            live: 0,
            extend_at: None,
            check_at: None,
        }
    }

    /// How many runs have not ended.
    pub fn len(&self) -> usize {
        self.live
    }

    /// The runs that have ended, and whose outcomes are not known to be written.
    pub fn unwritten(&self) -> Vec<Run> {
        let unwritten = self.runs.iter().filter(|(_, holding)| holding.ended);
        unwritten.map(|(run, _)| *run).collect()
    }

    pub fn contains(&self, run: Run) -> bool {
        self.runs.contains_key(&run)
    }

    pub fn is_live(&self, run: Run) -> bool {
        self.runs.get(&run).is_some_and(|holding| !holding.ended)
    }

    pub fn insert(&mut self, run: Run, claim_sent: Instant) {
        let holding = Holding {
            until: claim_sent + self.lease,
            over: false,
            extending: false,
            deadline: None,
            grace_until: None,
            settlement: Settlement::Engine,
            ended: false,
            refusal_told: false,
            has_dead_letter: false,
        };
        if self
            .runs
            .insert(run, holding)
            .is_none_or(|before| before.ended)
        {
            self.live += 1;
        }
        self.change(run, |_| {});
    }

    /// The job of this run leaves a dead letter if it fails for good.
    pub fn note_dead_letter(&mut self, run: Run) {
        if let Some(holding) = self.runs.get_mut(&run) {
            holding.has_dead_letter = true;
        }
    }

    pub fn has_dead_letter(&self, run: Run) -> bool {
        (self.runs.get(&run)).is_some_and(|holding| holding.has_dead_letter)
    }

    /// The run begins, with this time limit, if there is one; `retry` says when the job is tried again if the run
    /// does not end in time.
    pub fn start(
        &mut self,
        run: Run,
        now: Instant,
        limit: Option<Duration>,
        retry: Option<Arc<str>>,
        place: u64,
    ) {
        let deadline = limit.map(|limit| Deadline {
            at: now + limit,
            limit,
            retry,
            place,
        });
        if deadline.is_some() {
            self.change(run, |holding| holding.deadline = deadline);
        }
    }

    /// The run has ended. Returns which side settles it, if it was live until now.
    pub fn end(&mut self, run: Run) -> Option<Settlement> {
        let holding = self.runs.get_mut(&run).filter(|holding| !holding.ended)?;
        holding.ended = true;
        self.live -= 1;
        Some(holding.settlement)
    }

    /// Nothing is left to be written for the run.
    pub fn remove(&mut self, run: Run) {
        if self.runs.remove(&run).is_some_and(|holding| !holding.ended) {
            self.live -= 1;
        }
    }

    /// Forgets the runs that have not ended.
    pub fn abandon_live(&mut self) {
        self.runs.retain(|_, holding| holding.ended);
        self.live = 0;
    }

    /// The handler has begun to settle the run itself.
    pub fn settled_by_handler(&mut self, run: Run) {
        self.change(run, |holding| holding.settlement = Settlement::Handler);
    }

    /// The runs that have not ended.
    pub fn live_runs(&self) -> Vec<Run> {
        let live = self.runs.iter().filter(|(_, holding)| !holding.ended);
        live.map(|(run, _)| *run).collect()
    }

    pub fn live_runs_of(&self, id: i64) -> Vec<Run> {
        let mut runs = self.live_runs();
        runs.retain(|run| run.id == id);
        runs
    }

    /// When a lease is next to be extended: at its half.
    pub fn next_extension(&self) -> Option<Instant> {
        self.extend_at
    }

    /// When to look next for runs that [`Held::expired`] finds.
    pub fn next_check(&self) -> Option<Instant> {
        self.check_at
    }

    /// The runs whose lease is half over, to be extended now. A job that ends before that costs no
    /// write.
    pub fn begin_extending(&mut self, now: Instant) -> Vec<Run> {
        if self.extend_at.is_none_or(|at| at > now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for (run, holding) in &mut self.runs {
            match holding.extend_at(self.lease) {
                Some(at) if at <= now => {
                    holding.extending = true;
                    due.push(*run);
                }
                at => next = earlier(next, at),
            }
        }
        self.extend_at = next;
        due
    }

    pub fn extended(&mut self, run: Run, extension_sent: Instant) {
        let until = extension_sent + self.lease;
        self.change(run, |holding| {
            holding.extending = false;
            holding.until = until;
        });
    }

    /// A transaction has locked the job, so that its lease can neither be extended nor be lost.
    pub fn locked(&mut self, run: Run, now: Instant) {
        let until = now + self.lease / 2 + LOOK_AGAIN.min(self.lease / 4);
        self.change(run, |holding| {
            holding.extending = false;
            holding.until = until;
        });
    }

    pub fn not_extended(&mut self, run: Run) {
        self.change(run, |holding| holding.extending = false);
    }

    /// The same, because Postgres refuses the extension; returns whether to report that: once, while the run goes on.
    pub fn refused(&mut self, run: Run) -> bool {
        let mut first = false;
        self.change(run, |holding| {
            holding.extending = false;
            first = !holding.ended && !std::mem::replace(&mut holding.refusal_told, true);
        });
        first
    }

    /// Moves the end of a run's time to `by` from now, if it has one and that is later.
    pub fn extend_timeout(&mut self, run: Run, now: Instant, by: Duration) {
        self.change(run, |holding| {
            if let Some(deadline) = &mut holding.deadline
                && now + by > deadline.at
            {
                deadline.limit += now + by - deadline.at;
                deadline.at = now + by;
            }
        });
    }

    /// Gives a run until `grace_until` to end; returns whether it is told for the first time, and owns
    /// its job.
    pub fn cancel(&mut self, run: Run, grace_until: Instant) -> bool {
        let mut first = false;
        self.change(run, |holding| {
            first = !holding.over && !holding.ended && holding.grace_until.is_none();
            if first {
                holding.grace_until = Some(grace_until);
            }
        });
        first
    }

    /// The run has begun only now: its time is counted from here.
    pub fn begun_late(&mut self, run: Run, now: Instant) {
        self.change(run, |holding| {
            if let Some(deadline) = &mut holding.deadline {
                deadline.at = now + deadline.limit;
            }
        });
    }

    /// The runs whose time has run out. The caller removes those that timed out or were to be cancelled. The time of
    /// a run counts once it is among the first `begun` that were handed over.
    pub fn expired(&mut self, now: Instant, begun: u64) -> Expired {
        let mut expired = Expired::default();
        if self.check_at.is_none_or(|at| at > now) {
            return expired;
        }
        let mut next: Option<Instant> = None;
        for (run, holding) in self.runs.iter_mut().filter(|(_, holding)| !holding.ended) {
            let (run, owned) = (*run, !holding.over);
            if let Some(deadline) = &mut holding.deadline
                && deadline.at <= now
                && deadline.place >= begun
            {
                deadline.at = now + NOT_BEGUN;
            }
            match &holding.deadline {
                Some(Deadline {
                    at, limit, retry, ..
                }) if *at <= now => {
                    expired.timed_out.push(TimedOut {
                        run,
                        limit: *limit,
                        retry: retry.clone(),
                        owned,
                    });
                }
                _ if owned && holding.until <= now => expired.lapsed.push(run),
                _ if holding.grace_until.is_some_and(|at| at <= now) => {
                    expired.not_cancelled.push(run);
                }
                _ => next = earlier(next, holding.check_at()),
            }
        }
        self.check_at = next;
        expired
    }

    /// Gives a run up for lost; returns whether it was live until now.
    pub fn lose(&mut self, run: Run) -> bool {
        let mut was_live = false;
        self.change(run, |holding| {
            was_live = !std::mem::replace(&mut holding.over, true) && !holding.ended;
            // Its job is no longer this run's to cancel.
            holding.grace_until = None;
        });
        was_live
    }

    fn change(&mut self, run: Run, change: impl FnOnce(&mut Holding)) {
        if let Some(holding) = self.runs.get_mut(&run) {
            change(holding);
            self.extend_at = earlier(self.extend_at, holding.extend_at(self.lease));
            self.check_at = earlier(self.check_at, holding.check_at());
        }
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    [a, b].into_iter().flatten().min()
}
