//! Reading jobs. A record is made into JSON by Postgres, with its times in milliseconds since the
//! Unix epoch, so that it is the same through every client, whatever that does to dates, bigints and
//! JSON.

use super::lane::{lanes, next_lane};
use crate::connect::{Schema, Statement};

/// The record of the row `job`. Only the payload is free text as deep as its user likes; it is set in
/// as it stands.
macro_rules! record {
    () => {
        "json_build_object(
            'id', job.id,
            'job_type', job.job_type,
            'payload', job.payload,
            'status', job.status,
            'created_at', floor(extract(epoch from job.created_at) * 1000),
            'updated_at', floor(extract(epoch from job.updated_at) * 1000),
            'locked_at', floor(extract(epoch from job.locked_at) * 1000),
            'locked_by', job.locked_by,
            'attempts', job.attempts,
            'max_attempts', job.max_attempts,
            'next_attempt_at', floor(extract(epoch from job.next_attempt_at) * 1000),
            'priority', job.priority,
            'run_at', floor(extract(epoch from job.run_at) * 1000),
            'pending_reason', job.pending_reason,
            'timeout_ms', job.timeout_ms,
            'cancel_requested_at', floor(extract(epoch from job.cancel_requested_at) * 1000),
            'error_history', coalesce(job.error_history, '[]'::jsonb)
        )::text as result"
    };
}

pub fn job(schema: &Schema, id: i64) -> Statement {
    schema.statement(
        concat!(
            "select ",
            record!(),
            " from {jobs} job where job.id = $1::text::bigint"
        ),
        vec![id.to_string().into()],
    )
}

/// What waits is in an index of its own, and what runs, in another order: it is not much.
macro_rules! listed {
    ($condition:literal) => {
        concat!(
            "select ",
            record!(),
            " from (
                select * from {jobs}
                where status = $1::text and ",
            $condition,
            "
                order by created_at desc, id desc
                limit $2::text::bigint offset $3::text::bigint
            ) job
            order by job.created_at desc, job.id desc"
        )
    };
}

pub fn jobs_by_status(schema: &Schema, status: &str, limit: i64, offset: i64) -> Statement {
    let template = match status {
        "pending" => listed!("status = 'pending'"),
        "processing" => listed!("status = 'processing'"),
        _ => listed!("status <> 'pending' and status <> 'processing'"),
    };
    schema.statement(
        template,
        vec![
            status.into(),
            limit.to_string().into(),
            offset.to_string().into(),
        ],
    )
}

/// Steps from status to status through the index that serves the lists by status, and merges what
/// each has to offer with what waits and what runs: no index of its own, and no walk through the table.
pub fn all_jobs(schema: &Schema, limit: i64, offset: i64) -> Statement {
    schema.statement(
        concat!(
            "with recursive status (name) as (
                (
                    select status from {jobs}
                    where status <> 'pending' and status <> 'processing' order by status limit 1
                )
                union all
                select (
                    select next.status from {jobs} next
                    where next.status > status.name
                        and next.status <> 'pending' and next.status <> 'processing'
                    order by next.status limit 1
                )
                from status where status.name is not null
            )
            select ",
            record!(),
            " from (
                select newest.* from (
                    select newest.* from status cross join lateral (
                        select * from {jobs} job
                        where job.status = status.name
                            and job.status <> 'pending' and job.status <> 'processing'
                        order by job.created_at desc, job.id desc
                        limit $1::text::bigint + $2::text::bigint
                    ) newest
                    union all
                    (
                        select * from {jobs} job where job.status = 'pending'
                        order by job.created_at desc, job.id desc
                        limit $1::text::bigint + $2::text::bigint
                    )
                    union all
                    select * from {jobs} where status = 'processing'
                ) newest
                order by newest.created_at desc, newest.id desc
                limit $1::text::bigint offset $2::text::bigint
            ) job
            order by job.created_at desc, job.id desc"
        ),
        vec![limit.to_string().into(), offset.to_string().into()],
    )
}

/// What is left to do: `{ due, nextDueAt }`, how many jobs are due, counted up to 10,000 a priority, and
/// when the first of the others is, in milliseconds since the Unix epoch, or null. What runs is neither,
/// unless its lease has ended.
/// Steps from priority to priority, as the claim does.
pub fn backlog(schema: &Schema) -> Statement {
    schema.statement(
        concat!(
            "with recursive ",
            lanes!(next_lane!("job.ready_at < 'infinity'", "")),
            "
        select json_build_object(
            'due', coalesce(sum(due.count), 0) + (
                select count(*) from {jobs} job
                where job.status = 'processing'
                    and job.lease_expires_at <= now() and job.lease_expires_at > job.locked_at
            ),
            'nextDueAt', floor(extract(epoch from min(later.ready_at)) * 1000)
        )::text as result
        from lane
        cross join lateral (
            select count(*) from (
                select from {jobs} job
                where job.priority = lane.priority
                    and job.ready_at < 'infinity' and job.ready_at <= now()
                order by job.ready_at, job.id
                limit 10000
            ) job
        ) due
        left join lateral (
            select job.ready_at from {jobs} job
            where job.priority = lane.priority
                and job.ready_at < 'infinity' and job.ready_at > now()
            order by job.ready_at, job.id
            limit 1
        ) later on true"
        ),
        Vec::new(),
    )
}
