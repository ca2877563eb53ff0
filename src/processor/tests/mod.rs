//! The engine over a store in memory, with a clock that stands still until no task has work left,
//! and then jumps.

mod deadlines;
mod isolation;
pub(crate) mod memory_store;
pub(crate) mod model;
mod timeouts_and_cancelling;
mod unknown_types;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::{Engine, Handle, Handlers, Mode, OfType, Settings, Shared, Tally};
use crate::error::{Code, Error, Result};
use crate::job::{ClaimedJob, End, FailureReason, Outcome, Run};
use memory_store::{LEASE, MemoryStore, ROUND_TRIP, Row, Status};

const POLL: Duration = Duration::from_secs(5);
const GRACE: Duration = Duration::from_secs(4);

/// Handlers that do nothing: the test ends their runs.
struct Recorder {
    started: mpsc::UnboundedSender<Run>,
    aborted: Mutex<Vec<(Run, Code)>>,
    reports: Mutex<Vec<Error>>,
    gone: AtomicBool,
}

impl Handlers for Recorder {
    fn run(&self, jobs: Vec<ClaimedJob>) {
        for job in jobs {
            self.started.send(job.run).unwrap();
        }
    }

    fn handed_over(&self) -> u64 {
        0
    }

    fn begun(&self) -> u64 {
        u64::MAX
    }

    fn abort(&self, run: Run, reason: &Error, _failed: bool) {
        self.aborted.lock().unwrap().push((run, reason.code));
    }

    fn settled_by_handler(&self, _run: Run, _committed: bool) {}

    fn report(&self, error: &Error) {
        self.reports.lock().unwrap().push(error.clone());
    }

    fn gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// A running engine, and the parts of it that tests use.
struct Rig {
    store: Arc<MemoryStore>,
    handlers: Arc<Recorder>,
    handle: Handle,
    engine: JoinHandle<Result<Tally>>,
    started: mpsc::UnboundedReceiver<Run>,
    shared: Arc<Shared>,
}

impl Rig {
    fn new(store: MemoryStore, mode: Mode, concurrency: usize) -> Self {
        Self::over(Arc::new(store), mode, concurrency)
    }

    fn over(store: Arc<MemoryStore>, mode: Mode, concurrency: usize) -> Self {
        let (sender, started) = mpsc::unbounded_channel();
        let handlers = Arc::new(Recorder {
            started: sender,
            aborted: Mutex::default(),
            reports: Mutex::default(),
            gone: AtomicBool::new(false),
        });
        let shared = Arc::<Shared>::default();
        let settings = Settings {
            batch_size: 10,
            concurrency,
            poll_interval: POLL,
            lease: LEASE,
            taken_types: vec!["job".into()],
            shared: shared.clone(),
            default_timeout: None,
            of_types: HashMap::from([("job".into(), OfType::default())]),
            leaves_unknown: true,
            cancel_grace: GRACE,
            exchanges: 2,
            answer_within: LEASE / 2,
        };
        let (engine, handle) = Engine::new(store.clone(), handlers.clone(), settings, mode);
        let engine = tokio::spawn(engine.run());
        Self {
            store,
            handlers,
            handle,
            engine,
            started,
            shared,
        }
    }

    async fn next(&mut self) -> Run {
        timeout(POLL * 20, self.started.recv())
            .await
            .expect("a job should have started")
            .unwrap()
    }

    async fn next_of(&mut self, count: usize) -> Vec<Run> {
        let mut runs = Vec::new();
        for _ in 0..count {
            runs.push(self.next().await);
        }
        runs
    }

    /// Whether no job starts until everything at hand is done.
    async fn nothing_starts(&mut self) -> bool {
        timeout(Duration::from_millis(100), self.started.recv())
            .await
            .is_err()
    }

    fn end(&self, run: Run, end: End) {
        self.handle.ended(vec![Outcome::new(run, end)]);
    }

    fn complete(&self, run: Run) {
        self.end(run, End::Completed);
    }

