//! What needs a server, but for the snapshot of the statements. `npx vitest run store` starts one and runs these
//! tests, one at a time.

mod agreement;
mod dead_entries;
mod many_lanes;
mod statements;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::settle::Ways;

/// As the store in memory has it.
const KEPT: Ways = Ways {
    removes: false,
    pends: true,
};

/// Names a database that has been migrated, and that the tests may do with as they like.
const DATABASE: &str = "JOB_QUEUE_TEST_DATABASE";

async fn connect() -> sqlx::Result<PgConnection> {
    let url = std::env::var(DATABASE).expect("a database should be named");
    PgConnection::connect(&url).await
}
