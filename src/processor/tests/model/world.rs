//! The processes of a story, the store that they share, and the faults between them.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use proptest::test_runner::TestCaseError;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use super::promises::{Promises, is_final};
use super::step::Step;
use super::trace::{Answer, Asked, Command, RowState, Trace};
use crate::error::{Code, Error, Result};
use crate::job::{ClaimedJob, End, FailureReason, Outcome, Run};
use crate::processor::tests::memory_store::{Hold, LEASE, LETTER, MemoryStore, ROUND_TRIP, Row};
use crate::processor::{
    Counted, Engine, Exchanged, Extended, Handle, Handlers, Mode, OfType, Recovered, Settings,
    Settled, SettledEach, Store, Wanted,
};

const PROCESSES: usize = 3;
const BATCH: usize = 4;
const CONCURRENCY: usize = 2;
const POLL: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(4);

/// The store, with a record of all that it was asked.
struct Recorded {
    memory: MemoryStore,
    began: Instant,
    trace: Mutex<Trace>,
    promises: Mutex<Promises>,
}

impl Recorded {
    fn note(&self, command: Command, answer: Answer) {
        let rows = self.memory.rows();
        let retried = match command {
            Command::Retry(id) => Some(id),
            _ => None,
        };
        self.promises.lock().unwrap().check(&rows, retried);
        let table = rows
            .iter()
            .map(|(&id, row)| RowState::new(id, row, self.began));
        self.trace.lock().unwrap().push(Asked {
            at: self.began.elapsed(),
            command,
            answer,
            table: table.collect(),
        });
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Line {
    Whole,
    /// Requests do not reach the store.
    Deaf,
    /// Requests are carried out, and their answers are lost.
    Mute,
}

/// A handler, as its process knows it.
#[derive(Clone, Copy)]
struct Believed {
    run: Run,
    /// It was told to end.
    told: bool,
}

struct Control {
    store: Arc<Recorded>,
    number: usize,
    /// The types of jobs that it has handlers for.
    handled: &'static [&'static str],
    frozen: Mutex<Option<Waker>>,
    is_frozen: Mutex<bool>,
    line: Mutex<Line>,
    /// It was cut off, frozen or killed.
    disturbed: Arc<AtomicBool>,
    running: Mutex<Vec<Believed>>,
}

impl Control {
    fn freeze(&self) {
        self.disturb();
        *self.is_frozen.lock().unwrap() = true;
    }

    fn disturb(&self) {
        self.disturbed.store(true, Relaxed);
    }

    fn thaw(&self) {
        *self.is_frozen.lock().unwrap() = false;
        if let Some(waker) = self.frozen.lock().unwrap().take() {
            waker.wake();
        }
    }

    /// Runs a future that stands still while the process is frozen.
    async fn unless_frozen<F: Future>(self: Arc<Self>, future: F) -> F::Output {
        let mut future = pin!(future);
        poll_fn(|context| {
            if *self.is_frozen.lock().unwrap() {
                *self.frozen.lock().unwrap() = Some(context.waker().clone());
                return Poll::Pending;
            }
            future.as_mut().poll(context)
        })
        .await
    }

    /// Asks the store, over a line that may be cut.
    async fn ask<T>(&self, ask: impl FnOnce(&Recorded) -> T) -> Result<T> {
        sleep(ROUND_TRIP / 2).await;
        if *self.line.lock().unwrap() == Line::Deaf {
            return Err(cut());
        }
        let answer = ask(&self.store);
        sleep(ROUND_TRIP / 2).await;
        if *self.line.lock().unwrap() == Line::Whole {
            Ok(answer)
        } else {
            Err(cut())
        }
    }
}

fn cut() -> Error {
    Error::new(Code::ConnectionFailed, "the line is cut")
}

impl Store for Control {
    async fn exchange(&self, outcomes: Vec<Outcome>, wanted: Wanted) -> Result<Exchanged> {
        let exchange = |store: &Recorded| {
            let exchanged = store.memory.settle_and_claim(&outcomes, &wanted)?;
            let command = Command::Exchange {
                outcomes,
                wanted,
                types: self.number % 3,
            };
            store.note(command, Answer::from(&exchanged));
            Ok(exchanged)
        };
        self.ask(exchange).await?
    }

