//! The loop of one processor. One task owns all of its state, so nothing here is locked or shared. No
//! round trip ever waits for the connection of another while holding its own.

mod cancel;
mod deadline;
mod dispatch;
mod each;
mod ending;
mod errand;
mod exchange;
mod expire;
mod lease;
mod lost_claim;
mod outage;
mod recover;
mod settled_by_handler;
mod unknown;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::handle::{Command, Handle};
use super::held::{Held, Settlement};
use super::pace::Pace;
use super::shared::Shared;
use super::tally::Tally;
use super::{Handlers, Store};
use crate::error::{Code, Result};
use crate::job::{End, Outcome, Run};
use cancel::Recheck;
use deadline::Invocation;
use dispatch::Dispatch;
use each::Each;
use ending::{Ending, STOPPED};
use errand::UnderWay;
use exchange::{Claims, Exchanges};
use lease::Leases;
use lost_claim::LostClaims;
use outage::Outage;
use recover::RecoverEach;
use settled_by_handler::{By, Unsure, UnsureRuns};

/// The longest sleep.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// How a processor works.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The most jobs claimed at a time.
    pub batch_size: usize,
    /// The most handlers running at a time.
    pub concurrency: usize,
    /// How long an idle engine waits before it looks again.
    pub poll_interval: Duration,
    /// How long a claim or an extension is good for.
    pub lease: Duration,
    /// How long a run may take if neither its job nor its type says; with `None` there is no limit.
    pub default_timeout: Option<Duration>,
    /// What is said for all jobs of a type.
    pub of_types: HashMap<String, OfType>,
    /// How long a run has to end after it was told that its job is to be cancelled.
    pub cancel_grace: Duration,
    /// The types of jobs that it takes, each once and in order.
    pub taken_types: Vec<String>,
    /// Whether jobs of other types, which a claim of all types can bring, are left to other workers.
    pub leaves_unknown: bool,
    pub shared: Arc<Shared>,
    /// The most exchanges under way at a time: 2, or 1 where there is but one connection.
    pub exchanges: usize,
    /// The time after which the store can no longer run an unanswered statement.
    pub answer_within: Duration,
}

/// What is said for all jobs of a type.
#[derive(Debug, Clone, Default)]
pub struct OfType {
    pub timeout: Option<Duration>,
    /// When a job that has failed is tried again: see [`End::Failed`].
    pub retry: Option<Arc<str>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Claim one batch, run it, end.
    Batch,
    /// Claim whenever a slot is free, until stopped.
    Background,
    /// Claim whenever a slot is free, until nothing is due and nothing runs, or until the deadline. Writing the
    /// runs that are handed back then may take `last_words`.
    UntilEmpty {
        deadline: Instant,
        last_words: Duration,
    },
}

pub struct Engine<S, H> {
    store: Arc<S>,
    handlers: Arc<H>,
    settings: Settings,
    mode: Mode,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Every handle is gone: no handler is left to end the runs.
    alone: bool,
    /// Dropped when the engine ends: [`Handle::finished`] waits for that.
    _ended: watch::Sender<()>,
    under_way: UnderWay<S, H>,

    /// Claimed and started, or waiting for a slot.
    held: Held,
    dispatch: Dispatch,
    pace: Pace,
    /// Ended, and not yet known to be settled.
    outcomes: Vec<Outcome>,
    /// Ended, and perhaps settled by their handlers.
    unsure: UnsureRuns,
    /// Ended, and to be settled one by one.
    each: Each,
    recover_each: RecoverEach,
    exchanges: Exchanges,
    claims: Claims,
    lost_claims: LostClaims,
    leases: Leases,
    recheck: Recheck,
    outage: Outage,
    invocation: Invocation,
    ending: Ending,
    tally: Tally,
}

impl<S: Store, H: Handlers> Engine<S, H> {
    pub fn new(store: Arc<S>, handlers: Arc<H>, settings: Settings, mode: Mode) -> (Self, Handle) {
        let (sender, commands) = mpsc::unbounded_channel();
        let (ended_sender, ended) = watch::channel(());
        let now = Instant::now();
        let engine = Self {
            held: Held::new(settings.lease),
            dispatch: Dispatch::new(now),
            pace: Pace::after(&settings.shared.last_pace, now),
            outcomes: Vec::new(),
            unsure: UnsureRuns::default(),
            each: Each::default(),
            recover_each: RecoverEach::default(),
            exchanges: Exchanges::new(now),
            claims: Claims::new(now, settings.batch_size),
            lost_claims: LostClaims::new(now),
            leases: Leases::new(now),
            recheck: Recheck::new(now),
            outage: Outage::new(now),
            invocation: Invocation::new(now),
            ending: Ending::default(),
            tally: Tally::default(),
            under_way: UnderWay::new(),
            store,
            handlers,
            settings,
            mode,
            commands,
            alone: false,
            _ended: ended_sender,
        };
        let handle = Handle {
            commands: sender,
            ended,
        };
        (engine, handle)
    }