    /// Completes every job as it starts, until the engine ends.
    async fn complete_all(mut self) -> (Result<u64>, Arc<MemoryStore>, Arc<Recorder>) {
        loop {
            tokio::select! {
                Some(run) = self.started.recv() => self.complete(run),
                ran = &mut self.engine => {
                    let ran = ran.unwrap().map(|tally| tally.started);
                    return (ran, self.store, self.handlers);
                }
            }
        }
    }

    async fn tally(self) -> Result<Tally> {
        timeout(POLL * 20, self.engine)
            .await
            .expect("the engine should have ended")
            .unwrap()
    }

    /// How many jobs it has started.
    async fn ended(self) -> Result<u64> {
        self.tally().await.map(|tally| tally.started)
    }

    fn reports(&self) -> Vec<Code> {
        let reports = self.handlers.reports.lock().unwrap();
        reports.iter().map(|error| error.code).collect()
    }

    fn aborted(&self) -> Vec<(Run, Code)> {
        self.handlers.aborted.lock().unwrap().clone()
    }
}

fn failed(entry: &str) -> End {
    End::Failed {
        entry: entry.to_owned(),
        pending_reason: None,
        retry: None,
        reason: Some(FailureReason::Error),
    }
}

fn down() -> Error {
    Error::new(Code::ConnectionFailed, "the server is down")
}

#[tokio::test(start_paused = true)]
async fn a_batch_runs_what_it_claimed_and_ends_when_all_is_settled() {
    let rig = Rig::new(MemoryStore::with_jobs(25), Mode::Batch, 3);
    let (ran, store, _) = rig.complete_all().await;
    assert_eq!(ran, Ok(10));
    assert_eq!(store.count(&Status::Completed), 10);
    assert_eq!(store.count(&Status::Pending), 15);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_finds_nothing_ends_at_once() {
    let rig = Rig::new(MemoryStore::default(), Mode::Batch, 3);
    let (ran, store, _) = rig.complete_all().await;
    assert_eq!(ran, Ok(0));
    assert_eq!(store.trips(), ["settle 0 claim 3", "recover"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_leaves_what_was_added_after_its_claim() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Batch, 3);
    let run = rig.next().await;
    rig.store.add(2, 3);
    rig.complete(run);
    assert_eq!(rig.ended().await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn no_more_handlers_run_than_the_concurrency_allows() {
    let mut rig = Rig::new(MemoryStore::with_jobs(5), Mode::Batch, 2);
    let first = rig.next_of(2).await;
    assert!(rig.nothing_starts().await);
    rig.complete(first[1]);
    let third = rig.next().await;
    assert_eq!(third.id, 3);
    assert!(rig.nothing_starts().await);
}

#[tokio::test(start_paused = true)]
async fn the_background_refills_each_slot_as_it_frees() {
    let mut rig = Rig::new(MemoryStore::with_jobs(50), Mode::Background, 3);
    let slow = rig.next().await;
    let mut others = rig.next_of(2).await;
    // While one is slow, forty others pass by it.
    for _ in 0..40 {
        rig.complete(others.remove(0));
        others.push(rig.next().await);
    }
    assert_eq!(
        rig.store.row(slow.id).run_no,
        1,
        "the slow one is still the first run"
    );
}

/// Ends every job as it starts, until `count` have ended: only the round trips take time.
async fn run_fast(rig: &mut Rig, count: usize) {
    for _ in 0..count {
        let run = rig.next().await;
        rig.complete(run);
    }
}

#[tokio::test(start_paused = true)]
async fn fast_jobs_are_claimed_ahead_in_whole_batches() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1_000), Mode::Background, 2);
    run_fast(&mut rig, 500).await;
    let trips = rig.store.trips();
    assert!(trips.len() < 150, "{} round trips", trips.len());
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_nobody_holds_hands_back_what_it_has_and_ends() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 3);
    rig.next().await;
    let Rig {
        store,
        handle,
        engine,
        ..
    } = rig;
    // While it looks for more.
    handle.wake();
    drop(handle);
    engine.await.unwrap().unwrap();
    assert_eq!(store.count(&Status::Pending), 1);
}

#[tokio::test(start_paused = true)]
async fn what_only_settles_does_not_take_the_turn_of_asking_for_the_jobs_of_lost_workers() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Batch, 10);
    let run = rig.next().await;
    sleep(POLL).await;
    rig.complete(run);
    let (store, shared) = (rig.store.clone(), rig.shared.clone());
    assert_eq!(rig.ended().await.unwrap(), 1);
    let trips = ["settle 0 claim 10", "recover", "settle 1 claim 0"];
    assert_eq!(store.trips(), trips);
    assert!(shared.recovery.is_due(Instant::now(), false));
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_outcomes_is_settled_beside_a_claim_and_no_claim_beside_another() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1_000), Mode::Background, 40);
    run_fast(&mut rig, 540).await;
    assert_eq!(rig.store.at_once.load(Ordering::Relaxed), 2);
    assert_eq!(rig.store.claims_at_once.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn what_was_claimed_ahead_does_not_wait_behind_slow_jobs() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1_000), Mode::Background, 2);
    run_fast(&mut rig, 500).await;
    rig.next_of(2).await;
    sleep(Duration::from_millis(1_100)).await;
    assert_eq!(rig.store.count(&Status::Completed), 500);
    assert_eq!(rig.store.count(&Status::Pending), 498);
}

