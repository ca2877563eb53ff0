//! The loop of one processor. One task owns all of its state, so nothing here is locked or shared. No
//! round trip ever waits for the connection of another while holding its own.

mod begin;
mod deadline;
mod each;
mod exchange;
mod lease;
mod lost_claim;
mod recover;
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
use super::heard::Heard;
use super::held::{Held, Settlement};
use super::pace::Pace;
use super::shared::Shared;
use super::store::{Counted, Extended, Settled};
use super::tally::Tally;
use super::{Handlers, Store};
use crate::backoff::Backoff;
use crate::error::{Code, Error, Result};
use crate::job::{ClaimedJob, End, Outcome, Run};
use begin::SentCount;
use deadline::Begun;
use each::Each;
use exchange::{Brought, SentExchange};
use lease::SentExtension;
use lost_claim::LostClaim;
use recover::RecoverEach;
use settled_by_handler::{By, Unsure};

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
    /// The types of jobs that it takes. See [`Mode::UntilEmpty`].
    pub taken_types: Vec<String>,
    pub shared: Arc<Shared>,
    /// The most exchanges under way at a time: 2, or 1 where there is but one connection.
    pub exchanges: usize,
    /// After what time the store can no longer do what it was asked, if it has not answered.
    pub answer_within: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Claim one batch, run it, end.
    Batch,
    /// Claim whenever a slot is free, until stopped.
    Background,
    /// Claim whenever a slot is free, until nothing is due and nothing runs, or until the deadline. What is
    /// handed back then may take `last_words` to be written.
    UntilEmpty {
        deadline: Instant,
        last_words: Duration,
    },
}

