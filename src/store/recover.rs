//! Bringing back the jobs of lost workers: those whose leases have ended.
//!
//! Every worker that claims asks for them now and then ([`crate::processor::Recovery`]), of any
//! type: there is no leader, and no table of workers. The job is pending again and due, behind the jobs that were due
//! before, so that a job that takes its worker down with it does not keep others waiting; or it has ended,
//! because no attempts are left or it is to be cancelled.
//!
//! Leases are in an index in the order of their ends. Jobs that ended before their leases did leave dead
//! entries there, so each look starts where the last one ended, except for a thorough one now and then, for
//! ends that were set into the past by hand.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::fence::{has_lapsed, is_leased};
use super::history::{append, attempt, comes_back, is_counted, put_back, worker_lost};
use super::notify::notify;
use super::touched::{is_over, last_transaction};
use crate::connect::{Schema, Statement, Value};
use crate::job::ExhaustedJob;
use crate::processor::Recovered;

/// The most jobs that one statement brings back.
macro_rules! most {
    () => {
        "1000"
    };
}

/// The most jobs among which those at fault are searched for at a time.
pub const MOST_LISTED: usize = 100;

/// How long a job whose lease has ended is left alone if it was locked until just now.
macro_rules! spare {
    () => {
        "interval '3 seconds'"
    };
}

/// A thorough look comes this many times as long after the last as the last took, ...
const SPARED: u32 = 200;
/// ... and not before.
const SOONEST: Duration = Duration::from_secs(30);

/// Whether the lease in the row `job` has ended.
macro_rules! has_ended {
    () => {
        concat!(
            "(job.status::text = 'processing' and ",
            has_lapsed!("job"),
            ") is true"
        )
    };
}

/// The row `$row` was locked or changed after its lease was last extended, by a transaction that has ended:
/// meanwhile its owner could not extend it. An extension removes that trace. A transaction that locks the row before
/// it writes it, as every statement here does, leaves its own number in `xmax`; a plain
/// `update` of another program leaves 0, for ever, and so counts for a minute after the end of the lease.
macro_rules! was_locked {
    ($row:literal) => {
        concat!(
            "(case when ",
            $row,
            ".xmax = '0'::xid then ",
            $row,
            ".lease_expires_at > now() - interval '1 minute' else ",
            $row,
            ".xmax <> ",
            $row,
            ".xmin and ",
            is_over!($row),
            " end)"
        )
    };
}

/// Puts back the jobs in `ended`, which are `id` and `was_locked`, that are free.
macro_rules! recovered {
    ($pending:literal, $due:expr) => {
        concat!(
            "free as (
                select job.id, ended.was_locked from ended cross join lateral (
                    select job.id from {jobs} job
                    where job.id = any (array[ended.id]) and ",
            has_ended!(),
            "
                    for no key update skip locked
                ) job
                limit ",
            most!(),
            "
            ),
            recovered as (
                update {jobs} job
                set ",
            put_back!("job", $due, $pending),
            "
                from free
                where job.id = any (array[free.id]) and not free.was_locked
                returning job.id, job.job_type, job.status, job.next_attempt_at
            ),
            spared as (
                update {jobs} job
                set lease_expires_at = now() + ",
            spare!(),
            ",
                    locked_at = least(job.locked_at, now())
                from free
                where job.id = any (array[free.id]) and free.was_locked
                returning job.id
            )"
        )
    };
}

macro_rules! recovered_rows {
    () => {
        concat!(
            "
            select id::bigint, job_type::text, case when ready then 'pending' else status end as fate,
                null::bigint as looked_at
            from (
                select id, job_type, status::text as status,
                    status::text = 'pending' or status::text = 'failed' and next_attempt_at is not null as ready
                from recovered
            ) recovered
            union all
            select id::bigint, null, 'spared', null from spared
            union all
            select id::bigint, null, 'passed over', null from free
            where id not in (select id from recovered union all select id from spared)"
        )
    };
}

