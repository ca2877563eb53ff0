//! The job table as a user asks it, over the queue's own connections.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::sync::mpsc::UnboundedReceiver;

use super::batch::Batch;
use super::bulk::Bulk;
use super::columns::NewJob;
use super::enqueuer::Enqueuer;
use super::operation::Operation;
use super::unreadable;
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

    /// Runs an operation and returns the `result` of each row. A caller who cannot wait for the answer
    /// as long as the `query_timeout` says gives a `limit`. A job that cannot be read, or that Postgres refuses to
    /// let be changed, does not keep the others from it.
    pub async fn run(&self, operation: Operation, limit: Option<Duration>) -> Result<Vec<String>> {
        let limit = limit.or(self.pool.query_timeout());
        let statement = operation.statement(&self.schema);
        let answer = self.pool.fetch_within(limit, &statement).await;
        if let Some(ids) = operation.ids(&self.schema) {
            let answer = answer.and_then(|rows| results(&rows));
            return match unreadable::readable(answer) {
                Some(answer) => answer,
                None => unreadable::records(&self.pool, &self.schema, ids).await,
            };
        }
        match answer {
            Err(error) if error.suspects_rows() => {
                let bulk = Bulk {
                    pool: &self.pool,
                    schema: &self.schema,
                    limit,
                };
                bulk.run(&operation).await?.ok_or(error)
            }
            answer => results(&answer?),
        }
    }

    /// Adds jobs, each for itself, and returns the id of each: those that come at the same time travel
    /// together.
    pub async fn add_each(&self, jobs: Vec<NewJob>) -> Vec<Result<i64>> {
        self.enqueuer.add(jobs).await
    }

    /// So many jobs, which come in parts (JSON), to be added all or none.
    pub fn batch(&self, count: usize, parts: UnboundedReceiver<String>) -> Batch {
        Batch::new(self.pool.clone(), self.schema.clone(), count, parts)
    }
}

pub(super) async fn fetch_results(pool: &Pool, statement: Statement) -> Result<Vec<String>> {
    results(&pool.fetch(statement).await?)
}

pub(super) fn results(rows: &[PgRow]) -> Result<Vec<String>> {
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