/// How long an engine that was told to hand back tries to say so to the database.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Why a job has failed whose run might else be handed back.
const LAST_ATTEMPT: &str =
    "the job has failed, because the time of its processor was up in its last attempt";

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
    /// Claimed, in the order in which they will start: what was claimed ahead.
    waiting: VecDeque<ClaimedJob>,
    /// Jobs that have a slot, and whose last attempt is counted before they begin.
    uncounted: Vec<ClaimedJob>,
    counting: Option<UnderWay<SentCount, Counted>>,
    /// When a job last left `waiting`, or came into it when it was empty.
    moved_at: Instant,
    pace: Pace,
    /// Ended, and not yet known to be settled.
    outcomes: Vec<Outcome>,
    /// Ended, and perhaps settled by their handlers, in transactions whose end is to be asked for.
    unsure: Vec<Unsure>,
    asking: Option<UnderWay<Vec<Unsure>, SettledRuns>>,
    /// Ended, and to be settled one by one.
    each: Each,
    recover_each: RecoverEach,
    exchanges: FuturesUnordered<Reply<(SentExchange, Result<Brought>)>>,
    /// When an exchange last began.
    exchange_began: Instant,
    /// How many jobs the exchange under way that claims may bring.
    claiming: usize,
    extension: Option<UnderWay<SentExtension, Vec<Extended>>>,
    /// Word of cancelled jobs may have been missed.
    recheck: bool,
    recheck_after: Instant,
    rechecking: Option<UnderWay<(), Vec<Run>>>,
    lost_claims: Vec<LostClaim>,
    /// When to look for what they took.
    search_at: Instant,
    searching: Option<UnderWay<Instant, Vec<Run>>>,
    /// The token of the last claim.
    token: i64,

    /// When to look for jobs, if a slot is free.
    next_claim: Instant,
    heard: Heard,
    /// Jobs may have become due after the claims under way have looked.
    woken: bool,
    /// After a failure: not to be tried again before.
    exchange_after: Instant,
    extend_after: Instant,
    backoff: Backoff,
    extend_backoff: Backoff,
    /// Since when every exchange has failed, and how the last one did.
    failing_since: Option<Instant>,
    last_failure: Option<Error>,
    /// When a failure was last reported.
    told_at: Option<Instant>,
    /// Jobs of lost workers could not be brought back when that was last tried.
    recovery_fails: bool,
    /// How many jobs of the batch are still to be claimed.
    batch_left: usize,
    stopping: bool,
    /// End by then, whatever is still unsettled.
    give_up_at: Option<Instant>,
    /// Nothing was due when it looked last. See [`Mode::UntilEmpty`].
    found_nothing: bool,
    /// When runs began, and of what. See [`Mode::UntilEmpty`].
    begun: HashMap<Run, Begun>,
    /// A claim was answered.
    has_claimed: bool,
    started_at: Instant,
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
            pace: Pace::after(&settings.shared.last_pace, now),
            store,
            handlers,
            settings,
            mode,
            commands,
            alone: false,
            _ended: ended_sender,
            waiting: VecDeque::new(),
            uncounted: Vec::new(),
            counting: None,
            moved_at: now,
            outcomes: Vec::new(),
            unsure: Vec::new(),
            asking: None,
            each: Each::default(),
            recover_each: RecoverEach::default(),
            exchanges: FuturesUnordered::new(),
            exchange_began: now,
            claiming: 0,
            extension: None,
            recheck: false,
            recheck_after: now,
            rechecking: None,
            lost_claims: Vec::new(),
            search_at: now,
            searching: None,
            token: first_token(),
            next_claim: now,
            heard: Heard::new(now),
            woken: false,
            exchange_after: now,
            extend_after: now,
            backoff: Backoff::default(),
            extend_backoff: Backoff::default(),
            failing_since: None,
            last_failure: None,
            told_at: None,
            recovery_fails: false,
            stopping: false,
            give_up_at: None,
            found_nothing: false,
            begun: HashMap::new(),
            has_claimed: false,
            started_at: now,
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
            self.begin_counting();
            self.begin_exchanges();
            self.begin_settling_each();
            self.begin_recovering_each();
            self.begin_searching();
            self.begin_extension();
            self.begin_recheck();
            self.begin_asking();
            if self.finished() {
                self.pace
                    .leave(&self.settings.shared.last_pace, Instant::now());
                return self.result();
            }
            self.step().await;
        }
    }

    fn result(self) -> Result<Tally> {
        let unwritten = self.held.unwritten();
        let has_deadline = self.deadline().is_some();
        let never_claimed = self.mode != Mode::Background && self.tally.started == 0;
        let fails = self.failing_since.is_some();
        let unanswered = has_deadline && !self.has_claimed;
        let last_failure = self.last_failure.filter(|_| fails && never_claimed);
        match self.failure.or(last_failure) {
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
            reply = reply_to(&mut self.counting) => self.counted(reply),
            reply = reply_to(self.each.under_way()) => self.settled_each(reply),
            reply = reply_to(self.recover_each.under_way()) => self.recovered_each(reply),
            reply = reply_to(&mut self.searching) => self.searched(reply),
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
                    if self.end_by(By::Handler, outcome.run, outcome.end) {
                        self.pace.ended(1);
                    }
                }
            }
            Command::Wake => {
                self.woken = true;
                self.found_nothing = false;
                self.next_claim = Instant::now();
            }
            Command::HeardReady => {
                let at = self.heard.look_at(Instant::now());
                self.found_nothing = false;
                self.next_claim = self.next_claim.min(at);
                self.woken |= at <= Instant::now();
            }
            Command::Cancel(id) => {
                for run in self.held.live_runs_of(id) {
                    self.cancel(run);
                }
            }
            Command::HeardCancel(id) => {
                // Whether that is so, the table says.
                self.recheck |= !self.held.live_runs_of(id).is_empty();
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
        let waiting = std::mem::take(&mut self.waiting);
        let uncounted = std::mem::take(&mut self.uncounted);
        if self.mode == Mode::Batch {
            self.batch_left += waiting.len();
        }
        for job in waiting.into_iter().chain(uncounted) {
            self.release(job.run);
        }
    }

    /// Hands back what has not begun.
    fn release(&mut self, run: Run) {
        self.end(run, End::released(None));
    }

    /// Stops, and gives back what runs.
    fn hand_back(&mut self, code: Code, why: &str) {
        self.stop();
        let last_words = match self.mode {
            Mode::UntilEmpty { last_words, .. } => last_words.min(LAST_WORDS),
            Mode::Batch | Mode::Background => LAST_WORDS,
        };
        self.give_up_at.get_or_insert(Instant::now() + last_words);
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
            // There is no time to find out by an exchange that one of them is slow.
            let outcomes = std::mem::take(&mut self.outcomes);
            self.settle_each(outcomes);
        }
    }

    /// The JavaScript environment has ended in the midst of its handlers. What had started keeps its
    /// lease until that ends by itself, so that the attempt is counted: a job that kills its process
    /// must not be tried for ever.
    fn abandon(&mut self) {
        self.stop();
        self.give_up_at.get_or_insert(Instant::now() + LAST_WORDS);
        if let Some((sent, _)) = &self.counting {
            for run in sent.jobs.iter().map(|job| job.run).collect::<Vec<_>>() {
                self.release(run);
            }
        }
        self.held.abandon_live();
    }

    /// Ends a run, unless it has ended before or was lost.
    fn end(&mut self, run: Run, end: End) {
        self.end_by(By::Engine, run, end);
    }

    /// Takes note of how a run ended, unless it did so before or was lost; returns whether it was held.
    fn end_by(&mut self, by: By, run: Run, end: End) -> bool {
        let settlement = self.held.end(run);
        match settlement {
            Some(Settlement::Engine) => self.outcomes.push(Outcome::new(run, end)),
            Some(Settlement::Handler) => {
                let outcome = Outcome::new(run, end);
                self.unsure.push(Unsure::new(outcome, by, Instant::now()));
            }
            None => {}
        }
        settlement.is_some()
    }

    /// The outcome is in the table.
    fn written(&mut self, outcome: &Outcome) {
        self.held.remove(outcome.run);
        self.tally.count(&outcome.end);
    }

    fn next_token(&mut self) -> i64 {
        self.token = self.token.checked_add(1).unwrap_or(1);
        self.token
    }

    /// Reports that the database could not be reached or refused: once an outage, whichever of what
    /// is under way meets it first. What was sent before the last report met the same.
    fn report_failure(&mut self, asked_at: Instant, error: &Error) {
        let failing = self.backoff.failing() || self.extend_backoff.failing();
        let is_told = self.told_at.is_some_and(|told_at| asked_at <= told_at);
        if !failing && !is_told {
            self.told_at = Some(Instant::now());
            self.handlers.report(error);
        }
    }

    fn running(&self) -> usize {
        self.held.len() - self.waiting.len()
    }

    fn no_more_claims(&self) -> bool {
        self.stopping
            || self.failure.is_some()
            || match self.mode {
                Mode::Batch => self.batch_left == 0,
                Mode::Background => false,
                Mode::UntilEmpty { .. } => {
                    self.found_nothing || self.too_late_to_claim(Instant::now())
                }
            }
    }

    /// Whether nothing is left but outcomes that are settled one by one.
    fn is_done_but_for_each(&self) -> bool {
        self.no_more_claims()
            && self.held.len() == 0
            && self.outcomes.is_empty()
            && self.unsure.is_empty()
            && self.asking.is_none()
            && self.exchanges.is_empty()
            && self.lost_claims.is_empty()
            && !self.waits_for_lost()
    }

    fn finished(&self) -> bool {
        (self.is_done_but_for_each() && self.each.is_empty())
            || self.give_up_at.is_some_and(|at| at <= Instant::now())
    }

    /// When something is due that no message announces.
    fn next_timer(&mut self) -> Instant {
        let now = Instant::now();
        let far = now + Duration::from_secs(24 * 60 * 60);
        let claim = (self.claim_limit(now) > 0).then_some(self.next_claim);
        let settle = (!self.outcomes.is_empty()).then_some(self.exchange_after);
        let exchange = [claim, settle].into_iter().flatten().min();
        // While one is under way, its end is waited for, but not for long.
        let exchange = exchange.filter(|_| self.exchanges.is_empty());
        let exchange = exchange.or_else(|| self.settles_beside_at());
        let exchange = exchange.map(|at| at.max(self.exchange_after));
        let extension = self.held.next_extension();
        let extension = extension.filter(|_| self.extension.is_none());
        let extension = extension.map(|at| at.max(self.extend_after));
        let ask = self.ask_at().map(|at| at.max(self.exchange_after));
        let each = (self.each.next(now)).map(|at| at.max(self.exchange_after));
        let searches = !self.lost_claims.is_empty() && self.searching.is_none();
        let search = searches.then(|| self.search_at.max(self.exchange_after));
        let recheck = (self.recheck && self.rechecking.is_none()).then_some(self.recheck_after);
        let others = [
            ask,
            each,
            search,
            recheck,
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

/// An engine has ended before it could write how these runs ended.
fn not_written(runs: &[Run], unreachable: bool) -> Error {
    let mut ids: Vec<_> = runs.iter().map(|run| run.id).collect();
    ids.sort_unstable();
    let jobs: Vec<_> = ids.iter().take(MOST_NAMED).map(i64::to_string).collect();
    let more = match ids.len().saturating_sub(MOST_NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
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
            "jobs whose outcomes could not be written in time: {}{more}. They run again when their leases have ended: \
             {why}",
            jobs.join(", ")
        ),
    )
}

/// The most ids in a message.
const MOST_NAMED: usize = 20;

/// Where an engine begins to count its claims: above 0, and another number in each engine.
fn first_token() -> i64 {
    use std::hash::{BuildHasher, RandomState};
    let bits = RandomState::new().hash_one(0u8) >> 2;
    i64::try_from(bits).unwrap_or(0).max(1)
}

/// The reply to what is under way, or never.
async fn reply_to<A, T>(under_way: &mut Option<UnderWay<A, T>>) -> Result<T> {
    match under_way {
        Some((_, reply)) => reply.await,
        None => pending().await,
    }
}
