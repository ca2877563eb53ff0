//! Reading records of which Postgres holds one and cannot give it back.
//!
//! A payload of a few kilobytes in jsonb may be more text than Postgres can write (`1e131071` has 131,072
//! digits), and a damaged page cannot be read at all. Whoever reads a page of jobs is to get the others, and of
//! that one what can be read: its record without the payload, by which it can be found and deleted.

use super::answers::fetch_results;
use super::find::{Extent, named_jobs};
use crate::connect::{Pool, Schema, Statement};
use crate::error::{Code, Error, Result};

/// A list that cannot be read is read in so many parts, and so is each of those: to fail takes Postgres
/// seconds, since it writes a gigabyte first, while a part without a fault takes next to nothing.
const PARTS: usize = 10;

/// The longest text that JavaScript can be handed.
const LONGEST: usize = 0x1fff_ffe8;

/// The answer, or `None` if one of several records may be what keeps the others from being read.
pub fn readable(answer: Result<Vec<String>>) -> Option<Result<Vec<String>>> {
    match &answer {
        Ok(records) if records.iter().any(|record| record.len() > LONGEST) => None,
        Err(error) if blames_value(error) => None,
        _ => Some(answer),
    }
}

/// A value that does not fit, memory that was not to be had for it, or what is damaged (class XX).
fn blames_value(error: &Error) -> bool {
    let state = error.sql_state.as_deref().unwrap_or_default();
    error.blames_row() || state.starts_with("XX") || state == "53200"
}

/// Reads the records of the jobs whose ids `ids` answers.
pub async fn records(pool: &Pool, schema: &Schema, ids: Statement) -> Result<Vec<String>> {
    let ids = fetch_results(pool, ids).await?;
    let ids: std::result::Result<Vec<i64>, _> = ids.iter().map(|id| id.parse()).collect();
    let ids = ids.map_err(|error| {
        Error::new(
            Code::DatabaseError,
            "a job id in the answer of Postgres cannot be read",
        )
        .caused_by(error)
    })?;
    Reader { pool, schema }.parts(&ids).await
}

struct Reader<'a> {
    pool: &'a Pool,
    schema: &'a Schema,
}

impl Reader<'_> {
    async fn parts(&self, ids: &[i64]) -> Result<Vec<String>> {
        if let [id] = ids {
            return self.reduced(*id).await;
        }
        let mut records = Vec::with_capacity(ids.len());
        for part in ids.chunks(ids.len().div_ceil(PARTS).max(1)) {
            records.append(&mut match self.fetch(part, Extent::Whole).await {
                Some(answer) => answer?,
                None => Box::pin(self.parts(part)).await?,
            });
        }
        Ok(records)
    }

    /// What can be read of a record that cannot be read whole.
    async fn reduced(&self, id: i64) -> Result<Vec<String>> {
        match self.fetch(&[id], Extent::WithoutPayload).await {
            Some(answer) => answer,
            None => fetch_results(self.pool, named_jobs(self.schema, &[id], Extent::Least)).await,
        }
    }

    async fn fetch(&self, ids: &[i64], extent: Extent) -> Option<Result<Vec<String>>> {
        let statement = named_jobs(self.schema, ids, extent);
        readable(fetch_results(self.pool, statement).await)
    }
}
