//! The loop of one processor. One task owns all of its state, so nothing here is locked or shared. No
//! round trip ever waits for the connection of another while holding its own.

mod deadline;
mod exchange;
mod lease;
mod settled_by_handler;

use std::collections::{HashMap, VecDeque};
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::handle::{Command, Handle};
use super::held::{Held, Settlement};
use super::job::{ClaimedJob, End, Exchanged, Extended, Outcome, Run, Settled};
use super::pace::Pace;
use super::recovery::Recovery;
use super::tally::Tally;
use super::usual::UsualDurations;
use super::{Handlers, Store};
use crate::backoff::Backoff;
use crate::error::{Code, Error, Result};
use exchange::SentExchange;
use lease::SentExtension;

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
    /// How long a run may take whose job does not say; `None` is for ever.
    pub default_timeout: Option<Duration>,
    /// How long a run has to end after it was told that its job is to be cancelled.
    pub cancel_grace: Duration,
    /// The types that there are handlers for, or that are taken. See [`Mode::UntilEmpty`].
    pub job_types: Vec<String>,
    pub usual: Arc<UsualDurations>,
    pub recovery: Arc<Recovery>,
    /// The most exchanges under way at a time: 2, or 1 where there is but one connection.
    pub exchanges: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Claim one batch, run it, end.
    Batch,
    /// Claim whenever a slot is free, until stopped.
    Background,
    /// Claim whenever a slot is free, until nothing is due and nothing runs, or until the deadline.
    UntilEmpty { deadline: Instant },
}

/// How long an engine that was told to hand back tries to say so to the database.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a run is handed back.
const STOPPED: &str = "the job was handed back, because its processor was stopped before it ended";

type Reply<T> = Pin<Box<dyn Future<Output = T> + Send>>;
/// What was sent, and the reply to come.
type UnderWay<A, T> = (A, Reply<Result<T>>);
type SettledRuns = Vec<(Run, Settled)>;

pub struct Engine<S, H> {
    store: Arc<S>,
    handlers: Arc<H>,
    settings: Settings,
    mode: Mode,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Every handle is gone: nobody is left to end the runs.
    alone: bool,
    /// Dropped when the engine ends, which is what [`Handle::finished`] waits for.
    _ended: watch::Sender<()>,

    /// Claimed and started, or waiting for a slot.
    held: Held,
    /// Claimed, in the order in which they will start: the rest of a batch, or what was claimed ahead.
    waiting: VecDeque<ClaimedJob>,
    /// When a job last left `waiting`, or came into it when it was empty.
    moved_at: Instant,
    pace: Pace,
    /// Ended, and not yet known to be settled.
    outcomes: Vec<Outcome>,
    /// Ended, and perhaps settled by their handlers, in transactions whose end is to be asked for.
    unsure: Vec<Outcome>,
    asking: Option<UnderWay<Vec<Outcome>, SettledRuns>>,
    exchanges: FuturesUnordered<Reply<(SentExchange, Result<Exchanged>)>>,
    /// How many jobs the exchange under way that claims may bring.
    claiming: usize,
    extension: Option<UnderWay<SentExtension, Vec<Extended>>>,
    /// Word of cancelled jobs may have been missed.
    recheck: bool,
    rechecking: Option<UnderWay<(), Vec<Run>>>,

    /// When to look for jobs, if a slot is free.
    next_claim: Instant,
    /// Jobs may have become due after the claims under way have looked.
    woken: bool,
    /// After a failure: not to be tried again before.
    exchange_after: Instant,
    extend_after: Instant,
    backoff: Backoff,
    extend_backoff: Backoff,
    /// Since when every exchange has failed.
    failing_since: Option<Instant>,
    /// How many jobs of the batch are still to be claimed.
    batch_left: usize,
    stopping: bool,
    /// End by then, whatever is still unsettled.
    give_up_at: Option<Instant>,
    /// Nothing was due when it looked last. See [`Mode::UntilEmpty`].
    found_nothing: bool,
    /// When runs began, and of what type. See [`Mode::UntilEmpty`].
    begun: HashMap<Run, (String, Instant)>,
    tally: Tally,
    /// The failure that ended a batch early.
    failure: Option<Error>,
}

