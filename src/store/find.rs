//! Reading jobs. A record is made into JSON by Postgres, with its times in milliseconds since the
//! Unix epoch, so that it is the same through every client, however the client converts dates, bigints and
//! JSON.

use super::lane::{lanes, microseconds, next_lane};
use crate::connect::{Schema, Statement, Value};

macro_rules! record {
    () => {
        "{record}"
    };
}

macro_rules! id {
    () => {
        "job.id::text as result"
    };
}

/// The answer for each job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Of {
    Record,
    Id,
}

/// One template or the other.
macro_rules! of {
    ($of:expr, $template:ident $(, $argument:literal)?) => {
        match $of {
            Of::Record => $template!(record $(, $argument)?),
            Of::Id => $template!(id $(, $argument)?),
        }
    };
}

macro_rules! found {
    ($of:ident) => {
        concat!(
            "select ",
            $of!(),
            " from {jobs} job where job.id = {id}::text::bigint"
        )
    };
}

pub fn job(schema: &Schema, of: Of, id: i64) -> Statement {
    schema.statement(of!(of, found), vec![("id", id.to_string().into())])
}

/// Pending jobs have an index of their own; running jobs have one in another order, and are few.
macro_rules! listed {
    ($of:ident, $condition:literal) => {
        concat!(
            "select ",
            $of!(),
            " from (
                select * from {jobs}
                where status::text = {status}::text and ",
            $condition,
            "
                order by created_at desc, id desc
                limit {limit}::text::bigint offset {offset}::text::bigint
            ) job
            order by job.created_at desc, job.id desc"
        )
    };
}

pub fn jobs_by_status(schema: &Schema, of: Of, status: &str, limit: i64, offset: i64) -> Statement {
    let template = match status {
        "pending" => of!(of, listed, "status::text = 'pending'"),
        "processing" => of!(of, listed, "status::text = 'processing'"),
        _ => of!(
            of,
            listed,
            "status::text <> 'pending' and status::text <> 'processing'"
        ),
    };
    schema.statement(
        template,
        vec![
            ("status", status.into()),
            ("limit", limit.to_string().into()),
            ("offset", offset.to_string().into()),
        ],
    )
}

/// Steps from status to status through the index that serves the lists by status, and merges the
/// jobs of each with the pending and the running ones: without an index of its own or a walk through the table.
macro_rules! all {
    ($of:ident) => {
        concat!(
            "with recursive status (name) as (
                (
                    select job.status::text from {jobs} job
                    where job.status::text <> 'pending' and job.status::text <> 'processing'
                    order by job.status limit 1
                )
                union all
                select (
                    select next.status::text from {jobs} next
                    where next.status::text > status.name
                        and next.status::text <> 'pending' and next.status::text <> 'processing'
                    order by next.status limit 1
                )
                from status where status.name is not null
            )
            select ",
            $of!(),
            " from (
                select newest.* from (
                    select newest.* from status cross join lateral (
                        select * from {jobs} job
                        where job.status::text = status.name
                            and job.status::text <> 'pending' and job.status::text <> 'processing'
                        order by job.created_at desc, job.id desc
                        limit {limit}::text::bigint + {offset}::text::bigint
                    ) newest
                    union all
                    (
                        select * from {jobs} job where job.status::text = 'pending'
                        order by job.created_at desc, job.id desc
                        limit {limit}::text::bigint + {offset}::text::bigint
                    )
                    union all
                    select * from {jobs} where status::text = 'processing'
                ) newest
                order by newest.created_at desc, newest.id desc
                limit {limit}::text::bigint offset {offset}::text::bigint
            ) job
            order by job.created_at desc, job.id desc"
        )
    };
}

pub fn all_jobs(schema: &Schema, of: Of, limit: i64, offset: i64) -> Statement {
    schema.statement(
        of!(of, all),
        vec![
            ("limit", limit.to_string().into()),
            ("offset", offset.to_string().into()),
        ],
    )
}

/// How much of a record is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    Whole,
    WithoutPayload,
    /// The short columns only.
    Least,
}

/// The records of these jobs, in this order; without those that are gone.
macro_rules! named {
    ($record:literal) => {
        concat!(
            "select ",
            $record,
            " from pg_catalog.unnest({ids}::bigint[]) with ordinality as named (id, place)
            cross join lateral (
                select * from {jobs} job where job.id = any (array[named.id])
            ) job
            order by named.place"
        )
    };
}

/// On the queue's own connections.
pub fn named_jobs(schema: &Schema, ids: &[i64], extent: Extent) -> Statement {
    let template = match extent {
        Extent::Whole => named!("{record}"),
        Extent::WithoutPayload => named!("{record_without_payload}"),
        Extent::Least => named!("{least_record}"),
    };
    schema.statement(template, vec![("ids", Value::BigInts(ids.to_vec()))])
}

/// The work that is left: `{ due, nextDueAt }`, how many jobs are due, counted up to 10,000 a priority, and
/// when the first of the others is due, in milliseconds since the Unix epoch, or null. A running job is neither,
/// unless its lease has ended. And `waiting`, those of `types` that have a due job.
/// Steps from priority to priority, as the claim does.
pub fn backlog(schema: &Schema, types: &[String]) -> Statement {
    schema.statement(
        concat!(
            "with recursive ",
            lanes!(
                next_lane!("job.ready_at < 'infinity'", ""),
                "2147483648",
                "2147483648"
            ),
            "
        select pg_catalog.json_build_object(
            'due', coalesce(pg_catalog.sum(due.count), 0)::bigint + (
                select pg_catalog.count(*) from {jobs} job
                where job.status::text = 'processing'
                    and job.lease_expires_at <= pg_catalog.now()
                    and job.lease_expires_at > job.locked_at
            ),
            'nextDueAt',
                pg_catalog.floor(
                    extract(epoch from pg_catalog.min(later.ready_at)) * 1000::numeric
                ),
            'waiting', coalesce((
                select pg_catalog.json_agg(type.name)
                from pg_catalog.json_array_elements_text({types}::text::json) as type (name)
                where exists (
                    select from lane cross join lateral (
                        select from {jobs} job
                        where job.job_type::text = type.name and job.job_type::text >= ''
                            and job.priority = lane.priority
                            and job.ready_at is not null and job.ready_at <= pg_catalog.now()
                        limit 1
                    ) job
                )
            ), '[]'::json)
        )::text as result
        from lane
        cross join lateral (
            select pg_catalog.count(*) from (
                select from {jobs} job
                where job.priority = lane.priority
                    and job.ready_at < 'infinity' and job.ready_at <= pg_catalog.now()
                order by job.ready_at, job.id
                limit 10000
            ) job
        ) due
        left join lateral (
            select job.ready_at from {jobs} job
            where job.priority = lane.priority
                and job.ready_at < 'infinity' and job.ready_at > pg_catalog.now()
            order by job.ready_at, job.id
            limit 1
        ) later on true"
        ),
        vec![("types", serde_json::json!(types).to_string().into())],
    )
}
