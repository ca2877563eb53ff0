//! The loop of one processor. One task owns all of its state, so nothing here is locked or shared;
//! at most one exchange and one extension are under way at a time, and neither ever waits for the
//! other's connection while holding its own.

use std::collections::VecDeque;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use super::backoff::Backoff;
use super::handle::{Command, Handle};
use super::held::Held;
use super::job::{ClaimedJob, End, Exchanged, Outcome, Run};
use super::{Handlers, Store};
use crate::error::{Code, Error, Result};

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
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Claim one batch, run it, end.
    Batch,
    /// Claim whenever a slot is free, until stopped.
    Background,
}

/// How long an engine that was told to hand back tries to say so to the database.
const LAST_WORDS: Duration = Duration::from_secs(5);

type Reply<T> = Pin<Box<dyn Future<Output = Result<T>> + Send>>;

/// What an exchange was sent with, to be taken up again if it fails.
struct SentExchange {
    at: Instant,
    outcomes: Vec<Outcome>,
    limit: usize,
}

struct SentExtension {
    at: Instant,
    runs: Vec<Run>,
}

pub struct Engine<S, H> {
    store: Arc<S>,
    handlers: Arc<H>,
    settings: Settings,
    mode: Mode,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Dropped when the engine ends, which is what [`Handle::finished`] waits for.
    _ended: watch::Sender<()>,

    /// Claimed and started, or waiting for a slot.
    held: Held,
    /// Claimed, in the order in which they will start. Only a batch can be longer than its slots.
    waiting: VecDeque<ClaimedJob>,
    /// Ended, and not yet known to be settled.
    outcomes: Vec<Outcome>,
    exchange: Option<(SentExchange, Reply<Exchanged>)>,
    extension: Option<(SentExtension, Reply<Vec<Run>>)>,

