//! Claims when there are more priorities than one statement steps through.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor};
use tokio::time::Instant;

use super::{KEPT, connect};
use crate::store::answers::read_exchanged;
use crate::store::claim::{self, Claim};
use crate::store::columns;
use crate::store::cursor::{Cursor, Seen};

/// Jobs of the future in 2,500 lanes, and five that are due below all of them.
#[tokio::test]
#[ignore = "needs a server: npx vitest run store"]
async fn a_look_is_taken_in_bounded_steps_and_comes_to_the_lowest_lane() {
    let mut connection = connect().await.unwrap();
    let schema = columns::schema("public".into());
    let fill = "truncate job_queue;
        insert into job_queue (job_type, payload, priority, run_at)
        select 'job', '1', n, now() + interval '1 day' from generate_series(1, 2500) n;
        insert into job_queue (job_type, payload) select 'job', '1' from generate_series(1, 5)";
    connection.execute(sqlx::raw_sql(fill)).await.unwrap();
    let types = ["job".to_owned(), "none".to_owned()];
    for types in [None, Some(&types[..1]), Some(&types[..])] {
        let undo = "update job_queue set status = 'pending' where status = 'processing'";
        connection.execute(undo).await.unwrap();
        let cursor = Cursor::default();
        let mut found = Vec::new();
        let mut stops = Vec::new();
        for _ in 0..3 {
            let now = Instant::now();
            let look = cursor.look(None, now);
            let ten = Claim {
                limit: 10,
                worker_id: "worker",
                lease_ms: 30_000,
                token: 1,
                types,
                proving: false,
            };
            let claim = claim::statement(&schema, Vec::new(), KEPT, &ten, &look);
            let claim = claim.with_literals().unwrap();
            let message = sqlx::raw_sql(AssertSqlSafe(claim));
            let rows = message.fetch_all(&mut connection).await.unwrap();
            let (exchanged, seen) = read_exchanged(&rows).unwrap();
            stops.push(seen.stopped);
            found.push(exchanged.claimed.len());
            let took = Duration::ZERO;
            cursor.looked(&look, &Seen { took, ..seen }, now);
        }
        assert_eq!(stops, [Some(1_501), Some(501), None]);
        assert_eq!(found, [0, 0, 5]);
    }
}
