//! A job that is handed back lies behind the cursor of the worker that had claimed it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor;
use tokio::time::Instant;

use super::{connect, settings};
use crate::connect::Pool;
use crate::job::{End, Outcome};
use crate::processor::{Store, Wanted};
use crate::store::cursor::{Cursor, Position, Seen};
use crate::store::{Worker, columns};

/// Looks from the beginning have become slow, and the last job that was claimed is this one.
fn slow_at(cursor: &Cursor, position: Position) {
    let now = Instant::now();
    while cursor.look(None, now).is_from_beginning() {
        let seen = Seen {
            searched: Some(Duration::from_secs(1)),
            took: Duration::from_secs(1),
            last: HashMap::from([(0, position)]),
            ..Seen::default()
        };
        cursor.looked(&cursor.look(None, now), &seen, now);
    }
}

#[tokio::test]
#[ignore = "needs a server: npx vitest run store"]
async fn a_job_that_is_handed_back_is_found_again_at_once() {
    let mut connection = connect().await.unwrap();
    let fill = sqlx::raw_sql(
        "truncate job_queue;
        insert into job_queue (id, job_type, payload, run_at) values (1, 'job', '1', timestamptz 'epoch')",
    );
    connection.execute(fill).await.unwrap();
    let worker = Worker {
        pool: Pool::new(settings(), None).unwrap(),
        schema: Arc::new(columns::schema("public".into())),
        id: "worker".into(),
        job_types: None,
        lease: Duration::from_secs(30),
        remove_on_complete: false,
        cursor: Arc::default(),
        shared: Arc::default(),
        time: None,
        thorough: false,
    };
    let wanted = |token, limit| Wanted {
        limit,
        token,
        only: None,
    };
    let claimed = worker.exchange(Vec::new(), wanted(1, 1)).await.unwrap();
    let run = claimed.claimed[0].run;
    slow_at(
        &worker.cursor,
        Position {
            ready_at: 0,
            id: run.id,
        },
    );
    let handed_back = vec![Outcome::new(run, End::released(None))];
    worker.exchange(handed_back, wanted(2, 0)).await.unwrap();
    let claimed = worker.exchange(Vec::new(), wanted(3, 1)).await.unwrap();
    assert_eq!(claimed.claimed.len(), 1);
    worker.pool.close().await;
}
