//! The operations of users on the job table, over the queue's own connections.

use std::sync::Arc;
use std::time::Duration;

use super::answers::results;
use super::bulk::Bulk;
use super::enqueue;
use super::operation::Operation;
use super::unreadable;
use crate::connect::{Pool, Schema};
use crate::error::Result;
use crate::job::NewJob;

#[derive(Clone)]
pub struct Table {
    pool: Pool,
    schema: Arc<Schema>,
}

impl Table {
    pub fn new(pool: Pool, schema: Arc<Schema>) -> Self {
        Self { pool, schema }
    }

    /// Runs an operation and returns the `result` of each row. A caller that cannot wait for the answer
    /// as long as the `query_timeout` gives a `limit`. A job that cannot be read, or that Postgres refuses to
    /// let be changed, does not stop the operation for the others.
    pub async fn run(&self, operation: Operation, limit: Option<Duration>) -> Result<Vec<String>> {
        let limit = limit.or(self.pool.query_timeout());
        if let Operation::Enqueue { jobs } = &operation
            && jobs.iter().any(NewJob::is_keyed)
        {
            let announced = jobs.iter().any(NewJob::is_due);
            let added = enqueue::patiently(&self.pool, &self.schema, jobs, announced, false, limit);
            return results(&added.await?);
        }
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
}
