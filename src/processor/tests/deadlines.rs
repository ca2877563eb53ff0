//! An engine that works until nothing is due, or until its time is up.

use super::*;

const TIME: Duration = Duration::from_secs(20);

fn rig(store: MemoryStore, concurrency: usize) -> Rig {
    let deadline = Instant::now() + TIME;
    Rig::new(store, Mode::UntilEmpty { deadline }, concurrency)
}

#[tokio::test(start_paused = true)]
async fn it_ends_when_nothing_is_due_and_nothing_runs() {
    let begun = Instant::now();
    let (ran, store, _) = rig(MemoryStore::with_jobs(25), 3).complete_all().await;
    assert_eq!(ran, Ok(25));
    assert_eq!(store.count(&Status::Completed), 25);
    assert!(begun.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn it_finds_what_is_added_while_something_runs() {
    let mut rig = rig(MemoryStore::with_jobs(1), 2);
    let first = rig.next().await;
    rig.store.add(2, 3);
    let second = rig.next().await;
    rig.complete(second);
    rig.store.add(3, 3);
    rig.complete(first);
    let third = rig.next().await;
    rig.complete(third);
    assert_eq!(rig.ended().await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn what_runs_at_the_deadline_is_told_and_handed_back() {
    let begun = Instant::now();
    let mut rig = rig(MemoryStore::with_jobs(3), 2);
    let runs = rig.next_of(2).await;
    rig.end(runs[1], failed("{}"));
    let third = rig.next().await;
    let (store, handlers) = (rig.store.clone(), rig.handlers.clone());
    let tally = rig.tally().await.unwrap();
    assert!(begun.elapsed() >= TIME && begun.elapsed() < TIME + Duration::from_secs(1));
    let told = handlers.aborted.lock().unwrap().clone();
    assert_eq!(told.len(), 2);
    assert!(told.contains(&(runs[0], Code::Deadline)) && told.contains(&(third, Code::Deadline)));
    assert_eq!((tally.started, tally.failed, tally.released), (3, 1, 2));
    let row = store.row(runs[0].id);
    assert_eq!((row.status, row.attempts), (Status::Pending, 0));
}

#[tokio::test(start_paused = true)]
async fn what_would_not_end_in_time_is_not_begun() {
    let mut rig = rig(MemoryStore::with_jobs(10), 1);
    let mut ran = 0;
    let begun = Instant::now();
    // Each takes six seconds: three fit, and the fourth would not end.
    while let Ok(Some(run)) = timeout(TIME, rig.started.recv()).await {
        ran += 1;
        sleep(Duration::from_secs(6)).await;
        rig.complete(run);
    }
    assert!(ran < 4, "{ran} were begun");
    let store = rig.store.clone();
    assert!(begun.elapsed() < TIME * 2);
    assert_eq!(rig.tally().await.unwrap().completed, ran);
    assert_eq!(store.count(&Status::Pending), 10 - ran as usize);
    assert_eq!(store.row(10).attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn what_could_not_be_written_in_time_is_an_error() {
    let mut rig = rig(MemoryStore::with_jobs(1), 1);
    let run = rig.next().await;
    rig.store.fail_with(Some(down()));
    rig.complete(run);
    let error = rig.tally().await.unwrap_err();
    assert_eq!(error.code, Code::ConnectionFailed);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fails_is_an_error() {
    let store = MemoryStore::with_jobs(1);
    store.fail_with(Some(down()));
    let rig = rig(store, 1);
    assert_eq!(rig.tally().await.unwrap_err(), down());
}
