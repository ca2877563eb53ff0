//! Putting back jobs whose worker is gone and that no lease brings back.

use super::fence::{is_leased, is_live};
use super::history::{append, attempt, comes_back, is_counted, put_back, worker_lost};
use super::notify::notify;
use crate::connect::{Schema, Statement, Value};

/// Whether the row `job` runs, was claimed longer ago than `{minutes}`, and has no live lease.
macro_rules! is_stuck {
    () => {
        concat!(
            "job.status::text = 'processing'
                    and coalesce(job.locked_at, job.updated_at)
                        < now() - {minutes}::text::double precision * interval '1 minute'
                    and (",
            is_live!("job"),
            ") is not true"
        )
    };
}

/// Puts back stuck jobs that meet `$condition`. Answers how many. A job that another transaction has
/// locked is being dealt with already.
macro_rules! reclaim {
    ($condition:literal) => {
        concat!(
            "with stuck as (
                select job.id from {jobs} job
                where ",
            is_stuck!(),
            $condition,
            "
                for no key update skip locked
            ),
            reclaimed as (
                update {jobs} job
                set ",
            put_back!("job", "null::timestamptz", "pending"),
            "
                from stuck
                where job.id = any (array[stuck.id])
                returning 1
            )
            select pg_catalog.count(*)::text as result from reclaimed cross join (
                select case when exists (select from reclaimed) then ",
            notify!("'ready', true"),
            " end
            ) notified"
        )
    };
}

/// Answers how many jobs were put back.
pub fn stuck_jobs(schema: &Schema, max_processing_minutes: f64) -> Statement {
    schema.statement(
        reclaim!(""),
        vec![("minutes", max_processing_minutes.to_string().into())],
    )
}

/// The ids of stuck jobs, for a statement that was refused, to find the jobs that are at fault.
pub fn stuck_ids(schema: &Schema, max_processing_minutes: f64) -> Statement {
    schema.statement(
        concat!(
            "select job.id::text as result from {jobs} job where ",
            is_stuck!()
        ),
        vec![("minutes", max_processing_minutes.to_string().into())],
    )
}

/// The same as [`stuck_jobs`], of these jobs.
pub fn named(schema: &Schema, max_processing_minutes: f64, ids: &[i64]) -> Statement {
    schema.statement(
        reclaim!(" and job.id = any ({ids}::bigint[])"),
        vec![
            ("minutes", max_processing_minutes.to_string().into()),
            ("ids", Value::BigInts(ids.to_vec())),
        ],
    )
}