    async fn settle_each(&self, outcomes: Vec<Outcome>, _refusals: u32) -> Result<SettledEach> {
        let settle = |store: &Recorded| {
            let settled = store.memory.settle_one_by_one(&outcomes)?;
            store.note(Command::SettleEach(outcomes), Answer::from(&settled));
            Ok(settled)
        };
        self.ask(settle).await?
    }

    async fn begin(&self, runs: Vec<Run>) -> Result<Counted> {
        let begin = |store: &Recorded| {
            let counted = store.memory.count_attempts(&runs);
            let mut promises = store.promises.lock().unwrap();
            for run in &counted.runs {
                promises.counted_for(*run, &self.disturbed);
            }
            drop(promises);
            store.note(Command::Begin(runs), Answer::of_runs(&counted.runs));
            counted
        };
        self.ask(begin).await
    }

    async fn claimed_by(&self, tokens: Vec<i64>) -> Result<Vec<Run>> {
        let search = |store: &Recorded| {
            let held = store.memory.held_by(&tokens);
            store.note(Command::ClaimedBy(tokens), Answer::of_runs(&held));
            held
        };
        self.ask(search).await
    }

    async fn recover(&self) -> Result<Recovered> {
        let recover = |store: &Recorded| {
            let recovered = store.memory.recover_all();
            if !recovered.needs_care {
                store.note(Command::Recover, Answer::from(&recovered));
            }
            recovered
        };
        self.ask(recover).await
    }

    async fn recover_each(&self) -> Result<Recovered> {
        let recover = |store: &Recorded| {
            let recovered = store.memory.recover_lost();
            store.note(Command::Recover, Answer::from(&recovered));
            recovered
        };
        self.ask(recover).await
    }

    async fn extend(&self, runs: Vec<Run>) -> Result<Vec<Extended>> {
        let extend = |store: &Recorded| {
            let extended = store.memory.extend_leases(&runs);
            store.note(Command::Extend(runs), Answer::from(extended.as_slice()));
            extended
        };
        self.ask(extend).await
    }

    async fn settled_by_handler(&self, _runs: Vec<Run>) -> Result<Vec<(Run, Settled)>> {
        unreachable!("no handler of a story settles its run itself")
    }

    async fn cancel_requested(&self, runs: Vec<Run>) -> Result<Vec<Run>> {
        let requested = |store: &Recorded| {
            let rows = store.memory.rows();
            let requested = |run: &Run| {
                rows.get(&run.id)
                    .is_some_and(|row| row.run_no == run.run_no && row.cancel_requested)
            };
            runs.into_iter().filter(requested).collect()
        };
        self.ask(requested).await
    }
}

impl Handlers for Control {
    fn run(&self, jobs: Vec<ClaimedJob>) {
        let mut promises = self.store.promises.lock().unwrap();
        for job in &jobs {
            promises.begun_by_handler(job.run);
            if !self.handled.contains(&&*job.job_type) {
                let broken = format!("no job begins where it has no handler: {job:?}");
                promises.broken.push(broken);
            }
        }
        drop(promises);
        let begun = jobs.into_iter().map(|job| Believed {
            run: job.run,
            told: false,
        });
        self.running.lock().unwrap().extend(begun);
    }

    fn handed_over(&self) -> u64 {
        0
    }

    fn begun(&self) -> u64 {
        u64::MAX
    }

    fn abort(&self, run: Run, _reason: &Error, _failed: bool) {
        for believed in self.running.lock().unwrap().iter_mut() {
            believed.told |= believed.run == run;
        }
    }

    fn settled_by_handler(&self, _run: Run, _committed: bool) {}

    fn report(&self, _error: &Error) {}

