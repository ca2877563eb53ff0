//! The tests that need a server, and the snapshot of the statements, which does not. `npx vitest run store` starts one
//! and runs these tests, one at a time.

mod agreement;
mod dead_entries;
mod many_lanes;
mod statements;

use sqlx::Connection;
use sqlx::postgres::PgConnection;

use super::settle::Ways;

/// The ways of the store in memory.
const KEPT: Ways = Ways {
    removes: false,
    pends: true,
};

/// Names a database that has been migrated, and that the tests may change at will.
const DATABASE: &str = "JOB_QUEUE_TEST_DATABASE";

async fn connect() -> sqlx::Result<PgConnection> {
    let url = std::env::var(DATABASE).expect("a database should be named");
    PgConnection::connect(&url).await
}
