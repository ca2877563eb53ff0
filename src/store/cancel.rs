//! Cancelling jobs.

use serde::Deserialize;

use super::fence::{has_lapsed, is_leased, named_runs, values_of};
use super::notify::notify;
use crate::connect::{Named, Schema, Statement, Value};
use crate::job::Run;

/// A filter that is `None` does not restrict.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Filters {
    job_type: Option<String>,
    priority: Option<i32>,
    /// Milliseconds since the Unix epoch.
    run_at: Option<i64>,
}

/// Cancels a job that does not run: a job that is pending, failed and to be tried again, or whose worker is
/// lost. For a running job, it stores the request and notifies the workers that listen. Answers
/// `cancelled` or `requested`, or nothing if there was nothing to cancel.
pub fn job(schema: &Schema, id: i64) -> Statement {
    schema.statement(
        concat!(
            "with cancelled as (
                update {jobs} job
                set status = case
                        when job.status::text = 'processing' and (",
            has_lapsed!("job"),
            ") is not true
                        then 'processing' else 'cancelled' end,
                    cancel_requested_at = case job.status::text when 'processing' then now() end,
                    updated_at = now()
                where job.id = {id}::text::bigint
                    and (
                        job.status::text in ('pending', 'processing')
                        or (job.status::text = 'failed' and job.ready_at is not null)
                    ) is true
                returning job.id, job.status::text as status
            )
            select case cancelled.status when 'processing' then 'requested' else 'cancelled' end
                as result
            from cancelled cross join lateral (
                select case cancelled.status when 'processing' then ",
            notify!("'cancel', cancelled.id"),
            " end
            ) notified"
        ),
        vec![("id", id.to_string().into())],
    )
}

/// Whether the row `job` is pending and matches the filters.
macro_rules! is_upcoming {
    () => {
        "job.status::text = 'pending'
                and ({job_type}::text is null or job.job_type::text = {job_type}::text)
                and ({priority}::text is null or job.priority = {priority}::text::int)
                and (
                    {run_at}::text is null
                    or pg_catalog.floor(
                        pg_catalog.date_part('epoch', job.run_at) * 1000::double precision
                    ) = {run_at}::text::double precision
                )"
    };
}

macro_rules! cancel {
    ($condition:literal) => {
        concat!(
            "with cancelled as (
            update {jobs} job
            set status = 'cancelled', updated_at = now()
            where ",
            is_upcoming!(),
            $condition,
            "
            returning 1
        )
        select pg_catalog.count(*)::text as result from cancelled"
        )
    };
}

impl Filters {
    fn values(&self) -> Vec<Named> {
        vec![
            ("job_type", Value::Text(self.job_type.clone())),
            (
                "priority",
                Value::Text(self.priority.map(|priority| priority.to_string())),
            ),
            (
                "run_at",
                Value::Text(self.run_at.map(|run_at| run_at.to_string())),
            ),
        ]
    }
}

/// Cancels the pending jobs that match all filters. Answers how many. Postgres keeps times to the
/// microsecond, JavaScript to the millisecond: a time matches if it is the same to the millisecond.
pub fn upcoming(schema: &Schema, filters: &Filters) -> Statement {
    schema.statement(cancel!(""), filters.values())
}

/// The ids of the jobs that match, for a statement that was refused, to find the jobs that are at fault.
pub fn upcoming_ids(schema: &Schema, filters: &Filters) -> Statement {
    schema.statement(
        concat!(
            "select job.id::text as result from {jobs} job where ",
            is_upcoming!()
        ),
        filters.values(),
    )
}

/// The same as [`upcoming`], of these jobs.
pub fn upcoming_named(schema: &Schema, filters: &Filters, ids: &[i64]) -> Statement {
    let mut values = filters.values();
    values.push(("ids", Value::BigInts(ids.to_vec())));
    schema.statement(cancel!(" and job.id = any ({ids}::bigint[])"), values)
}

/// The runs among these whose jobs are to be cancelled.
pub fn requested(schema: &Schema, runs: &[Run]) -> Statement {
    schema.statement(
        concat!(
            "select job.id::bigint, job.run_no
        from ",
            named_runs!(),
            "
        cross join lateral (
            select job.id, job.run_no from {jobs} job
            where job.id = any (array[run.id]) and job.run_no = run.run_no
                and job.cancel_requested_at is not null
        ) job"
        ),
        values_of(runs),
    )
}
