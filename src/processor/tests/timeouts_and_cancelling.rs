//! Ending a run that does not end by itself.

use super::*;

const LIMIT: Duration = Duration::from_secs(7);

fn timed_out_after(ms: u128) -> Status {
    let message = format!("Timed out after {ms} ms");
    let entry = serde_json::json!({ "name": "Timeout", "message": message }).to_string();
    Status::Failed { entry }
}

fn with_time_limit(jobs: i64) -> MemoryStore {
    let store = MemoryStore::with_jobs(jobs);
    store.change(1, |row| row.timeout = Some(LIMIT));
    store
}

#[tokio::test(start_paused = true)]
async fn a_run_that_takes_too_long_has_failed_and_its_slot_is_free() {
    let mut rig = Rig::new(with_time_limit(2), Mode::Background, 1);
    let begun = Instant::now();
    let run = rig.next().await;
    let next = rig.next().await;
    assert_eq!((run.id, next.id), (1, 2));
    assert!(begun.elapsed() >= LIMIT && begun.elapsed() < LIMIT * 2);
    assert_eq!(rig.aborted(), [(run, Code::Timeout)]);
    sleep(ROUND_TRIP * 2).await;
    assert_eq!(rig.store.row(1).status, timed_out_after(LIMIT.as_millis()));

    rig.complete(run);
    sleep(ROUND_TRIP * 2).await;
    assert_eq!(
        rig.store.row(1).status,
        timed_out_after(LIMIT.as_millis()),
        "what it says too late changes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn the_time_of_a_run_begins_when_it_starts_and_not_when_it_was_claimed() {
    let store = MemoryStore::with_jobs(2);
    store.change(2, |row| row.timeout = Some(LIMIT));
    let mut rig = Rig::new(store, Mode::Batch, 1);
    let first = rig.next().await;
    sleep(LIMIT * 2).await;
    rig.complete(first);
    let second = rig.next().await;
    sleep(LIMIT / 2).await;
    rig.complete(second);
    let store = rig.store.clone();
    assert_eq!(rig.ended().await, Ok(2));
    assert_eq!(store.row(2).status, Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_asks_for_more_time_gets_it_and_never_less() {
    let mut rig = Rig::new(with_time_limit(1), Mode::Batch, 1);
    let run = rig.next().await;
    rig.handle.extend_timeout(run, Duration::from_secs(1));
    sleep(LIMIT - Duration::from_secs(1)).await;
    assert!(rig.aborted().is_empty(), "asking for less shortens nothing");
    rig.handle.extend_timeout(run, LIMIT);
    sleep(LIMIT - Duration::from_secs(1)).await;
    assert!(rig.aborted().is_empty());
    sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.aborted(), [(run, Code::Timeout)]);
    let whole = (LIMIT * 2 - Duration::from_secs(1)).as_millis();
    assert_eq!(rig.store.row(1).status, timed_out_after(whole));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_lost_its_lease_still_frees_its_slot_when_its_time_is_up() {
    let mut rig = Rig::new(with_time_limit(1), Mode::Background, 1);
    let run = rig.next().await;
    rig.store.change(1, |row| row.run_no += 1);
    rig.store.change(1, |row| {
        row.status = Status::Processing {
            lease_until: Instant::now() + LIMIT * 10,
        }
    });
    rig.store.add(2, 3);
    assert_eq!(rig.next().await.id, 2);
    assert_eq!(rig.aborted(), [(run, Code::Timeout)]);
    sleep(ROUND_TRIP * 2).await;
    assert_eq!(rig.reports(), [Code::LeaseLost], "its outcome is refused");
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_is_told_and_ends_as_cancelled() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 1);
    let run = rig.next().await;
    rig.store.change(1, |row| row.cancel_requested = true);
    rig.handle.cancel(run.id);
    sleep(ROUND_TRIP).await;
    assert_eq!(rig.aborted(), [(run, Code::Cancelled)]);
    rig.end(run, End::Cancelled);
    sleep(ROUND_TRIP * 2).await;
    assert_eq!(rig.store.row(1).status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_completes_first_is_completed() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 1);
    let run = rig.next().await;
    rig.store.change(1, |row| row.cancel_requested = true);
    rig.handle.cancel(run.id);
    rig.complete(run);
    sleep(ROUND_TRIP * 2).await;
    assert_eq!(rig.store.row(1).status, Status::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_that_does_not_end_loses_its_slot_when_the_grace_is_over() {
    let mut rig = Rig::new(MemoryStore::with_jobs(2), Mode::Background, 1);
    let run = rig.next().await;
    rig.store.change(1, |row| row.cancel_requested = true);
    rig.handle.cancel(run.id);
    let asked = Instant::now();
    assert_eq!(rig.next().await.id, 2);
    assert!(asked.elapsed() >= GRACE && asked.elapsed() < GRACE * 2);
    sleep(ROUND_TRIP * 2).await;
    assert_eq!(rig.store.row(1).status, Status::Cancelled);
    assert_eq!(rig.aborted().len(), 1, "it is told once");
}

#[tokio::test(start_paused = true)]
async fn what_waits_and_is_cancelled_never_starts() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1_000), Mode::Background, 2);
    run_fast(&mut rig, 500).await;
    let running = rig.next_of(2).await;
    sleep(ROUND_TRIP * 5).await;
    let rows = rig.store.rows();
    let mut claimed = rows.iter().filter(|(_, row)| row.is_processing());
    let waits = *claimed.next_back().unwrap().0;
    assert!(waits > running[1].id);
    rig.store.change(waits, |row| row.cancel_requested = true);
    rig.handle.cancel(waits);
    for run in running {
        rig.complete(run);
    }
    assert_ne!(rig.next().await.id, waits);
    sleep(ROUND_TRIP * 3).await;
    assert_eq!(rig.store.row(waits).status, Status::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn without_word_of_it_the_extension_tells_that_a_job_is_cancelled() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 1);
    let run = rig.next().await;
    rig.store.change(1, |row| row.cancel_requested = true);
    sleep(LEASE / 2 + ROUND_TRIP * 2).await;
    assert_eq!(rig.aborted(), [(run, Code::Cancelled)]);
}

#[tokio::test(start_paused = true)]
async fn a_recheck_tells_what_was_missed_and_writes_nothing() {
    let mut rig = Rig::new(MemoryStore::with_jobs(1), Mode::Background, 1);
    let run = rig.next().await;
    rig.store.change(1, |row| row.cancel_requested = true);
    let trips = rig.store.trips();
    rig.handle.recheck();
    sleep(ROUND_TRIP * 2).await;
    assert_eq!(rig.aborted(), [(run, Code::Cancelled)]);
    assert_eq!(rig.store.trips(), trips);
}

#[tokio::test(start_paused = true)]
async fn a_job_to_be_cancelled_whose_worker_was_lost_is_cancelled_by_the_next_claim() {
    let store = MemoryStore::with_jobs(1);
    store.change(1, |row| {
        row.status = Status::Processing {
            lease_until: Instant::now(),
        };
        row.cancel_requested = true;
    });
    let rig = Rig::new(store, Mode::Batch, 1);
    let (ran, store, handlers) = rig.complete_all().await;
    assert_eq!(ran, Ok(0));
    assert_eq!(store.row(1).status, Status::Cancelled);
    assert!(handlers.reports.lock().unwrap().is_empty());
}
