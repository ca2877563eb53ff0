//! Putting back jobs whose worker is gone and that no lease brings back.

use super::history::{append, worker_lost};
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
                    and (job.ready_at is null or job.ready_at <= now())
                for update skip locked
            ),
            reclaimed as (
                update {jobs} job
                set status = case
                        when job.cancel_requested_at is not null then 'cancelled'
                        when job.attempts < job.max_attempts then 'pending'
                        else 'failed' end,
                    updated_at = now(),
                    locked_at = null,
                    locked_by = null,
                    lease_expires_at = null,
                    next_attempt_at = null,
                    error_history = ",
            append!("job", worker_lost!("job")),
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
