//! The job table as a user asks it, over the queue's own connections.

use std::sync::Arc;

use sqlx::Row;

use super::enqueuer::Enqueuer;
use super::operation::Operation;
use crate::connect::{Pool, Schema, Statement};
use crate::error::{Code, Error, Result};

#[derive(Clone)]
pub struct Table {
    pool: Pool,
    schema: Arc<Schema>,
    enqueuer: Arc<Enqueuer>,
}

impl Table {
    pub fn new(pool: Pool, schema: Arc<Schema>) -> Self {
        let enqueuer = Arc::new(Enqueuer::new(pool.clone(), schema.clone()));
        Self {
            pool,
            schema,
            enqueuer,
        }
    }

    /// Runs an operation and returns the `result` of each row.
    pub async fn run(&self, operation: Operation) -> Result<Vec<String>> {
        match operation {
            // Of jobs added one by one, those that come at the same time travel together. What is
            // added as a batch stays one: all or nothing.
            Operation::Enqueue { mut jobs } if jobs.len() == 1 => {
                let job = jobs.remove(0);
                Ok(vec![self.enqueuer.add(job).await?])
            }
            operation => fetch_results(&self.pool, operation.statement(&self.schema)).await,
        }
    }
}

pub(super) async fn fetch_results(pool: &Pool, statement: Statement) -> Result<Vec<String>> {
    let rows = pool.fetch(statement).await?;
    let results: std::result::Result<_, _> = rows.iter().map(|row| row.try_get("result")).collect();
    results.map_err(unreadable)
}

pub(super) fn unreadable(error: sqlx::Error) -> Error {
    Error::new(
        Code::DatabaseError,
        "an answer of Postgres was not understood",
    )
    .caused_by(error)
}
