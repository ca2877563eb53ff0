//! Bringing back the jobs of lost workers: those whose leases have ended.
//!
//! Every worker that claims asks for them now and then ([`crate::processor::Recovery`]), of whatever type they
//! are: there is no leader, and no table of workers. The job is pending again and due, behind what was due
//! before, so that a job that takes its worker down with it does not keep others waiting; or it has ended,
//! because no attempts are left or somebody wants it cancelled.
//!
//! Leases are in an index in the order of their ends. Jobs that ended before their leases did leave dead
//! entries there, so each look starts where the last one ended, but for a thorough one now and then, for
//! what a hand has written into the past.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::history::{append, put_back, worker_lost};
use super::notify::notify;
use crate::connect::{Schema, Statement, Value};
use crate::processor::{LostJob, Recovered};

/// The most jobs that one statement brings back.
macro_rules! most {
    () => {
        "1000"
    };
}

/// A thorough look comes so many times as long after the last as that took, ...
const SPARED: u32 = 200;
/// ... and not before.
const SOONEST: Duration = Duration::from_secs(30);

/// The jobs whose leases have ended after `$1`. What some transaction has locked is left alone until it is
/// free. Answers a row for each job, and one that says up to when there is none left, if that is known.
pub fn jobs(schema: &Schema, from: i64) -> Statement {
    schema.statement(
        concat!(
            "with ended as (
                select job.id, job.lease_expires_at from {jobs} job
                where job.status = 'processing'
                    and job.lease_expires_at <= now()
                    and job.lease_expires_at
                        > timestamptz 'epoch' + $1::bigint * interval '1 microsecond'
                    and job.lease_expires_at > job.locked_at
                order by job.lease_expires_at
                limit ",
            most!(),
            "
            ),
            free as (
                select job.id from ended cross join lateral (
                    select job.id from {jobs} job
                    where job.id = any (array[ended.id])
                        and (job.status = 'processing' and job.lease_expires_at <= now()) is true
                    for update skip locked
                ) job
            ),
            recovered as (
                update {jobs} job
                set ",
            put_back!("job", "now()"),
            "
                from free
                where job.id = any (array[free.id])
                returning job.id, job.job_type, job.status
            )
            select id::bigint, job_type::text, status::text as fate, null::bigint as looked_at
            from recovered
            union all
            select null, null, 'looked', (
                select (extract(epoch from now()) * 1000000)::bigint
                where (select count(*) from ended) < ",
            most!(),
            "
                    and (select count(*) from ended) = (select count(*) from recovered)
            )
            from (
                select case when exists (select from recovered where status = 'pending') then ",
            notify!("'ready', true"),
            " end
            ) notified"
        ),
        vec![Value::BigInt(from)],
    )
}

/// What [`jobs`] answers: what was brought back, and up to when no ended lease is left.
pub fn read(rows: &[PgRow]) -> Result<(Recovered, Option<i64>), sqlx::Error> {
    let mut recovered = Recovered::default();
    let mut looked_at = None;
    for row in rows {
        match row.try_get("fate")? {
            "pending" => recovered.pending += 1,
            "failed" => recovered.lost.push(LostJob {
                id: row.try_get("id")?,
                job_type: row.try_get("job_type")?,
            }),
            "looked" => looked_at = row.try_get("looked_at")?,
            _ => {}
        }
    }
    Ok((recovered, looked_at))
}

/// From where the next look for ended leases starts, in microseconds since the Unix epoch.
#[derive(Debug, Default)]
pub struct LeaseCursor(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    from: i64,
    thorough_at: Option<Instant>,
}

impl LeaseCursor {
    pub fn look(&self, now: Instant) -> i64 {
        let state = self.lock();
        let spared = state.thorough_at.is_some_and(|at| now < at);
        if spared { state.from } else { 0 }
    }

    /// A look that started `from` has been answered after `took`.
    pub fn looked(&self, from: i64, looked_at: Option<i64>, took: Duration, now: Instant) {
        let mut state = self.lock();
        if from == 0 {
            state.thorough_at = Some(now + took.saturating_mul(SPARED).max(SOONEST));
        }
        // What is locked, or was too much for one statement, is looked for again.
        state.from = looked_at.unwrap_or(from);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_look_starts_where_the_last_one_ended() {
        let now = Instant::now();
        let cursor = LeaseCursor::default();
        assert_eq!(cursor.look(now), 0);
        cursor.looked(0, Some(7), Duration::ZERO, now);
        assert_eq!(cursor.look(now + SECOND), 7);
        cursor.looked(7, None, Duration::ZERO, now + SECOND);
        assert_eq!(cursor.look(now + SECOND), 7, "something was left");
    }

    #[test]
    fn a_thorough_look_comes_seldom_and_the_longer_it_takes_the_less_often() {
        let now = Instant::now();
        let cursor = LeaseCursor::default();
        cursor.looked(0, Some(7), Duration::ZERO, now);
        assert_eq!(cursor.look(now + 29 * SECOND), 7);
        assert_eq!(cursor.look(now + 30 * SECOND), 0);
        cursor.looked(0, Some(7), SECOND, now);
        assert_eq!(cursor.look(now + 199 * SECOND), 7);
        assert_eq!(cursor.look(now + 200 * SECOND), 0);
    }
}