#[tokio::test(start_paused = true)]
async fn an_idle_background_looks_once_in_an_interval() {
    let rig = Rig::new(MemoryStore::default(), Mode::Background, 3);
    sleep(POLL * 10 + POLL / 2).await;
    let polls = ["settle 0 claim 3", "recover"].repeat(11);
    assert_eq!(rig.store.trips(), polls);
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_shortens_the_wait() {
    let mut rig = Rig::new(MemoryStore::default(), Mode::Background, 3);
    sleep(POLL / 2).await;
    rig.store.add(1, 3);
    let woken = Instant::now();
    rig.handle.wake();
    rig.next().await;
    assert!(woken.elapsed() < POLL / 10);
}

#[tokio::test(start_paused = true)]
async fn a_wake_up_while_it_looks_is_not_lost() {
    let mut rig = Rig::new(MemoryStore::default(), Mode::Background, 3);
    // The table has been read, and the answer is on its way.
    sleep(ROUND_TRIP * 3 / 4).await;
    rig.store.add(1, 3);
    let woken = Instant::now();
    rig.handle.wake();
    rig.next().await;
    assert!(woken.elapsed() < POLL / 10);
}

#[tokio::test(start_paused = true)]
async fn what_ends_during_a_round_trip_travels_in_the_next() {
    let mut rig = Rig::new(MemoryStore::with_jobs(3), Mode::Batch, 10);
    let runs = rig.next_of(3).await;
    rig.complete(runs[0]);
    // The first outcome is on its way when the others end.
    tokio::task::yield_now().await;
    rig.complete(runs[1]);
    rig.complete(runs[2]);
    let store = rig.store.clone();
    assert_eq!(rig.ended().await, Ok(3));
    assert_eq!(
        store.trips(),
        [
            "settle 0 claim 10",
            "recover",
            "settle 1 claim 0",
            "settle 2 claim 0"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_job_that_ends_before_half_its_lease_costs_no_extension() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Batch, 3);
    let run = rig.next().await;
    sleep(LEASE * 4 / 10).await;
    rig.complete(run);
    let store = rig.store.clone();
    assert_eq!(rig.ended().await, Ok(1));
    assert!(!store.trips().iter().any(|trip| trip.starts_with("extend")));
}

#[tokio::test(start_paused = true)]
async fn a_batch_claims_no_more_than_it_has_slots_for_while_nothing_ends() {
    let mut rig = Rig::new(MemoryStore::with_jobs(10), Mode::Batch, 2);
    let runs = rig.next_of(2).await;
    sleep(LEASE * 3).await;
    assert_eq!(rig.store.count(&Status::Pending), 8);
    for run in runs {
        rig.complete(run);
    }
    let (ran, store, _) = rig.complete_all().await;
    assert_eq!(ran, Ok(10));
    assert_eq!(store.count(&Status::Completed), 10);
}

#[tokio::test(start_paused = true)]
async fn the_leases_of_what_runs_are_kept() {
    let mut rig = Rig::new(MemoryStore::with_jobs(2), Mode::Batch, 2);
    let runs = rig.next_of(2).await;
    sleep(LEASE * 5).await;
    for id in 1..=2 {
        let Status::Processing { lease_until } = rig.store.row(id).status else {
            panic!("job {id} should be owned");
        };
        assert!(lease_until > Instant::now());
    }
    assert!(rig.aborted().is_empty());
    for run in runs {
        rig.complete(run);
    }
    assert_eq!(rig.ended().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_its_job_is_told_and_its_outcome_refused() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Batch, 3);
    let run = rig.next().await;
    rig.store.change(1, |row| row.run_no += 1);
    sleep(LEASE).await;
    assert_eq!(rig.aborted(), [(run, Code::LeaseLost)]);
    rig.complete(run);
    let store = rig.store.clone();
    let handlers = rig.handlers.clone();
    assert_eq!(rig.ended().await, Ok(1));
    assert!(matches!(store.row(1).status, Status::Processing { .. }));
    let reports = handlers.reports.lock().unwrap();
    assert_eq!(reports.len(), 1);
    assert!(reports[0].message.contains("job 1"), "{}", reports[0]);
}

#[tokio::test(start_paused = true)]
async fn without_an_extension_a_run_is_told_when_its_lease_ends() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 3);
    let run = rig.next().await;
    rig.store.fail_with(Some(down()));
    sleep(LEASE - Duration::from_secs(1)).await;
    assert!(rig.aborted().is_empty());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.aborted(), [(run, Code::LeaseLost)]);
}