    fn gone(&self) -> bool {
        false
    }
}

struct Process {
    control: Arc<Control>,
    handle: Handle,
    engine: JoinHandle<()>,
}

impl Process {
    /// `place` is the process's among those that claim.
    fn start(store: &Arc<Recorded>, number: usize, place: usize) -> Self {
        // The last one is of an older deployment.
        let handled = if place == PROCESSES - 1 {
            &["job", LETTER][..]
        } else {
            &["job", "new", LETTER]
        };
        let control = Arc::new(Control {
            store: store.clone(),
            number,
            handled,
            frozen: Mutex::default(),
            is_frozen: Mutex::default(),
            line: Mutex::new(Line::Whole),
            disturbed: Arc::default(),
            running: Mutex::default(),
        });
        let settings = Settings {
            batch_size: BATCH,
            concurrency: CONCURRENCY,
            poll_interval: POLL,
            lease: LEASE,
            taken_types: handled.iter().map(|&it| it.into()).collect(),
            shared: Arc::default(),
            default_timeout: None,
            of_types: (handled.iter())
                .map(|&it| (it.into(), OfType::default()))
                .collect(),
            leaves_unknown: true,
            cancel_grace: GRACE,
            exchanges: 2,
            answer_within: LEASE / 2,
        };
        let (engine, handle) =
            Engine::new(control.clone(), control.clone(), settings, Mode::Background);
        let engine = control.clone().unless_frozen(engine.run());
        let engine = tokio::spawn(async move {
            let _ = engine.await;
        });
        Self {
            control,
            handle,
            engine,
        }
    }

    fn is_frozen(&self) -> bool {
        *self.control.is_frozen.lock().unwrap()
    }

    fn set_line(&self, line: Line) {
        if line != Line::Whole {
            self.control.disturb();
        }
        *self.control.line.lock().unwrap() = line;
    }

    fn end(&self, run: Run, completes: bool) {
        self.control
            .running
            .lock()
            .unwrap()
            .retain(|believed| believed.run != run);
        let end = if completes && run.id % 6 == 5 && run.run_no == 1 {
            End::Snoozed {
                until: r#"{"after":50000}"#.into(),
            }
        } else if completes {
            let mut promises = self.control.store.promises.lock().unwrap();
            promises.completed_by_handler(run);
            End::Completed
        } else {
            let retry = says_of_retry(run);
            if retry.as_deref() == Some(NEVER) {
                let mut promises = self.control.store.promises.lock().unwrap();
                promises.given_up_by_handler(run);
            }
            End::Failed {
                entry: r#"{"message":"boom"}"#.into(),
                pending_reason: None,
                retry,
                reason: Some(FailureReason::Error),
            }
        };
        self.handle.ended(vec![Outcome::new(run, end)]);
    }
}

const NEVER: &str = r#"{"never":true}"#;

/// What a failed run says of the next attempt: nothing, a time, a policy, or that there is none.
fn says_of_retry(run: Run) -> Option<Arc<str>> {
    let said = match run.id % 4 {
        0 => return None,
        1 => r#"{"after":90000}"#,
        2 => r#"{"delay":30000,"factor":3,"maxDelay":100000,"jitter":0}"#,
        _ => NEVER,
    };
    Some(said.into())
}

pub struct World {
    store: Arc<Recorded>,
    /// Those that claim come first; the others are stopping.
    processes: Vec<Process>,
    started: usize,
    /// Since when runs have lost their jobs and were not told.
    untold: Mutex<HashMap<Run, Instant>>,
}

impl World {
    pub fn new() -> Self {
        let store = Arc::new(Recorded {
            memory: MemoryStore::default(),
            began: Instant::now(),
            trace: Mutex::default(),
            promises: Mutex::default(),
        });
        let processes = (0..PROCESSES)
            .map(|number| Process::start(&store, number, number))
            .collect();
        Self {
            store,
            processes,
            started: PROCESSES,
            untold: Mutex::default(),
        }
    }

