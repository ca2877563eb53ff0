//! Reading records when Postgres holds one of them and cannot return it.
//!
//! A payload of a few kilobytes in jsonb may be more text than Postgres can write (`1e131071` has 131,072
//! digits), and a damaged page cannot be read at all. A caller that reads a page of jobs gets the others, and for
//! that job the readable part: its record without the payload, by which it can be found and deleted.

use super::answers::fetch_results;
use super::find::{Extent, named_jobs};
use crate::connect::{Pool, Schema, Statement};
use crate::error::{Code, Error, Result};

/// A list that cannot be read is read in this many parts, and so is each part: a failure takes Postgres
/// seconds, since it writes a gigabyte first, while a part without a fault takes almost no time.
const PARTS: usize = 10;

/// The longest text that a JavaScript string can hold.
const LONGEST: usize = 0x1fff_ffe8;

/// The answer, or `None` if one of several records may keep the others from being read.
pub fn readable(answer: Result<Vec<String>>) -> Option<Result<Vec<String>>> {
    match &answer {
        Ok(records) if records.iter().any(|record| record.len() > LONGEST) => None,
        Err(error) if blames_value(error) => None,
        _ => Some(answer),
    }
}

/// A value that does not fit, memory that was not to be had for it, or what is damaged (class XX).
pub(super) fn blames_value(error: &Error) -> bool {
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

    /// The readable part of a record that cannot be read whole.
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
