//! Adding many jobs at once, all or none.
//!
//! They come in parts, and are copied while the next parts are still being made: `COPY` takes Postgres
//! less time than an insert, and goes on meanwhile. Since no row is visible before the commit, jobs that
//! stop coming leave nothing behind. Parts with keys are inserted, in the same transaction.

use std::sync::Arc;

use sqlx::Row;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};

use super::answers::unreadable;
use super::columns::{self, Given};
use super::enqueue::{self, BLOCKED};
use super::notify::announcement;
use crate::connect::{
    CopyIn, CopyText, Pool, Schema, Statement, Transaction, Undone, Value, kept_out,
};
use crate::error::{Code, Error, Result};
use crate::job::{Added, NewJob};

/// The number of rows that are sent at a time.
const ROWS: usize = 500;

/// Draws the ids, in the order of the jobs. It answers none where jobs cannot be copied: `COPY` is
/// refused where row-level security applies, and it has to write the ids itself, which the role may not be
/// allowed to, or which may come from another source than the column's own sequence.
pub(super) const RESERVE: &str = "with named as (
    select pg_catalog.format('%I.job_queue', {schema}) as name
), jobs as materialized (
    select name::regclass as id, pg_catalog.pg_get_serial_sequence(name, 'id')::regclass as sequence
    from named
)
select
    case when sequence is not null and not pg_catalog.row_security_active(id)
        and pg_catalog.has_column_privilege(id, 'id', 'insert')
    then array(
        select pg_catalog.nextval(sequence) from pg_catalog.generate_series(1, {count}::bigint)
    ) end as ids,
    (extract(epoch from pg_catalog.now()) * 1000000::numeric)::bigint as now
from jobs";

/// The jobs of a part travel with the columns that one of them gives.
pub(super) fn copy(schema: &Schema, given: Given) -> Statement {
    let template = match given {
        Given::Plain => "copy {jobs} (id, {given}) from stdin",
        Given::All => "copy {jobs} (id, {all_given}) from stdin",
    };
    schema.statement(template, Vec::new())
}

/// The jobs that were added.
pub struct AddedMany {
    /// In the order of the jobs.
    pub ids: Vec<i64>,
    pub any_due: bool,
}

/// Jobs on their way.
pub struct AddMany {
    pool: Pool,
    schema: Arc<Schema>,
    count: usize,
    parts: Parts,
}

impl AddMany {
    pub fn new(
        pool: Pool,
        schema: Arc<Schema>,
        count: usize,
        coming: UnboundedReceiver<String>,
    ) -> Self {
        let come = Vec::new();
        Self {
            pool,
            schema,
            count,
            parts: Parts { coming, come },
        }
    }

    pub async fn add(mut self) -> Result<AddedMany> {
        // If the first part is at fault already, nothing is sent to the database.
        if self.parts.get(0).await?.is_none() {
            return Err(broken_off());
        }
        let asked = Instant::now();
        let mut undone = Undone::default();
        loop {
            let answer = self.add_once().await;
            if let Err(error) = &answer
                && error.was_locked_out()
                && self.parts.any_keyed()
                && (self.pool.query_timeout()).is_none_or(|limit| asked.elapsed() < limit)
            {
                // A transaction that has added one of the keys is open. It may need the connection to end.
                sleep(BLOCKED * 4).await;
                continue;
            }
            if !undone.go_again(&answer).await {
                return answer;
            }
        }
    }

    async fn add_once(&mut self) -> Result<AddedMany> {
        let mut transaction = self.pool.begin().await?;
        match self.write(&mut transaction).await {
            Ok(added) => transaction.commit().await.map(|()| added),
            Err(error) => {
                transaction.roll_back().await;
                Err(error)
            }
        }
    }