    /// Runs until there is nothing left to do, and returns the numbers of its work.
    ///
    /// # Errors
    /// When jobs could not be claimed, or when outcomes could not be written before the leases of their
    /// runs ended. In the background, failures are reported and retried.
    pub async fn run(mut self) -> Result<Tally> {
        loop {
            if self.handlers.gone() {
                self.abandon();
            }
            self.run_errands();
            if self.finished() {
                self.pace
                    .leave(&self.settings.shared.last_pace, Instant::now());
                return self.result();
            }
            self.step().await;
        }
    }

    /// Waits for the next thing to happen, and takes note of it.
    async fn step(&mut self) {
        let far = Instant::now() + FAR;
        let due = [self.next_errand(), self.ending.give_up_at];
        let wake_at = due.into_iter().flatten().min().unwrap_or(far);
        tokio::select! {
            // Ended runs are seen before the next exchange begins, so that their outcomes travel along.
            biased;
            command = self.commands.recv(), if !self.alone => match command {
                Some(command) => self.obey(command),
                None => {
                    self.alone = true;
                    self.hand_back(Code::LeaseLost, STOPPED);
                }
            },
            Some(take_in) = self.under_way.next() => take_in(self),
            () = sleep_until(wake_at) => {}
        }
        while let Ok(command) = self.commands.try_recv() {
            self.obey(command);
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Ended(outcomes) => {
                for outcome in outcomes {
                    self.took(outcome.run);
                    let never_began = matches!(outcome.end, End::Released { .. });
                    if self.end_by(By::Handler, outcome.run, outcome.end) {
                        self.pace.ended(1);
                        self.tally.started -= u64::from(never_began);
                    }
                }
            }
            Command::Wake => {
                self.claims.woken = true;
                self.claims.found_nothing = false;
                self.claims.next = Instant::now();
            }
            Command::HeardReady => {
                let at = self.claims.heard.look_at(Instant::now());
                self.claims.found_nothing = false;
                self.claims.next = self.claims.next.min(at);
                self.claims.woken |= at <= Instant::now();
            }
            Command::Cancel(id) => {
                for run in self.held.live_runs_of(id) {
                    self.cancel(run);
                }
            }
            Command::HeardCancel(id) => {
                // The table says whether that is so.
                self.recheck.wanted |= !self.held.live_runs_of(id).is_empty();
            }
            Command::Recheck => self.recheck.wanted = true,
            Command::ExtendTimeout(run, by) => {
                self.held.extend_timeout(run, Instant::now(), by);
            }
            Command::BegunLate(run) => self.begun_late(run),
            Command::SettledByHandler(run) => self.held.settled_by_handler(run),
            Command::Stop => self.stop(),
            Command::HandBack => self.hand_back(Code::LeaseLost, STOPPED),
        }
    }

    /// Ends a run, unless it has ended before or was lost.
    fn end(&mut self, run: Run, end: End) {
        self.end_by(By::Engine, run, end);
    }

    /// Takes note of how a run ended, unless it did so before or was lost; returns whether it was held.
    fn end_by(&mut self, by: By, run: Run, end: End) -> bool {
        let settlement = self.held.end(run);
        let outcome = Outcome {
            has_dead_letter: self.held.has_dead_letter(run),
            ..Outcome::new(run, end)
        };
        match settlement {
            Some(Settlement::Engine) => self.write(outcome),
            Some(Settlement::Handler) => {
                self.unsure.push(Unsure::new(outcome, by, Instant::now()));
            }
            None => {}
        }
        settlement.is_some()
    }

    /// Has an outcome written: with the next exchange, or beside it if it may leave a dead letter.
    fn write(&mut self, outcome: Outcome) {
        if outcome.may_bury() {
            self.each.bury(outcome);
        } else {
            self.outcomes.push(outcome);
        }
    }

    /// The outcome is in the table.
    fn written(&mut self, outcome: &Outcome) {
        self.held.remove(outcome.run);
        self.tally.count(&outcome.end);
        if outcome.may_bury() {
            // A dead letter is due by now, unless attempts are left.
            self.obey(Command::Wake);
        }
    }
}