impl<S: Store, H: Handlers> Engine<S, H> {
    pub fn new(store: Arc<S>, handlers: Arc<H>, settings: Settings, mode: Mode) -> (Self, Handle) {
        let (sender, commands) = mpsc::unbounded_channel();
        let (ended_sender, ended) = watch::channel(());
        let now = Instant::now();
        let engine = Self {
            held: Held::new(settings.lease),
            batch_left: settings.batch_size,
            store,
            handlers,
            settings,
            mode,
            commands,
            alone: false,
            _ended: ended_sender,
            waiting: VecDeque::new(),
            moved_at: now,
            pace: Pace::new(now),
            outcomes: Vec::new(),
            unsure: Vec::new(),
            asking: None,
            exchanges: FuturesUnordered::new(),
            claiming: 0,
            extension: None,
            recheck: false,
            rechecking: None,
            next_claim: now,
            woken: false,
            exchange_after: now,
            extend_after: now,
            backoff: Backoff::default(),
            extend_backoff: Backoff::default(),
            failing_since: None,
            stopping: false,
            give_up_at: None,
            found_nothing: false,
            begun: HashMap::new(),
            tally: Tally::default(),
            failure: None,
        };
        let handle = Handle {
            commands: sender,
            ended,
        };
        (engine, handle)
    }

    /// Runs until there is nothing left to do, and returns what was done.
    ///
    /// # Errors
    /// When jobs could not be claimed, or when outcomes could not be written before the leases of their
    /// runs ended. In the background, failures are reported and retried.
    pub async fn run(mut self) -> Result<Tally> {
        loop {
            if self.handlers.gone() {
                self.abandon();
            }
            self.expire();
            self.meet_deadline();
            self.start_waiting();
            self.begin_exchanges();
            self.begin_extension();
            self.begin_recheck();
            self.begin_asking();
            if self.finished() {
                return self.result();
            }
            self.step().await;
        }
    }

    fn result(self) -> Result<Tally> {
        let unwritten = self.outcomes.len() + self.unsure.len();
        match self.failure {
            Some(error) => Err(error),
            None if self.deadline().is_some() && unwritten > 0 => Err(Error::new(
                Code::ConnectionFailed,
                format!("the outcomes of {unwritten} jobs could not be written in time"),
            )),
            None => Ok(self.tally),
        }
    }