    async fn write(&mut self, transaction: &mut Transaction) -> Result<AddedMany> {
        let count = i64::try_from(self.count).unwrap_or(i64::MAX);
        let reserve = self
            .schema
            .statement(RESERVE, vec![("count", Value::BigInt(count))]);
        let rows = transaction.fetch(&reserve).await?;
        let (ids, now): (Option<Vec<i64>>, i64) = match &rows[..] {
            [row] => (
                row.try_get("ids").map_err(unreadable)?,
                row.try_get("now").map_err(unreadable)?,
            ),
            _ => return Err(unreadable(sqlx::Error::RowNotFound)),
        };
        let Some(ids) = ids else {
            return self.insert(transaction).await;
        };
        let mut copied = Copied {
            reserved: ids.iter(),
            now,
            parts: 0,
            ids: Vec::with_capacity(self.count),
            any_due: false,
        };
        // The next part, if there is one, gives other columns than the last.
        let (mut rows, mut inserted) = (0, 0);
        while let Some(part) = self.parts.get(copied.parts).await? {
            if part.iter().any(NewJob::is_keyed) {
                // A copy fails if a key is held.
                copied.any_due = copied.any_due || part.iter().any(NewJob::is_due);
                let statement = enqueue::jobs(&self.schema, part, false, Some(BLOCKED));
                let added = enqueue::added(&transaction.fetch(&statement).await?)?;
                copied.ids.extend(added.iter().map(Added::id));
                copied.parts += 1;
                inserted += part.len() as u64;
                continue;
            }
            let given = Given::by(part);
            let statement = copy(&self.schema, given);
            let mut copy = transaction.copy_in(&statement.sql).await?;
            if let Err(error) = self.copy(&mut copy, given, &mut copied).await {
                copy.abort().await?;
                return Err(error);
            }
            rows += copy.finish().await?;
        }
        if copied.ids.len() != self.count {
            return Err(broken_off());
        }
        if rows + inserted != self.count as u64 {
            return Err(kept_out());
        }
        let Copied { ids, any_due, .. } = copied;
        if any_due {
            transaction.fetch(&announcement(&self.schema)).await?;
        }
        Ok(AddedMany { ids, any_due })
    }

    /// Sends the rows of the next parts that give these columns.
    async fn copy(
        &mut self,
        copy: &mut CopyIn<'_>,
        given: Given,
        copied: &mut Copied<'_>,
    ) -> Result<()> {
        let mut rows = CopyText::default();
        while let Some(part) = self.parts.get(copied.parts).await? {
            if Given::by(part) != given || part.iter().any(NewJob::is_keyed) {
                break;
            }
            copied.any_due = copied.any_due || part.iter().any(NewJob::is_due);
            for jobs in part.chunks(ROWS) {
                for (job, &id) in jobs.iter().zip(copied.reserved.by_ref()) {
                    copied.ids.push(id);
                    rows.number(Some(id));
                    columns::copy(job, given, &mut rows, copied.now);
                    rows.end_row();
                }
                copy.send(rows.as_bytes()).await?;
                rows.clear();
            }
            copied.parts += 1;
        }
        Ok(())
    }

    async fn insert(&mut self, transaction: &mut Transaction) -> Result<AddedMany> {
        let mut at = 0;
        while self.parts.get(at).await?.is_some() {
            at += 1;
        }
        let jobs: Vec<&NewJob> = self.parts.come.iter().flatten().collect();
        if jobs.len() != self.count {
            return Err(broken_off());
        }
        let any_due = jobs.iter().any(|job| job.is_due());
        let statement = enqueue::jobs(&self.schema, &jobs, any_due, None);
        let added = enqueue::added(&transaction.fetch(&statement).await?)?;
        let ids = added.iter().map(Added::id).collect();
        Ok(AddedMany { ids, any_due })
    }
}

/// How far the copy has come.
struct Copied<'a> {
    /// The drawn ids that are left, ...
    reserved: std::slice::Iter<'a, i64>,
    /// ... and those of the jobs, by their places.
    ids: Vec<i64>,
    /// In microseconds since the Unix epoch.
    now: i64,
    parts: usize,
    any_due: bool,
}

/// The jobs as they come. They are kept, because a copy that the server undoes is sent again.
struct Parts {
    /// Each a JSON text.
    coming: UnboundedReceiver<String>,
    come: Vec<Vec<NewJob>>,
}

impl Parts {
    /// Whether one of those that have come has a key.
    fn any_keyed(&self) -> bool {
        self.come.iter().flatten().any(NewJob::is_keyed)
    }

    /// This part, or `None` when all have come.
    async fn get(&mut self, at: usize) -> Result<Option<&[NewJob]>> {
        if at == self.come.len() {
            let Some(part) = self.coming.recv().await else {
                return Ok(None);
            };
            let jobs = serde_json::from_str(&part).map_err(|error| {
                Error::new(
                    Code::InvalidArgument,
                    "a part of the jobs cannot be read: this is a bug of pg-bg-job-queue, please report it",
                )
                .caused_by(error)
            })?;
            self.come.push(jobs);
        }
        Ok(self.come.get(at).map(Vec::as_slice))
    }
}

/// The caller of `addJobs` has given it up, or is gone with its environment.
fn broken_off() -> Error {
    Error::new(
        Code::Closed,
        "addJobs ended before all jobs had arrived: none of them was added",
    )
}
