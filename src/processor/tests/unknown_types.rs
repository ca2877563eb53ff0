//! Jobs of types for which the processor has no handler.

use super::*;

const MINUTE: Duration = Duration::from_secs(60);

/// Jobs 1 to `unknown` have no handler, and come before `known` others.
fn store(unknown: i64, known: i64) -> MemoryStore {
    let store = MemoryStore::with_jobs(unknown + known);
    for id in 1..=unknown {
        store.change(id, |row| {
            row.job_type = "new";
            row.priority = 1;
        });
    }
    store
}

#[tokio::test(start_paused = true)]
async fn they_are_left_alone_and_the_others_run() {
    let mut rig = Rig::new(store(100, 3), Mode::Background, 20);
    let began = Instant::now();
    let runs = rig.next_of(3).await;
    assert!(began.elapsed() < ROUND_TRIP * 10);
    for run in runs {
        assert!(run.id > 100);
        rig.complete(run);
    }
    assert!(rig.nothing_starts().await);
    for id in 1..=100 {
        let row = rig.store.row(id);
        assert_eq!((row.status, row.attempts), (Status::Pending, 0));
    }
    let claims_of = |id| rig.store.row(id).run_no;
    let met = (1..=100).map(claims_of).sum::<i64>();
    assert_eq!(met, 10, "one claim, of the batch's size, has met them");
    let reports = rig.handlers.reports.lock().unwrap();
    let codes: Vec<_> = reports.iter().map(|error| error.code).collect();
    assert_eq!(codes, [Code::NoHandler]);
}

#[tokio::test(start_paused = true)]
async fn they_are_looked_at_again_after_a_minute_then_two_up_to_an_hour() {
    let rig = Rig::new(store(1, 0), Mode::Background, 1);
    let mut met = Vec::new();
    for _ in 0..16 * 60 {
        sleep(MINUTE / 4).await;
        let claims = rig.store.row(1).run_no;
        if met.last().is_none_or(|&(_, before)| before < claims) {
            met.push((Instant::now(), claims));
        }
    }
    let waits = met
        .windows(2)
        .map(|pair| (pair[1].0 - pair[0].0).as_secs() / 60);
    assert_eq!(waits.collect::<Vec<_>>()[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
}

#[tokio::test(start_paused = true)]
async fn each_type_is_told_once() {
    let rig = Rig::new(store(1, 0), Mode::Background, 20);
    sleep(MINUTE / 2).await;
    rig.store.add(2, 3);
    rig.store.change(2, |row| row.job_type = "newer");
    sleep(MINUTE * 20).await;
    assert!(rig.store.row(1).run_no > 2 && rig.store.row(2).run_no > 2);
    assert_eq!(rig.handlers.reports.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_filled_with_other_jobs() {
    let mut rig = Rig::new(store(15, 12), Mode::Batch, 20);
    for run in rig.next_of(10).await {
        rig.complete(run);
    }
    let tally = rig.engine.await.unwrap().unwrap();
    assert_eq!((tally.started, tally.completed), (10, 10));
}

#[tokio::test(start_paused = true)]
async fn a_batch_ends_when_all_else_is_done() {
    let rig = Rig::new(store(3, 0), Mode::Batch, 20);
    let tally = rig.engine.await.unwrap().unwrap();
    assert_eq!((tally.started, tally.released), (0, 3));
    let began = Instant::now();
    let deadline = began + MINUTE;
    let mode = Mode::UntilEmpty {
        deadline,
        last_words: Duration::from_secs(1),
    };
    let rig = Rig::new(store(3, 0), mode, 20);
    rig.engine.await.unwrap().unwrap();
    assert!(began.elapsed() < MINUTE / 2);
}
