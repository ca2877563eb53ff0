//! Putting back jobs whose worker is gone and that no lease brings back.

use super::history::{append, put_back, worker_lost};
use super::notify::notify;
use crate::connect::{Schema, Statement};

/// Answers how many jobs were put back. What something else has locked is being dealt with already.
pub fn stuck_jobs(schema: &Schema, max_processing_minutes: f64) -> Statement {
    schema.statement(
        concat!(
            "with stuck as (
                select job.id from {jobs} job
                where job.status = 'processing'
                    and coalesce(job.locked_at, job.updated_at)
                        < now() - make_interval(secs => $1::text::float8 * 60)
                    and (job.lease_expires_at > job.locked_at and job.lease_expires_at > now()) is not true
                for update skip locked
            ),
            reclaimed as (
                update {jobs} job
                set ",
            put_back!("job", "null::timestamptz"),
            "
                from stuck
                where job.id = any (array[stuck.id])
                returning 1
            )
            select count(*)::text as result from reclaimed cross join (
                select case when exists (select from reclaimed) then ",
            notify!("'ready', true"),
            " end
            ) notified"
        ),
        vec![max_processing_minutes.to_string().into()],
    )
}
