//! Outcomes that could not be written together with others: each is settled by itself. If a transaction has locked
//! the job, the outcome is tried again until that transaction ends. If Postgres refuses the outcome, it is tried
//! again at growing intervals while the engine lives, and the job is kept under its lease. So none holds up another.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::{Engine, Mode};
use crate::error::{Code, Error, Result};
use crate::job::{End, Outcome, Refusal, Run, names};
use crate::parts::apart;
use crate::processor::{Fate, Handlers, SettledEach, Store};

/// The time before the next try to settle a job that a transaction has locked.
const LOCKED: Duration = Duration::from_secs(1);
/// The time before the next try to write an outcome that was refused once; doubled after each further refusal.
const REFUSED: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// The same, where something else than the job has to come back: another server, a disk.
const LONGEST_ELSEWHERE: Duration = Duration::from_secs(15);
/// How long after an outcome that was slow to write more of them are expected. Until then none travels with a claim,
/// which they would all have to wait for.
const SLOW: Duration = Duration::from_secs(10);
/// How often an outcome is tried together with its dead letter, before it is tried without.
const TRIES_TO_BURY: u32 = 3;
/// How long a refusal waits for others to be told with.
const LONGEST_UNTOLD: Duration = Duration::from_secs(2);

/// An outcome that is tried again later.
struct Later {
    outcome: Outcome,
    at: Instant,
    tried: Tried,
}

/// The tries to write an outcome.
struct Tried {
    /// When it was tried first.
    since: Instant,
    /// The last refusal, and how many there were; `None` if the job is locked.
    refused: Option<(Error, u32)>,
}

/// The outcomes that are settled one by one.
#[derive(Default)]
pub(super) struct Each {
    /// Parts of outcomes that were refused together, to be tried next.
    parts: VecDeque<Vec<Outcome>>,
    /// Outcomes that may leave dead letters: the statement of an exchange adds none.
    burying: Vec<Outcome>,
    later: Vec<Later>,
    under_way: bool,
    slow_until: Option<Instant>,
    /// Refusals that are to be reported together: when all were tried, or after a while.
    untold: Vec<Refusal>,
    untold_since: Option<Instant>,
    kept: Vec<Refusal>,
    due_as_failed: Vec<Refusal>,
    /// The jobs whose dead letters could not be added.
    unburied: Vec<Refusal>,
    /// The jobs of which nothing can be written.
    lost: Vec<Refusal>,
    /// The earlier tries of the outcomes that are being tried again.
    tried: HashMap<Run, Tried>,
}

impl Each {
    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty() && self.burying.is_empty() && self.later.is_empty() && !self.under_way
    }

    /// Has an outcome settled that may leave a dead letter, together with others like it.
    pub(super) fn bury(&mut self, outcome: Outcome) {
        self.burying.push(outcome);
    }

    /// Whether outcomes are settled by themselves from the first, since one of them may be slow.
    pub(super) fn expects_slow(&self, now: Instant) -> bool {
        self.slow_until.is_some_and(|until| now < until)
    }

    /// How often the outcome of a run was refused.
    fn refusals(&self, run: Run) -> u32 {
        let tried = self.tried.get(&run);
        (tried.and_then(|tried| tried.refused.as_ref())).map_or(0, |(_, count)| *count)
    }

    fn has_untold(&self) -> bool {
        [
            &self.untold,
            &self.kept,
            &self.due_as_failed,
            &self.unburied,
            &self.lost,
        ]
        .into_iter()
        .any(|refusals| !refusals.is_empty())
    }
}