    pub async fn take(&mut self, step: &Step) {
        match *step {
            Step::Add {
                priority,
                max_attempts,
                delay,
                timeout,
            } => self.add(priority, max_attempts, delay, timeout),
            Step::Pass(duration) => sleep(duration).await,
            Step::End {
                process,
                run,
                completes,
            } => self.end(process, run, completes),
            Step::Crash { process } => {
                let crashed = self.replace(process);
                crashed.control.disturb();
                crashed.engine.abort();
            }
            Step::Freeze { process } => self.process(process).control.freeze(),
            Step::Thaw { process } => self.process(process).control.thaw(),
            Step::CutRequests { process } => self.process(process).set_line(Line::Deaf),
            Step::CutAnswers { process } => self.process(process).set_line(Line::Mute),
            Step::Mend { process } => self.process(process).set_line(Line::Whole),
            Step::Stop { process } => {
                let stopping = self.replace(process);
                stopping.handle.stop();
                self.processes.push(stopping);
            }
            Step::HandBack { process } => {
                let stopping = self.replace(process);
                stopping.handle.hand_back();
                self.processes.push(stopping);
            }
            Step::Cancel { job, told } => self.cancel(job, told),
            Step::Retry { job } => {
                if let Some(id) = self.free_job(job) {
                    let said = self.store.memory.retry(id);
                    self.note(Command::Retry(id), said.as_deref());
                }
            }
            Step::Reclaim { older_than } => {
                let reclaimed = self.store.memory.reclaim(older_than).to_string();
                self.note(Command::Reclaim(older_than), Some(&reclaimed));
            }
            Step::Lock { job, locked } => {
                if let Some(id) = self.job(job) {
                    self.store.memory.change(id, |row| row.lock(locked));
                }
            }
            Step::Refuse { job, refuses } => {
                if let Some(id) = self.job(job) {
                    self.store.memory.change(id, |row| {
                        row.refuses = refuses;
                        row.has_refused |= refuses;
                    });
                }
            }
            Step::Wake => {
                for process in &self.processes {
                    process.handle.wake();
                }
            }
            Step::Recheck { process } => self.process(process).handle.recheck(),
        }
        // Messages that are on their way arrive.
        sleep(ROUND_TRIP * 3).await;
    }

    fn add(&self, priority: i32, max_attempts: i32, delay: Duration, timeout: Option<Duration>) {
        let rows = self.store.memory.rows();
        let id = rows.last_key_value().map_or(1, |(id, _)| id + 1);
        let row = Row {
            priority,
            timeout,
            run_at: Instant::now() + delay,
            job_type: if id % 4 == 3 { "new" } else { "job" },
            dead_letter: id % 5 < 2,
            key: (id % 3 < 2).then_some(id % 2),
            hold: if id % 4 < 2 {
                Hold::Unsettled
            } else {
                Hold::Queued
            },
            ..Row::new(max_attempts)
        };
        // A job whose key is held is added without one: so the next has its chance.
        let is_held = rows.values().any(|other| other.rivals(&row));
        let row = Row {
            key: row.key.filter(|_| !is_held),
            ..row
        };
        let command = Command::Insert {
            id,
            job_type: row.job_type,
            dead_letter: row.dead_letter,
            key: row.key,
            hold: row.hold,
            priority,
            max_attempts,
            run_at: row.run_at - self.store.began,
            timeout,
        };
        self.store.memory.insert(id, row);
        self.store.note(command, Answer::Nothing);
    }

    fn end(&self, process: usize, run: usize, completes: bool) {
        let awake: Vec<_> = self
            .processes
            .iter()
            .filter(|process| !process.is_frozen())
            .filter(|process| !process.control.running.lock().unwrap().is_empty())
            .collect();
        if awake.is_empty() {
            return;
        }
        let process = awake[process % awake.len()];
        let running = process.control.running.lock().unwrap().clone();
        process.end(running[run % running.len()].run, completes);
    }

    fn cancel(&self, job: usize, told: bool) {
        let Some(id) = self.free_job(job) else {
            return;
        };
        let said = self.store.memory.cancel(id);
        self.note(Command::Cancel(id), said);
        if told {
            for process in &self.processes {
                process.handle.cancel(id);
            }
        }
    }