    /// Waits for the next thing to happen, and takes note of it.
    async fn step(&mut self) {
        let wake_at = self.next_timer();
        tokio::select! {
            // What has ended is seen before what comes next, so that it travels along.
            biased;
            command = self.commands.recv(), if !self.alone => match command {
                Some(command) => self.obey(command),
                None => {
                    self.alone = true;
                    self.hand_back(Code::LeaseLost, STOPPED);
                }
            },
            Some((sent, reply)) = self.exchanges.next() => self.exchanged(sent, reply),
            reply = reply_to(&mut self.extension) => self.extended(reply),
            reply = reply_to(&mut self.rechecking) => self.rechecked(reply),
            reply = reply_to(&mut self.asking) => self.asked(reply),
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
                    if self.end(outcome.run, outcome.end) {
                        self.pace.ended(1);
                    }
                }
            }
            Command::Wake => {
                self.woken = true;
                self.found_nothing = false;
                self.next_claim = Instant::now();
            }
            Command::Cancel(id) => {
                for run in self.held.runs_of(id) {
                    self.cancel(run);
                }
            }
            Command::Recheck => self.recheck = true,
            Command::ExtendTimeout(run, by) => {
                self.held.extend_timeout(run, Instant::now(), by);
            }
            Command::SettledByHandler(run) => self.held.settled_by_handler(run),
            Command::Stop => self.stop(),
            Command::HandBack => self.hand_back(Code::LeaseLost, STOPPED),
        }
    }

    /// Claims no more, and gives back what was claimed but not started.
    fn stop(&mut self) {
        self.stopping = true;
        self.release_waiting();
    }

    fn release_waiting(&mut self) {
        for job in std::mem::take(&mut self.waiting) {
            self.end(job.run, End::Released);
        }
    }

    /// Stops, and gives back what runs.
    fn hand_back(&mut self, code: Code, why: &str) {
        self.stop();
        self.give_up_at.get_or_insert(Instant::now() + LAST_WORDS);
        let reason = Error::new(code, why);
        for run in self.held.runs() {
            self.handlers.abort(run, &reason);
            self.end(run, End::Released);
        }
    }

    /// The JavaScript environment has ended in the midst of its handlers. What had started keeps its
    /// lease until that ends by itself, so that the attempt is counted: a job that kills its process
    /// must not be tried for ever.
    fn abandon(&mut self) {
        self.stop();
        self.give_up_at.get_or_insert(Instant::now() + LAST_WORDS);
        self.held = Held::new(self.settings.lease);
    }

    /// Takes note of how a run ended, unless it did so before or was lost; returns whether it was held.
    fn end(&mut self, run: Run, end: End) -> bool {
        let settlement = self.held.remove(run);
        match settlement {
            Some(Settlement::Engine) => self.outcomes.push(Outcome::new(run, end)),
            Some(Settlement::Handler) => self.unsure.push(Outcome::new(run, end)),
            None => {}
        }
        settlement.is_some()
    }

    /// Reports that the database could not be reached or refused: once an outage, whichever of what
    /// is under way meets it first.
    fn report_failure(&self, error: &Error) {
        if !self.backoff.failing() && !self.extend_backoff.failing() {
            self.handlers.report(error);
        }
    }

    fn running(&self) -> usize {
        self.held.len() - self.waiting.len()
    }

    fn start_waiting(&mut self) {
        let free = self.settings.concurrency.saturating_sub(self.running());
        let count = free.min(self.waiting.len());
        if count > 0 {
            let now = Instant::now();
            self.moved_at = now;
            let jobs: Vec<_> = self.waiting.drain(..count).collect();
            let (jobs, too_long): (Vec<_>, Vec<_>) =
                jobs.into_iter().partition(|job| self.fits(job, now));
            for job in too_long {
                self.end(job.run, End::Released);
            }
            if jobs.is_empty() {
                return;
            }
            self.tally.started += jobs.len() as u64;
            for job in &jobs {
                if self.deadline().is_some() {
                    self.begun.insert(job.run, (job.job_type.clone(), now));
                }
                let timeout = job.timeout.or(self.settings.default_timeout);
                self.held.start(job.run, now, timeout);
            }
            self.handlers.run(jobs);
        }
    }

    fn no_more_claims(&self) -> bool {
        self.stopping
            || match self.mode {
                Mode::Batch => self.batch_left == 0,
                Mode::Background => false,
                Mode::UntilEmpty { .. } => {
                    self.found_nothing || self.too_late_to_claim(Instant::now())
                }
            }
    }

    fn finished(&self) -> bool {
        let done = self.no_more_claims()
            && self.held.len() == 0
            && self.outcomes.is_empty()
            && self.unsure.is_empty()
            && self.asking.is_none()
            && self.exchanges.is_empty();
        done || self.give_up_at.is_some_and(|at| at <= Instant::now())
    }

    /// When something is due that no message announces.
    fn next_timer(&mut self) -> Instant {
        let now = Instant::now();
        let far = now + Duration::from_secs(24 * 60 * 60);
        let claim = (self.claim_limit(now) > 0).then_some(self.next_claim);
        let settle = (!self.outcomes.is_empty()).then_some(self.exchange_after);
        let exchange = [claim, settle].into_iter().flatten().min();
        // While one is under way, its end is waited for.
        let exchange = exchange.filter(|_| self.exchanges.is_empty());
        let exchange = exchange.map(|at| at.max(self.exchange_after));
        let extension = self.held.next_extension();
        let extension = extension.filter(|_| self.extension.is_none());
        let extension = extension.map(|at| at.max(self.extend_after));
        let ask = (!self.unsure.is_empty() && self.asking.is_none()).then_some(self.exchange_after);
        let others = [
            ask,
            self.deadline().filter(|_| self.give_up_at.is_none()),
            self.held.next_check(),
            self.waited_too_long_at(),
            self.give_up_at,
        ];
        [exchange, extension]
            .into_iter()
            .chain(others)
            .flatten()
            .min()
            .unwrap_or(far)
    }
}

/// The reply to what is under way, or never.
async fn reply_to<A, T>(under_way: &mut Option<UnderWay<A, T>>) -> Result<T> {
    match under_way {
        Some((_, reply)) => reply.await,
        None => pending().await,
    }
}
