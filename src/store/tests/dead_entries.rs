//! The cost of a claim when the entries of jobs that have ended cannot be removed, because a transaction
//! somewhere in the database may still see them.

use std::collections::HashMap;

use sqlx::{AssertSqlSafe, Executor, Row};
use tokio::time::Instant;

use super::{KEPT, connect};
use crate::store::claim::{self, Claim};
use crate::store::columns;
use crate::store::cursor::{Cursor, Look, Position, Seen};

const ENDED: i64 = 20_000;
/// More than a claim of five jobs reads: a few pages for each, and a descent in each lane.
const FEW_PAGES: i64 = 300;

/// How many pages a claim of five jobs reads.
async fn pages_of_claim(
    connection: &mut sqlx::PgConnection,
    look: &Look,
    types: Option<&[String]>,
) -> sqlx::Result<i64> {
    let schema = columns::schema("public".into());
    let five = Claim {
        limit: 5,
        worker_id: "worker",
        lease_ms: 30_000,
        token: 1,
        types,
        proving: false,
    };
    let claim = claim::statement(&schema, Vec::new(), KEPT, &five, look);
    let claim = claim.with_literals().ok_or(sqlx::Error::RowNotFound)?;
    let settings = "set local enable_seqscan = off; set local enable_bitmapscan = off;
        set local enable_hashjoin = off; set local enable_mergejoin = off";
    let explain = format!("{settings}; explain (analyze, buffers, format json) {claim}");
    connection.execute("begin").await?;
    let message = sqlx::raw_sql(AssertSqlSafe(explain));
    let row = message.fetch_one(&mut *connection).await?;
    connection.execute("rollback").await?;
    let plan: serde_json::Value = serde_json::from_str(row.try_get_unchecked(0)?).unwrap();
    let pages = |kind: &str| plan[0]["Plan"][kind].as_i64().unwrap();
    assert_eq!(plan[0]["Plan"]["Actual Rows"].as_f64(), Some(5.0));
    Ok(pages("Shared Hit Blocks") + pages("Shared Read Blocks"))
}

/// Two lanes of jobs that have all ended but the last few, in a table that a snapshot keeps as it was.
#[tokio::test]
#[ignore = "needs a server: npx vitest run store"]
async fn what_lies_behind_the_cursor_is_not_walked() {
    let mut connection = connect().await.unwrap();
    let mut other = connect().await.unwrap();
    let fill = format!(
        "truncate job_queue;
        insert into job_queue (id, job_type, payload, priority, run_at)
        select n, 'job', '{{}}', n % 2, timestamptz 'epoch' + n * interval '1 second'
        from generate_series(1, {ENDED} + 8) n"
    );
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(fill)))
        .await
        .unwrap();
    other
        .execute("begin isolation level repeatable read")
        .await
        .unwrap();
    other
        .execute("select count(*) from job_queue")
        .await
        .unwrap();
    let end = format!("update job_queue set status = 'completed' where id <= {ENDED}");
    connection
        .execute(sqlx::raw_sql(AssertSqlSafe(end)))
        .await
        .unwrap();

    let at = |id: i64| Position {
        ready_at: id * 1_000_000,
        id,
    };
    let cursor = Cursor::default();
    let now = Instant::now();
    while cursor.look(None, now).is_from_beginning() {
        let seen = Seen {
            searched: Some(std::time::Duration::from_secs(1)),
            took: std::time::Duration::from_secs(1),
            last: HashMap::from([(0, at(ENDED)), (1, at(ENDED - 1))]),
            ..Seen::default()
        };
        cursor.looked(&cursor.look(None, now), &seen, now);
    }
    let types = ["job".to_owned(), "none".to_owned()];
    for types in [None, Some(&types[..1]), Some(&types[..])] {
        let mut pages = Vec::new();
        for look in [cursor.look(None, now), Look::from_beginning()] {
            pages.push(pages_of_claim(&mut connection, &look, types).await.unwrap());
        }
        assert!(
            pages[0] < FEW_PAGES,
            "{} pages from the cursor on",
            pages[0]
        );
        assert!(
            pages[1] > 2 * FEW_PAGES,
            "{} pages from the beginning on",
            pages[1]
        );
    }
}
