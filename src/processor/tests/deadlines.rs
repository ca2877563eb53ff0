//! An engine that works until nothing is due, or until its time is up.

use super::*;

const TIME: Duration = Duration::from_secs(20);

fn until(deadline: Instant) -> Mode {
    Mode::UntilEmpty {
        deadline,
        last_words: Duration::from_secs(1),
    }
}

fn rig(store: MemoryStore, concurrency: usize) -> Rig {
    let deadline = Instant::now() + TIME;
    Rig::new(store, until(deadline), concurrency)
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
    // It had all of the invocation, so the attempt counts, and it goes behind the due jobs.
    let row = store.row(runs[0].id);
    assert_eq!((&row.status, row.attempts), (&Status::Pending, 1));
    assert!(row.ready_at().unwrap() >= begun + TIME);
    let unfinished: Vec<_> = tally.did_not_fit.iter().map(|job| job.id).collect();
    assert_eq!(unfinished.len(), 2);
    assert!(unfinished.contains(&runs[0].id) && unfinished.contains(&third.id));
}

#[tokio::test(start_paused = true)]
async fn a_run_that_had_less_than_half_of_the_time_has_had_no_attempt() {
    let mut rig = rig(MemoryStore::with_jobs(1), 2);
    let first = rig.next().await;
    sleep(TIME * 6 / 10).await;
    rig.store.add(2, 3);
    let second = rig.next().await;
    let store = rig.store.clone();
    rig.tally().await.unwrap();
    assert_eq!(store.row(first.id).attempts, 1);
    assert_eq!(store.row(second.id).attempts, 0);
}

#[tokio::test(start_paused = true)]
async fn jobs_that_never_end_take_no_turn_of_the_others_and_fail_in_the_end() {
    let store = Arc::new(MemoryStore::with_jobs(53));
    let mut invocations = 0;
    while store.count(&Status::Completed) < 50 {
        invocations += 1;
        assert!(invocations < 10);
        let deadline = Instant::now() + TIME;
        let mut rig = Rig::over(store.clone(), until(deadline), 3);
        loop {
            tokio::select! {
                Some(run) = rig.started.recv() => if run.id > 3 { rig.complete(run) },
                _ = &mut rig.engine => break,
            }
        }
    }
    assert_eq!(invocations, 2, "the others had their turn in the second");
    for _ in 0..2 {
        let deadline = Instant::now() + TIME;
        let _ = Rig::over(store.clone(), until(deadline), 3).tally().await;
    }
    for id in 1..=3 {
        assert!(
            matches!(store.row(id).status, Status::Failed { .. }),
            "{:?}",
            store.row(id)
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_fails_ends_it_and_is_reported_once() {
    let store = MemoryStore::with_jobs(1);
    store.fail_with(Some(down()));
    let rig = rig(store, 1);
    let handlers = rig.handlers.clone();
    assert_eq!(rig.tally().await.unwrap_err(), down());
    assert_eq!(handlers.reports.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_would_not_end_in_time_is_not_begun() {
    let mut rig = rig(MemoryStore::with_jobs(10), 1);
    let mut ran = 0;
    let begun = Instant::now();
    // Each takes six seconds: three fit, and a fourth would not end in time.
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