impl Later {
    /// Whether to write another outcome instead, or none, when the engine has nothing else left to do.
    fn is_concluded_last(&self) -> bool {
        let Some((error, _)) = &self.tried.refused else {
            return false;
        };
        self.outcome.may_bury()
            || !error.may_pass() && !matches!(self.outcome.end, End::Refused { .. })
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// Has outcomes settled by themselves, ahead of those that were refused before.
    pub(super) fn settle_each(&mut self, outcomes: Vec<Outcome>) {
        if !outcomes.is_empty() {
            self.each.parts.push_front(outcomes);
        }
    }

    pub(super) fn settles_each_at(&mut self, now: Instant) -> Option<Instant> {
        let each = &self.each;
        if each.under_way {
            return None;
        }
        let at_once = !each.parts.is_empty()
            || !each.burying.is_empty()
            || (each.expects_slow(now) && !self.outcomes.is_empty())
            || each.has_untold()
            || (each.later.iter().any(Later::is_concluded_last) && self.is_done_but_for_each());
        let at = if at_once {
            Some(now)
        } else {
            each.later.iter().map(|later| later.at).min()
        };
        at.map(|at| at.max(self.outage.after))
    }

    pub(super) fn begin_settling_each(&mut self, now: Instant) {
        if (self.each.untold_since).is_some_and(|since| now - since >= LONGEST_UNTOLD) {
            self.tell_of_each();
        }
        if self.each.expects_slow(now) {
            let outcomes = std::mem::take(&mut self.outcomes);
            self.settle_each(outcomes);
        }
        let burying = std::mem::take(&mut self.each.burying);
        self.settle_each(burying);
        self.take_up_again(now);
        let Some(part) = self.each.parts.pop_front() else {
            self.tell_of_each();
            return;
        };
        let outcomes = part.clone();
        // An outcome that was refused before is tried alone, and may take longer each time.
        let refusals = match &part[..] {
            [outcome] => self.each.refusals(outcome.run),
            _ => 0,
        };
        self.each.under_way = true;
        self.ask(
            move |store| async move { store.settle_each(outcomes, refusals).await },
            |engine, reply| engine.settled_each(part, reply),
        );
    }

    /// What is locked is asked for together, what was refused alone. Where nothing else is left to do, a run that was
    /// refused has failed; what may pass is like what is locked; and what was to be handed back comes back when
    /// its lease ends.
    fn take_up_again(&mut self, now: Instant) {
        if self.each.parts.is_empty() && self.is_done_but_for_each() {
            let mut left_to_lease = Vec::new();
            for later in &mut self.each.later {
                match (&later.tried.refused, &later.outcome.end) {
                    (Some((error, _)), _) if later.outcome.may_bury() => {
                        let (id, error) = (later.outcome.run.id, error.clone());
                        self.each.unburied.push(Refusal { id, error });
                        later.outcome.has_dead_letter = false;
                        later.at = now;
                    }
                    (Some((error, _)), _) if error.may_pass() => {}
                    (Some((error, _)), End::Released { .. } | End::Snoozed { .. }) => {
                        left_to_lease.push((later.outcome.run, error.clone()));
                    }
                    (Some(_), End::Refused { .. }) | (None, _) => {}
                    (Some((error, _)), _) => {
                        later.outcome = later.outcome.refused(error);
                        later.at = now;
                    }
                }
            }
            for (run, error) in left_to_lease {
                (self.each.later).retain(|later| later.outcome.run != run);
                self.held.remove(run);
                self.each.lost.push(Refusal { id: run.id, error });
            }
        }
        let all = std::mem::take(&mut self.each.later);
        let (due, later): (Vec<_>, Vec<_>) = all.into_iter().partition(|later| later.at <= now);
        self.each.later = later;
        let mut locked = Vec::new();
        for Later { outcome, tried, .. } in due {
            let was_refused = tried.refused.is_some();
            self.each.tried.insert(outcome.run, tried);
            if was_refused {
                self.each.parts.push_back(vec![outcome]);
            } else {
                locked.push(outcome);
            }
        }
        self.settle_each(locked);
    }

    fn settled_each(&mut self, mut part: Vec<Outcome>, reply: Result<SettledEach>) {
        self.each.under_way = false;
        match reply {
            Ok(SettledEach::Fates(fates)) => {
                self.outage.backoff.succeed();
                for (run, fate) in fates {
                    let position = part.iter().position(|outcome| outcome.run == run);
                    if let Some(outcome) = position.map(|at| part.swap_remove(at)) {
                        self.meets(outcome, fate);
                    }
                }
                self.settle_each(part);
            }
            Ok(SettledEach::Refused(error)) => {
                self.outage.backoff.succeed();
                if error.leaves_open() {
                    for outcome in &mut part {
                        outcome.sent_before = true;
                    }
                }
                if error.was_held_up() {
                    self.each.slow_until = Some(Instant::now() + SLOW);
                }
                if part.len() > 1 {
                    for part in apart(part, &error).into_iter().rev() {
                        self.each.parts.push_front(part);
                    }
                } else if let Some(outcome) = part.pop() {
                    self.is_refused(outcome, error);
                }
            }
            Err(error) => {
                if error.leaves_open() {
                    for outcome in &mut part {
                        outcome.sent_before = true;
                    }
                }
                self.each.parts.push_front(part);
                self.store_failed(Instant::now(), error);
            }
        }
    }

    fn meets(&mut self, outcome: Outcome, fate: Fate) {
        match fate {
            Fate::Written => {
                self.each.tried.remove(&outcome.run);
                self.written(&outcome);
            }
            Fate::Otherwise(error) => {
                self.each.tried.remove(&outcome.run);
                self.written(&outcome);
                let id = outcome.run.id;
                let list = match outcome.end {
                    End::Released { .. } | End::Unfinished { .. } | End::Snoozed { .. } => {
                        &mut self.each.due_as_failed
                    }
                    End::Failed { .. } | End::Refused { .. } => &mut self.each.unburied,
                    _ => &mut self.each.kept,
                };
                list.push(Refusal { id, error });
            }
            Fate::Lost => {
                self.each.tried.remove(&outcome.run);
                self.held.remove(outcome.run);
                if !matches!(outcome.end, End::Released { .. }) {
                    self.report_refusal(outcome.run);
                }
            }
            Fate::Locked => self.try_later(outcome, None),
            Fate::Refused(error) => self.is_refused(outcome, error),
        }
    }

    fn is_refused(&mut self, mut outcome: Outcome, error: Error) {
        // Only the error entries are free text, which the database's encoding may not be able to store.
        if error.blames_data() && outcome.simplify() {
            self.each.parts.push_front(vec![outcome]);
            return;
        }
        if matches!(outcome.end, End::Refused { .. }) {
            // Nothing can be written for this run: the job comes back when its lease ends.
            self.each.tried.remove(&outcome.run);
            self.held.remove(outcome.run);
            let id = outcome.run.id;
            self.each.lost.push(Refusal { id, error });
            return;
        }
        self.try_later(outcome, Some(error));
    }

    fn try_later(&mut self, mut outcome: Outcome, error: Option<Error>) {
        let now = Instant::now();
        let (since, before) = match self.each.tried.remove(&outcome.run) {
            Some(Tried { since, refused }) => (since, refused.map_or(0, |(_, count)| count)),
            None => (now, 0),
        };
        let (pause, refused) = match error {
            None => (LOCKED.min(self.settings.lease / 4), None),
            Some(error) => {
                let longest = if error.may_pass() && !error.was_held_up() {
                    LONGEST_ELSEWHERE
                } else {
                    LONGEST
                };
                let mut doubled = REFUSED.saturating_mul(1 << before.min(16)).min(longest);
                if outcome.may_bury() && before + 1 >= TRIES_TO_BURY {
                    let (id, error) = (outcome.run.id, error.clone());
                    self.each.unburied.push(Refusal { id, error });
                    self.each.untold_since.get_or_insert(now);
                    outcome.has_dead_letter = false;
                    doubled = Duration::ZERO;
                }
                if before == 0 {
                    let id = outcome.run.id;
                    let error = error.clone();
                    self.each.untold.push(Refusal { id, error });
                    self.each.untold_since.get_or_insert(now);
                }
                (doubled, Some((error, before + 1)))
            }
        };
        if self.no_more_claims() && self.held.len() == 0 && now - since >= self.settings.lease {
            self.give_up(&outcome, refused.map(|(error, _)| error));
            return;
        }
        self.each.later.push(Later {
            outcome,
            at: now + pause,
            tried: Tried { since, refused },
        });
    }

    /// An engine that is about to end does not wait for ever for somebody's transaction, or for a slow statement.
    fn give_up(&mut self, outcome: &Outcome, refused: Option<Error>) {
        self.held.remove(outcome.run);
        let why = match &refused {
            None => "another transaction has locked the job",
            Some(error) => &error.message,
        };
        let message = format!(
            "the outcome of job {} could not be written, so the job runs again when its lease has ended: {why}",
            outcome.run.id
        );
        let mut error = Error::new(Code::DatabaseError, message);
        if let Some(refused) = &refused {
            error = error.with_state_of(refused);
        }
        if self.mode == Mode::Batch {
            self.ending.failure.get_or_insert(error);
        } else {
            self.handlers.report(&error);
        }
    }

    /// The store cannot be reached, and the engine is about to end.
    pub(super) fn give_up_each(&mut self) {
        self.each.parts.clear();
        self.each.burying.clear();
        self.each.later.clear();
    }

    pub(super) fn report_refusal(&self, run: Run) {
        self.handlers.report(&Error::new(
            Code::LeaseLost,
            format!(
                "the outcome of job {} was refused, and the job stays as it is: the run had lost its lease",
                run.id
            ),
        ));
    }

    fn tell_of_each(&mut self) {
        self.each.untold_since = None;
        let untold = std::mem::take(&mut self.each.untold);
        self.tell_refusals("settled", untold);
        let kept = std::mem::take(&mut self.each.kept);
        self.tell_refusals("deleted (it is kept as completed)", kept);
        let due = std::mem::take(&mut self.each.due_as_failed);
        self.tell_refusals("pending (it has failed and is due again)", due);
        let unburied = std::mem::take(&mut self.each.unburied);
        self.tell_refusals("given a dead letter (failed without one)", unburied);
        let lost = std::mem::take(&mut self.each.lost);
        self.tell_refusals(
            "settled at all (it runs again when its lease has ended)",
            lost,
        );
    }

    /// Reports the jobs that Postgres has refused: once for each reason.
    pub(super) fn tell_refusals(&self, what: &str, mut refusals: Vec<Refusal>) {
        let mut told = HashSet::new();
        refusals.retain(|refusal| told.insert((refusal.id, refusal.error.sql_state.clone())));
        while let Some(Refusal { error, .. }) = refusals.first().cloned() {
            let (alike, others) = refusals
                .into_iter()
                .partition(|other| other.error.sql_state == error.sql_state);
            refusals = others;
            let alike: Vec<Refusal> = alike;
            let jobs = names(alike.iter().map(|refusal| refusal.id).collect());
            let message = format!(
                "Postgres refuses to let {jobs} be {what}: {}",
                error.message
            );
            let report = Error {
                message,
                ..error.clone()
            };
            self.handlers.report(&report);
        }
    }
}