#[tokio::test(start_paused = true)]
async fn an_outcome_outlives_an_outage_and_the_fence_decides() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 3);
    let run = rig.next().await;
    rig.store.fail_with(Some(down()));
    rig.complete(run);
    sleep(LEASE * 20).await;
    assert_eq!(rig.reports(), [Code::ConnectionFailed], "once an outage");
    rig.store.fail_with(None);
    sleep(Duration::from_secs(20)).await;
    assert_eq!(rig.store.row(1).status, Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_reported_once_though_leases_and_claims_meet_it() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 3);
    rig.next().await;
    rig.store.fail_with(Some(down()));
    sleep(LEASE * 3).await;
    assert_eq!(rig.reports(), [Code::ConnectionFailed]);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_no_busy_loop_and_ends_by_itself() {
    let mut rig = Rig::new(MemoryStore::default(), Mode::Background, 3);
    sleep(POLL / 2).await;
    rig.store.fail_with(Some(down()));
    sleep(Duration::from_secs(600)).await;
    rig.store.add(1, 3);
    rig.store.fail_with(None);
    let run = rig.next().await;
    assert_eq!(run.id, 1);
    assert_eq!(rig.reports(), [Code::ConnectionFailed]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_cannot_claim_fails() {
    let store = MemoryStore::with_jobs(1);
    store.fail_with(Some(down()));
    let rig = Rig::new(store, Mode::Batch, 3);
    assert_eq!(rig.ended().await, Err(down()));
}

#[tokio::test(start_paused = true)]
async fn a_batch_gives_up_its_outcomes_when_their_leases_are_over() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Batch, 3);
    let run = rig.next().await;
    rig.store.fail_with(Some(down()));
    rig.complete(run);
    let asked = Instant::now();
    assert_eq!(rig.ended().await, Err(down()));
    assert!(asked.elapsed() >= LEASE && asked.elapsed() < LEASE * 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_cannot_be_stored_does_not_hold_up_its_neighbours() {
    let mut rig = Rig::new(MemoryStore::with_jobs(2), Mode::Batch, 3);
    let runs = rig.next_of(2).await;
    rig.handle.ended(vec![
        Outcome::new(runs[0], failed(r#"{"message":"naïve","stack":"é"}"#)),
        Outcome::new(runs[1], End::Completed),
    ]);
    let store = rig.store.clone();
    assert_eq!(rig.ended().await, Ok(2));
    assert_eq!(store.row(2).status, Status::Completed);
    let entry = r#"{"message":"na?ve"}"#.to_owned();
    assert_eq!(store.row(1).status, Status::Failed { entry });
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_for_what_runs_and_hands_back_what_does_not() {
    let mut rig = Rig::new(MemoryStore::with_jobs(5), Mode::Batch, 2);
    let runs = rig.next_of(2).await;
    rig.handle.stop();
    assert!(rig.nothing_starts().await);
    assert_eq!(rig.store.count(&Status::Pending), 3);
    assert_eq!(
        rig.store.row(5).attempts,
        0,
        "an attempt that never began is not counted"
    );
    for run in runs {
        rig.complete(run);
    }
    assert_eq!(rig.ended().await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_stop_during_the_claim_gives_back_what_it_brings() {
    let rig = Rig::new(MemoryStore::with_jobs(5), Mode::Background, 5);
    tokio::task::yield_now().await;
    rig.handle.stop();
    let store = rig.store.clone();
    assert_eq!(rig.ended().await, Ok(0));
    assert_eq!(store.count(&Status::Pending), 5);
}

#[tokio::test(start_paused = true)]
async fn handing_back_frees_what_runs_and_ignores_how_it_ends() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 3);
    let run = rig.next().await;
    rig.handle.hand_back();
    rig.complete(run);
    let store = rig.store.clone();
    assert_eq!(rig.aborted(), []);
    assert_eq!(rig.ended().await, Ok(1));
    assert!(matches!(
        store.row(1),
        Row {
            status: Status::Pending,
            attempts: 0,
            ..
        }
    ));
}

#[tokio::test(start_paused = true)]
async fn handing_back_does_not_wait_for_a_server_that_is_away() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 3);
    rig.next().await;
    rig.store.fail_with(Some(down()));
    rig.handle.hand_back();
    let asked = Instant::now();
    rig.ended().await.ok();
    assert!(asked.elapsed() < Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn when_the_environment_ends_what_ran_keeps_its_lease_to_the_end() {
    let mut rig = Rig::new(MemoryStore::with_jobs(5), Mode::Background, 2);
    rig.next_of(2).await;
    rig.handlers.gone.store(true, Ordering::Relaxed);
    let store = rig.store.clone();
    assert_eq!(rig.ended().await, Ok(2));
    assert!(!store.trips().iter().any(|trip| trip.starts_with("extend")));
    let Row { attempts, .. } = store.row(1);
    assert_eq!(attempts, 1, "the attempt is counted");
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_once_however_often_it_says_so() {
    let mut rig = Rig::new(MemoryStore::with_jobs(2), Mode::Background, 1);
    let run = rig.next().await;
    rig.complete(run);
    rig.end(run, failed("{}"));
    rig.complete(Run { id: 77, run_no: 7 });
    let second = rig.next().await;
    rig.complete(run);
    assert_eq!(second.id, 2);
    assert!(rig.nothing_starts().await);
    assert_eq!(rig.store.row(1).status, Status::Completed);
    assert!(rig.reports().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_job_without_attempts_left_is_reported_and_makes_room_in_the_batch() {
    let store = MemoryStore::default();
    for id in 1..=10 {
        store.add(id, 0);
    }
    store.add(11, 3);
    let (ran, store, handlers) = Rig::new(store, Mode::Batch, 3).complete_all().await;
    assert_eq!(ran, Ok(1));
    assert_eq!(store.row(11).status, Status::Completed);
    assert_eq!(handlers.reports.lock().unwrap().len(), 10);
}