    /// When to look for jobs, if a slot is free.
    next_claim: Instant,
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
    /// Jobs started.
    ran: u64,
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
            _ended: ended_sender,
            waiting: VecDeque::new(),
            outcomes: Vec::new(),
            exchange: None,
            extension: None,
            next_claim: now,
            exchange_after: now,
            extend_after: now,
            backoff: Backoff::default(),
            extend_backoff: Backoff::default(),
            failing_since: None,
            stopping: false,
            give_up_at: None,
            ran: 0,
            failure: None,
        };
        let handle = Handle {
            commands: sender,
            ended,
        };
        (engine, handle)
    }

    /// Runs until there is nothing left to do, and returns how many jobs were started.
    ///
    /// # Errors
    /// In [`Mode::Batch`], when the jobs could not be claimed, or when outcomes could not be written
    /// before the leases of their runs ended. In the background, failures are reported and retried.
    pub async fn run(mut self) -> Result<u64> {
        loop {
            if self.handlers.gone() {
                self.abandon();
            }
            self.lapse();
            self.start_waiting();
            self.begin_exchange();
            self.begin_extension();
            if self.finished() {
                return match self.failure {
                    Some(error) => Err(error),
                    None => Ok(self.ran),
                };
            }
            self.step().await;
        }
    }

    /// Waits for the next thing to happen, and takes note of it.
    async fn step(&mut self) {
        let wake_at = self.next_timer();
        tokio::select! {
            // What has ended is seen before what comes next, so that it travels along.
            biased;
            command = self.commands.recv() => match command {
                Some(command) => self.obey(command),
                // Every handle is gone: nobody is left to end the runs.
                None => self.hand_back(),
            },
            reply = reply_to(&mut self.exchange) => self.exchanged(reply),
            reply = reply_to(&mut self.extension) => self.extended(reply),
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
                    if self.held.remove(outcome.run) {
                        self.outcomes.push(outcome);
                    }
                }
            }
            Command::Wake => self.next_claim = Instant::now(),
            Command::Stop => self.stop(),
            Command::HandBack => self.hand_back(),
        }
    }

    /// Claims no more, and gives back what was claimed but not started.
    fn stop(&mut self) {
        self.stopping = true;
        for job in std::mem::take(&mut self.waiting) {
            self.release(job.run);
        }
    }

    /// Stops, and gives back what runs.
    fn hand_back(&mut self) {
        self.stop();
        self.give_up_at.get_or_insert(Instant::now() + LAST_WORDS);
        let reason = Error::new(
            Code::LeaseLost,
            "the job was handed back, because its processor was stopped before it ended",
        );
        for run in self.held.drain() {
            self.handlers.abort(run, &reason);
            self.outcomes.push(Outcome {
                run,
                end: End::Released,
            });
        }
    }

    /// The JavaScript environment has ended in the midst of its handlers. What had started keeps its
    /// lease until that ends by itself, so that the attempt is counted: a job that kills its process
    /// must not be tried for ever.
    fn abandon(&mut self) {
        self.stop();
        self.give_up_at.get_or_insert(Instant::now() + LAST_WORDS);
        self.held.drain();
    }

    fn release(&mut self, run: Run) {
        if self.held.remove(run) {
            self.outcomes.push(Outcome {
                run,
                end: End::Released,
            });
        }
    }

    fn running(&self) -> usize {
        self.held.len() - self.waiting.len()
    }

    fn start_waiting(&mut self) {
        let free = self.settings.concurrency.saturating_sub(self.running());
        let count = free.min(self.waiting.len());
        if count > 0 {
            self.ran += count as u64;
            self.handlers.run(self.waiting.drain(..count).collect());
        }
    }

    /// How many jobs to ask for, if an exchange begins now.
    fn claim_limit(&self) -> usize {
        if self.stopping {
            return 0;
        }
        match self.mode {
            Mode::Batch => self.batch_left,
            Mode::Background => {
                let free = self.settings.concurrency.saturating_sub(self.held.len());
                free.min(self.settings.batch_size)
            }
        }
    }

    fn claim_is_due(&self, now: Instant) -> bool {
        self.claim_limit() > 0 && self.next_claim <= now
    }

    fn begin_exchange(&mut self) {
        let now = Instant::now();
        if self.exchange.is_some() || self.exchange_after > now {
            return;
        }
        if self.outcomes.is_empty() && !self.claim_is_due(now) {
            return;
        }
        let sent = SentExchange {
            at: now,
            outcomes: std::mem::take(&mut self.outcomes),
            // A round trip that settles may as well claim.
            limit: self.claim_limit(),
        };
        let store = Arc::clone(&self.store);
        let (outcomes, limit) = (sent.outcomes.clone(), sent.limit);
        let reply = Box::pin(async move { store.exchange(outcomes, limit).await });
        self.exchange = Some((sent, reply));
    }

    fn exchanged(&mut self, reply: Result<Exchanged>) {
        let Some((sent, _)) = self.exchange.take() else {
            return;
        };
        match reply {
            Ok(exchanged) => {
                self.backoff.succeed();
                self.failing_since = None;
                self.report_refused(&sent.outcomes, &exchanged.settled);
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
        self.next_claim = if full {
            now
        } else {
            now + self.settings.poll_interval
        };
        self.batch_left = if full {
            sent.limit - exchanged.claimed.len()
        } else {
            0
        };
        for job in exchanged.lost {
            self.handlers.report(&Error::new(
                Code::LeaseLost,
                format!(
                    "job {} ({}) has no attempts left and has failed: its last worker was lost",
                    job.id, job.job_type
                ),
            ));
        }
        for job in exchanged.claimed {
            self.held.insert(job.run, sent.at);
            self.waiting.push_back(job);
        }
        if self.stopping {
            self.stop();
        }
    }

    fn report_refused(&self, sent: &[Outcome], settled: &[Run]) {
        let refused = sent
            .iter()
            .filter(|outcome| !settled.contains(&outcome.run) && outcome.end != End::Released);
        for outcome in refused {
            self.handlers.report(&Error::new(
                Code::LeaseLost,
                format!(
                    "the outcome of job {} was refused: the run had lost its lease",
                    outcome.run.id
                ),
            ));
        }
    }

    fn exchange_failed(&mut self, sent: SentExchange, error: Error) {
        let now = Instant::now();
        if !self.backoff.failing() {
            self.handlers.report(&error);
        }
        let mut outcomes = sent.outcomes;
        if error.blames_data() {
            // Only the error entries are free text. One that this database cannot hold must not
            // keep its neighbours from being settled.
            outcomes.iter_mut().for_each(Outcome::simplify);
        }
        outcomes.append(&mut self.outcomes);
        self.outcomes = outcomes;
        self.exchange_after = now + self.backoff.fail();
        let failing_since = *self.failing_since.get_or_insert(sent.at);

        if self.mode == Mode::Batch {
            // What was claimed is run; what was not is left to the next batch.
            self.batch_left = 0;
            if self.ran == 0 && self.held.len() == 0 {
                self.failure = Some(error);
                return;
            }
        }
        // An engine that is about to end keeps trying to write its last outcomes for as long as
        // their leases can have lasted; in the background there is no reason ever to give up.
        if self.no_more_claims()
            && self.held.len() == 0
            && now - failing_since >= self.settings.lease
        {
            self.outcomes.clear();
            self.failure = Some(error);
        }
    }

    fn begin_extension(&mut self) {
        let now = Instant::now();
        if self.extension.is_some() || self.extend_after > now {
            return;
        }
        let runs = self.held.to_extend(now);
        if runs.is_empty() {
            return;
        }
        let store = Arc::clone(&self.store);
        let asked = runs.clone();
        let reply = Box::pin(async move { store.extend(asked).await });
        self.extension = Some((SentExtension { at: now, runs }, reply));
    }

    fn extended(&mut self, reply: Result<Vec<Run>>) {
        let Some((sent, _)) = self.extension.take() else {
            return;
        };
        match reply {
            Ok(owned) => {
                self.extend_backoff.succeed();
                for run in sent.runs {
                    if owned.contains(&run) {
                        self.held.extended(run, sent.at);
                    } else {
                        self.lose(run);
                    }
                }
            }
            Err(error) => {
                if !self.extend_backoff.failing() {
                    self.handlers.report(&error);
                }
                self.extend_after = Instant::now() + self.extend_backoff.fail();
            }
        }
    }

    fn lapse(&mut self) {
        for run in self.held.lapsed(Instant::now()) {
            self.lose(run);
        }
    }

    /// The run no longer owns its job, or cannot know that it does. What has not started never will;
    /// what runs is told, and keeps its slot until it ends.
    fn lose(&mut self, run: Run) {
        let before = self.waiting.len();
        self.waiting.retain(|job| job.run != run);
        if self.waiting.len() < before {
            self.held.remove(run);
        } else if self.held.lose(run) {
            let message = format!("the run of job {} has lost its lease", run.id);
            self.handlers
                .abort(run, &Error::new(Code::LeaseLost, message));
        }
    }

    fn no_more_claims(&self) -> bool {
        self.stopping || (self.mode == Mode::Batch && self.batch_left == 0)
    }

    fn finished(&self) -> bool {
        let done = self.no_more_claims()
            && self.held.len() == 0
            && self.outcomes.is_empty()
            && self.exchange.is_none();
        done || self.give_up_at.is_some_and(|at| at <= Instant::now())
    }

    /// When something is due that no message announces.
    fn next_timer(&self) -> Instant {
        let far = Instant::now() + Duration::from_secs(24 * 60 * 60);
        let claim = (self.claim_limit() > 0).then_some(self.next_claim);
        let settle = (!self.outcomes.is_empty()).then_some(self.exchange_after);
        let exchange = [claim, settle].into_iter().flatten().min();
        let exchange = exchange.filter(|_| self.exchange.is_none());
        let exchange = exchange.map(|at| at.max(self.exchange_after));
        let extension = self
            .held
            .next_extension()
            .filter(|_| self.extension.is_none());
        let extension = extension.map(|at| at.max(self.extend_after));
        [exchange, extension, self.held.next_end(), self.give_up_at]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(far)
    }
}

/// The reply to what is under way, or never.
async fn reply_to<A, T>(under_way: &mut Option<(A, Reply<T>)>) -> Result<T> {
    match under_way {
        Some((_, reply)) => reply.await,
        None => pending().await,
    }
}
