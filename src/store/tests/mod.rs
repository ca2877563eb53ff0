//! The tests that need a server, and the snapshot of the statements, which does not. `npx vitest run store` starts one
//! and runs these tests, one at a time.

mod agreement;
mod dead_entries;
mod handed_back;
mod many_lanes;
mod statements;

use std::str::FromStr;

use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::settle::Ways;
use crate::connect::{Pooler, Settings, Tls};

/// The ways of the store in memory.
const KEPT: Ways = Ways {
    buries: true,
    removes: false,
    pends: true,
};

/// Names a database that has been migrated, and that the tests may change at will.
const DATABASE: &str = "JOB_QUEUE_TEST_DATABASE";

fn url() -> String {
    std::env::var(DATABASE).expect("a database should be named")
}

async fn connect() -> sqlx::Result<PgConnection> {
    PgConnection::connect(&url()).await
}

/// For a pool to the same database.
fn settings() -> Settings {
    let url = url();
    let options = PgConnectOptions::from_str(&url).unwrap();
    let credentials = url
        .split_once("://")
        .and_then(|(_, rest)| rest.split_once('@'));
    let password = credentials.and_then(|(credentials, _)| credentials.split_once(':'));
    Settings {
        host: options.get_host().into(),
        port: options.get_port(),
        user: options.get_username().into(),
        database: options.get_database().unwrap().into(),
        password: password.map(|(_, password)| password.into()),
        tls: Tls::Disable,
        ca: None,
        cert: None,
        key: None,
        application_name: None,
        options: None,
        pooler: Pooler::None,
        statement_timeout: None,
        query_timeout: None,
        connect_timeout: None,
        max_connections: 2,
        idle_timeout: None,
        max_lifetime: None,
        schema: "public".into(),
    }
}