/// The jobs whose leases have ended after `{from}`. A job that a transaction has locked is left alone until it is
/// free. Answers a row for each job, and a row that says up to when none is left, if that is known.
///
/// If the statement was held up, as by a lock of the whole table, the extensions of the owners were held up too: then
/// it brings no job back, and the next one does.
///
/// Where the server's clock has gone back, as in a fail-over, leases lie further in the future than they should. A
/// look from 0 gives them the same time from now on: their owners can extend them, and those of lost workers end.
/// The ten leases that end last tell whether that is so, so that not all running jobs are read each time.
pub fn jobs(schema: &Schema, from: i64) -> Statement {
    schema.statement(
        concat!(
            "with ended as (
                select job.id, ",
            was_locked!("job"),
            " as was_locked from {jobs} job
                where job.status::text = 'processing' and ",
            has_lapsed!("job"),
            "
                    and job.lease_expires_at > timestamptz 'epoch'
                        + {from}::bigint::double precision * interval '1 microsecond'
                    and (select clock_timestamp() - now()) < interval '500 milliseconds'
                order by job.lease_expires_at
            ),
            ",
            recovered!("pending", "now()"),
            ",
            ahead as (
                select job.id from {jobs} job
                where {from}::bigint = 0::bigint
                    and (
                        select pg_catalog.bool_or(furthest.locked_at > now() + interval '1 second')
                        from (
                            select job.locked_at from {jobs} job
                            where job.status::text = 'processing' and job.lease_expires_at > now()
                                and job.lease_expires_at < 'infinity'
                            order by job.lease_expires_at desc
                            limit 10
                        ) furthest
                    )
                    and job.status::text = 'processing' and job.lease_expires_at > now()
                    and job.locked_at > now() + interval '1 second'
                    and ",
            is_leased!("job"),
            " and job.lease_expires_at < 'infinity'
                    and job.locked_at < 'infinity'
                for no key update skip locked
            ),
            moved as (
                update {jobs} job
                set lease_expires_at = now() + (job.lease_expires_at - job.locked_at), locked_at = now()
                from ahead
                where job.id = any (array[ahead.id])
            )",
            recovered_rows!(),
            "
            union all
            select null, null, 'looked', (
                select (pg_catalog.date_part('epoch', now()) * 1000000::double precision)::bigint
                where (select pg_catalog.count(*) from free) < ",
            most!(),
            "
                    and not exists (
                        select from ended where ended.id <> all (array(select free.id from free))
                    )
                    and (select clock_timestamp() - now()) < interval '500 milliseconds'
            )
            from (
                select case when exists (select from recovered where status::text = 'pending') then ",
            notify!("'ready', true"),
            " end
            ) notified"
        ),
        vec![("from", Value::BigInt(from))],
    )
}

/// The jobs whose leases have ended, for a recovery that was refused, to find the jobs that are at fault.
pub fn ended(schema: &Schema, aside: Vec<i64>) -> Statement {
    schema.statement(
        concat!(
            "select job.id::bigint from {jobs} job
            where job.status::text = 'processing' and ",
            has_lapsed!("job"),
            "
                and job.id <> all ({aside}::bigint[])
            order by job.lease_expires_at
            limit {limit}::bigint"
        ),
        vec![
            ("aside", Value::BigInts(aside)),
            (
                "limit",
                Value::BigInt(MOST_LISTED.try_into().unwrap_or(i64::MAX)),
            ),
        ],
    )
}

/// How a job is brought back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It is pending.
    Pending,
    /// It has failed and is due again: for a job that may not be pending, as by a unique index of the user's.
    Failed,
}

/// Brings these jobs back, as far as their leases have ended and they are free. None of them is spared: the
/// recovery that was refused has locked them, which cannot be distinguished from the locks of others.
pub fn named(schema: &Schema, ids: &[i64], manner: Manner) -> Statement {
    macro_rules! named {
        ($pending:literal) => {
            concat!(
                "with ended as (
                    select id, false as was_locked from pg_catalog.unnest({ids}::bigint[]) as named (id)
                ),
                ",
                recovered!($pending, "now()"),
                recovered_rows!()
            )
        };
    }
    let template = match manner {
        Manner::Pending => named!("pending"),
        Manner::Failed => named!("failed"),
    };
    schema.statement(template, vec![("ids", Value::BigInts(ids.to_vec()))])
}

/// The answer to [`jobs`] and [`named`].
#[derive(Debug, Default)]
pub struct Answer {
    pub recovered: Recovered,
    /// The jobs that were free, and that Postgres still did not change.
    pub passed_over: Vec<i64>,
    /// Up to when no ended lease is left.
    pub looked_at: Option<i64>,
}

pub fn read(rows: &[PgRow]) -> Result<Answer, sqlx::Error> {
    let mut answer = Answer::default();
    for row in rows {
        match row.try_get("fate")? {
            "pending" => answer.recovered.pending += 1,
            "spared" => answer.recovered.spared += 1,
            "failed" => answer.recovered.exhausted.push(ExhaustedJob {
                id: row.try_get("id")?,
                job_type: row.try_get("job_type")?,
            }),
            "passed over" => answer.passed_over.push(row.try_get("id")?),
            "looked" => answer.looked_at = row.try_get("looked_at")?,
            _ => {}
        }
    }
    Ok(answer)
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
        // Jobs that are locked, or were too many for one statement, are looked for again.
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