    fn note(&self, command: Command, said: Option<&str>) {
        self.store
            .note(command, Answer::Said(said.map(str::to_owned)));
    }

    fn process(&self, number: usize) -> &Process {
        &self.processes[number % PROCESSES]
    }

    /// Puts a new process in the place of one.
    fn replace(&mut self, number: usize) -> Process {
        let place = number % PROCESSES;
        let new = Process::start(&self.store, self.started, place);
        self.started += 1;
        std::mem::replace(&mut self.processes[place], new)
    }

    fn job(&self, number: usize) -> Option<i64> {
        let ids: Vec<_> = self.store.memory.rows().into_keys().collect();
        (!ids.is_empty()).then(|| ids[number % ids.len()])
    }

    /// One that can be changed: a user's call waits for the others.
    fn free_job(&self, number: usize) -> Option<i64> {
        let id = self.job(number)?;
        let row = self.store.memory.row(id);
        (!row.locked && !row.refuses).then_some(id)
    }

    /// Whether all promises have been kept so far.
    pub async fn check(&self) -> std::result::Result<(), TestCaseError> {
        // A run whose time is up at this very instant is told before the check.
        for _ in 0..10 {
            yield_now().await;
        }
        if let Some(broken) = self.store.promises.lock().unwrap().broken.first() {
            return Err(TestCaseError::fail(broken.clone()));
        }
        let rows = self.store.memory.rows();
        let mut before = self.untold.lock().unwrap();
        let mut untold = HashMap::new();
        for process in self.processes.iter().filter(|process| !process.is_frozen()) {
            for believed in process.control.running.lock().unwrap().iter() {
                let row = &rows[&believed.run.id];
                let owned = row.is_processing() && row.run_no == believed.run.run_no;
                if believed.told || owned {
                    continue;
                }
                // While a job is locked, its owner keeps it beyond the end of its lease. If a user's call takes the job as soon
                // as it is free, the owner is told when it next asks.
                let now = Instant::now();
                let since = *before.get(&believed.run).unwrap_or(&now);
                untold.insert(believed.run, since);
                if !row.has_been_locked || now - since > LEASE / 8 {
                    return Err(TestCaseError::fail(format!(
                        "a run that has lost its job is told: {:?}, {row:?}",
                        believed.run
                    )));
                }
            }
        }
        *before = untold;
        Ok(())
    }

    /// Everything is mended, every handler ends well, and hours pass: then every job has ended. Before that, every
    /// one has that is neither locked nor refused.
    pub async fn come_to_rest(&mut self) -> std::result::Result<(), TestCaseError> {
        for process in &self.processes {
            process.set_line(Line::Whole);
            process.control.thaw();
        }
        let is_innocent = |row: &Row| !row.locked && !row.refuses;
        self.all_end("every innocent job ends", is_innocent).await?;
        for id in self.store.memory.rows().into_keys() {
            self.store.memory.change(id, |row| {
                row.lock(false);
                row.refuses = false;
            });
        }
        self.all_end("every job ends", |_| true).await
    }

    async fn all_end(
        &mut self,
        promise: &str,
        of: impl Fn(&Row) -> bool,
    ) -> std::result::Result<(), TestCaseError> {
        let hours = Instant::now() + Duration::from_secs(6 * 60 * 60);
        let is_open = |row: &Row| of(row) && !is_final(row);
        while Instant::now() < hours && self.store.memory.rows().values().any(is_open) {
            sleep(POLL).await;
            for process in &self.processes {
                let running = process.control.running.lock().unwrap().clone();
                for believed in running {
                    process.end(believed.run, true);
                }
            }
            self.check().await?;
        }
        let rows = self.store.memory.rows();
        match rows.iter().find(|(_, row)| is_open(row)) {
            Some((id, row)) => Err(TestCaseError::fail(format!("{promise}: job {id}, {row:?}"))),
            None => Ok(()),
        }
    }

    pub fn into_trace(self) -> Trace {
        std::mem::take(&mut *self.store.trace.lock().unwrap())
    }
}
