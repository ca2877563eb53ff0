//! Retrying a job.

use super::fence::{is_leased, is_live};
use super::key::{holds_key, rivals};
use super::lane::microseconds;
use super::notify::notify;
use crate::connect::{Schema, Statement};

/// Makes a job pending and due now; an exhausted job is granted one more attempt. Answers `retried`,
/// or `running` if a worker holds the job under a live lease, or `duplicate of` the job that holds its key, or nothing if no
/// job has this id.
pub fn job(schema: &Schema, id: i64) -> Statement {
    schema.statement(
        concat!(
            "with rival as (
            select rival.id from {jobs} job cross join lateral (
                select rival.id from ",
            rivals!("job"),
            "
                limit 1
            ) rival
            where job.id = {id}::text::bigint and job.idempotency_key is not null
                and case coalesce(job.idempotency_hold, 'unsettled')
                    when 'unsettled' then true
                    when 'queued' then job.attempts = 0 and job.snoozes is null
                    else false end
        ),
        retried as (
            update {jobs} job
            set status = 'pending',
                updated_at = now(),
                -- A later outcome of a frozen worker is refused, whichever worker claims the job next.
                run_no = greatest(job.run_no + 1::bigint, ",
            microseconds!("clock_timestamp()"),
            "),
                max_attempts = greatest(
                    job.max_attempts, least(job.attempts::bigint + 1::bigint, 2147483647::bigint)::int
                ),
                run_at = least(job.run_at, now()),
                next_attempt_at = now(),
                locked_at = null,
                locked_by = null,
                lease_expires_at = null,
                claim_token = null,
                refusals = null,
                cancel_requested_at = null,
                pending_reason = null
            where job.id = {id}::text::bigint
                and (
                    job.status::text = 'processing'
                    and ",
            is_live!("job"),
            "
                ) is not true
                and not exists (select from rival)
            returning job.id
        )
        select case when exists (select from retried) then 'retried'
                else coalesce((select 'duplicate of ' || rival.id::text from rival), 'running') end as result
            from {jobs} job
            cross join (
                select case when exists (select from retried) then ",
            notify!("'ready', true"),
            " end
            ) notified
            where job.id = {id}::text::bigint"
        ),
        vec![("id", id.to_string().into())],
    )
}
