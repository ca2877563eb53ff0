//! Reading the answers of statements.

use std::cmp::Reverse;
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::claim::WITH_DEAD_LETTER;
use super::cursor::{Position, Seen};
use crate::connect::{Pool, Statement, passed_over};
use crate::error::{Code, Error, Result};
use crate::job::{ClaimedJob, ExhaustedJob, Run, claimed_columns};
use crate::processor::{Exchanged, Extended, Fate};

pub async fn fetch_results(pool: &Pool, statement: Statement) -> Result<Vec<String>> {
    results(&pool.fetch(statement).await?)
}

pub fn results(rows: &[PgRow]) -> Result<Vec<String>> {
    let results: std::result::Result<_, _> = rows.iter().map(|row| row.try_get("result")).collect();
    results.map_err(unreadable)
}

pub fn unreadable(error: sqlx::Error) -> Error {
    Error::new(
        Code::DatabaseError,
        "the answer of Postgres cannot be read: see the cause of this error",
    )
    .caused_by(error)
}

pub fn read_ids(rows: &[PgRow]) -> std::result::Result<Vec<i64>, sqlx::Error> {
    rows.iter().map(|row| row.try_get("id")).collect()
}

pub fn read_runs(rows: &[PgRow]) -> std::result::Result<Vec<Run>, sqlx::Error> {
    rows.iter().map(read_run).collect()
}

pub fn read_refusals(rows: &[PgRow]) -> Option<u32> {
    let refusals: i32 = rows.first()?.try_get("refusals").ok()?;
    refusals.try_into().ok()
}

pub fn read_fates(rows: &[PgRow]) -> std::result::Result<Vec<(Run, Fate)>, sqlx::Error> {
    let read = |row: &PgRow| {
        let fate = match row.try_get::<&str, _>("fate")? {
            "written" => Fate::Written,
            "unburied" => Fate::Otherwise(passed_over()),
            "locked" => Fate::Locked,
            "passed over" => Fate::Refused(passed_over()),
            _ => Fate::Lost,
        };
        Ok((read_run(row)?, fate))
    };
    rows.iter().map(read).collect()
}

pub fn read_extended(row: &PgRow) -> std::result::Result<Extended, sqlx::Error> {
    Ok(Extended {
        run: read_run(row)?,
        locked: row.try_get("locked")?,
        refused: row.try_get::<bool, _>("passed_over")?.then(passed_over),
        cancel_requested: row.try_get("cancel_requested")?,
    })
}

pub fn read_run(row: &PgRow) -> std::result::Result<Run, sqlx::Error> {
    Ok(Run {
        id: row.try_get("id")?,
        run_no: row.try_get("run_no")?,
    })
}

macro_rules! read_claimed {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $read:ident;)*) => {
        fn read_claimed(row: &PgRow, run: Run) -> std::result::Result<ClaimedJob, sqlx::Error> {
            let uncounted: Option<bool> = row.try_get("uncounted")?;
            let mut job = ClaimedJob {
                run,
                job_type: row.try_get("job_type")?,
                payload: row.try_get::<Option<_>, _>("payload")?.unwrap_or_default(),
                uncounted: uncounted.unwrap_or_default(),
                has_dead_letter: row.try_get::<&str, _>("fate")? == WITH_DEAD_LETTER,
                $($name: row.try_get(stringify!($name))?,)*
            };
            job.attempts += i32::from(job.uncounted);
            Ok(job)
        }
    };
}

claimed_columns!(read_claimed);

/// The answer to an exchange, and what the cursor needs of it except the time that it took.
pub fn read_exchanged(rows: &[PgRow]) -> std::result::Result<(Exchanged, Seen), sqlx::Error> {
    let mut exchanged = Exchanged::default();
    let mut seen = Seen::default();
    let mut claimed: Vec<(Option<i64>, ClaimedJob)> = Vec::new();
    for row in rows {
        let fate = row.try_get::<&str, _>("fate")?;
        match fate {
            "stopped" => {
                seen.stopped = Some(row.try_get("searched")?);
                exchanged.unfinished = true;
                continue;
            }
            "more" => {
                seen.more = true;
                continue;
            }
            "passed over" => {
                let id: Option<i64> = row.try_get("id")?;
                seen.passed_over.get_or_insert_default().extend(id);
                continue;
            }
            _ => {}
        }
        let run = read_run(row)?;
        if fate == "settled" {
            exchanged.settled.push(run);
            continue;
        }
        let searched: i64 = row.try_get("searched")?;
        let searched = Duration::from_micros(searched.try_into().unwrap_or(0));
        let first = *seen.searched.get_or_insert(searched);
        seen.searched = Some(searched.min(first));
        match fate {
            "failed" => exchanged.exhausted.push(ExhaustedJob {
                id: run.id,
                job_type: row.try_get("job_type")?,
            }),
            _ => {
                let job = read_claimed(row, run)?;
                claimed.push((row.try_get("ready_at")?, job));
            }
        }
    }
    // `returning` promises no order. Jobs that have been due since minus infinity come first.
    claimed.sort_by_key(|(ready_at, job)| (Reverse(job.priority), *ready_at, job.run.id));
    for (ready_at, job) in &claimed {
        if let &Some(ready_at) = ready_at {
            let id = job.run.id;
            seen.last.insert(job.priority, Position { ready_at, id });
        }
    }
    seen.lowest = claimed.last().map(|(_, job)| job.priority);
    exchanged.claimed = claimed.into_iter().map(|(_, job)| job).collect();
    Ok((exchanged, seen))
}
