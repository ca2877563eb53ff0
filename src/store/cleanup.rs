//! Deleting old jobs of one status: `completed`, `cancelled`, or `failed` for good.

use serde::{Deserialize, Serialize};

use crate::connect::{Named, Schema, Statement, Value};

/// Which jobs are deleted.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Old {
    pub status: String,
    /// Since their rows were last changed.
    pub days_to_keep: f64,
    /// Whether to look only at jobs that were also added longer ago, so that a walk ends where the young ones begin. Only
    /// an update by hand can make a row that was last changed before it was added.
    pub added_before: bool,
    /// How many jobs of the status a page looks at.
    pub rows: u32,
}

/// Where a page ended, for the next to go on from.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    created_at: String,
    id: i64,
}

macro_rules! latest {
    () => {
        "now() - {days_to_keep}::text::double precision * 86400::double precision * interval '1 second'"
    };
}

/// A job that is tried again, or runs, has not ended.
macro_rules! is_old {
    () => {
        concat!(
            "job.status::text = {status}::text and job.ready_at is null and job.updated_at < ",
            latest!()
        )
    };
}

/// The next jobs of the status behind a position, in the order in which they were added.
macro_rules! seen {
    () => {
        concat!(
            "seen as (
            select job.id, job.created_at, job.updated_at, job.ready_at from {jobs} job
            where job.status::text = {status}::text
                and job.status::text <> 'pending' and job.status::text <> 'processing'
                and (job.created_at, job.id) > (
                    coalesce({created_at}::text::timestamptz, '-infinity'), coalesce({id}::text::bigint, 0::bigint)
                )
                and job.created_at <= case when {added_before}::text::boolean then ",
            latest!(),
            " else 'infinity' end
            order by job.created_at, job.id
            limit {rows}::text::bigint
        )"
        )
    };
}

/// The position of the last of them, or null if there are no more behind it.
macro_rules! last {
    () => {
        "case when (select pg_catalog.count(*) from seen) = {rows}::text::bigint then (
                select pg_catalog.json_build_object('createdAt', created_at::text, 'id', id)
                from seen order by created_at desc, id desc limit 1
            ) end"
    };
}

/// Deletes those of the jobs in `seen` that are old enough and that no transaction has locked.
macro_rules! deleted {
    () => {
        concat!(
            "free as (
            select job.id from seen cross join lateral (
                select job.id from {jobs} job
                where job.id = any (array[seen.id]) and (",
            is_old!(),
            ") is true
                for update skip locked
            ) job
        ),
        deleted as (
            delete from {jobs} job using free
            where job.id = any (array[free.id])
            returning 1
        )"
        )
    };
}

/// Looks at the next `rows` jobs of the status, in the order in which they were added, and deletes those
/// that are old enough. Answers `{ deleted, last }`, where `last` is the [`Position`] to go on from,
/// or null at the end. One page holds few locks for a short time, and all pages together walk the
/// jobs of the status once. Rows that a transaction has locked are left to the next clean-up.
pub fn old_jobs(schema: &Schema, old: &Old, after: Option<&Position>) -> Statement {
    schema.statement(
        concat!(
            "with ",
            seen!(),
            ",
        ",
            deleted!(),
            "
        select pg_catalog.json_build_object(
            'deleted', (select pg_catalog.count(*) from deleted),
            'last', ",
            last!(),
            "
        )::text as result"
        ),
        values(old, after),
    )
}

/// The same page without deleting: `{ ids, last }`, for a clean-up that was refused, to find the jobs that are
/// at fault.
pub fn old_ids(schema: &Schema, old: &Old, after: Option<&Position>) -> Statement {
    schema.statement(
        concat!(
            "with ",
            seen!(),
            "
        select pg_catalog.json_build_object(
            'ids', coalesce((
                select pg_catalog.json_agg(job.id) from seen job
                where job.ready_at is null and job.updated_at < ",
            latest!(),
            "
            ), '[]'::json),
            'last', ",
            last!(),
            "
        )::text as result"
        ),
        values(old, after),
    )
}

/// Deletes these jobs, as far as they are old enough and free. Answers how many.
pub fn named(schema: &Schema, old: &Old, ids: &[i64]) -> Statement {
    schema.statement(
        concat!(
            "with seen as (select id from pg_catalog.unnest({ids}::bigint[]) as seen (id)),
        ",
            deleted!(),
            "
        select pg_catalog.count(*)::text as result from deleted"
        ),
        vec![
            ("status", old.status.as_str().into()),
            ("days_to_keep", old.days_to_keep.to_string().into()),
            ("ids", Value::BigInts(ids.to_vec())),
        ],
    )
}

fn values(old: &Old, after: Option<&Position>) -> Vec<Named> {
    vec![
        ("status", old.status.as_str().into()),
        ("days_to_keep", old.days_to_keep.to_string().into()),
        ("added_before", old.added_before.to_string().into()),
        ("rows", old.rows.to_string().into()),
        (
            "created_at",
            Value::Text(after.map(|position| position.created_at.clone())),
        ),
        (
            "id",
            Value::Text(after.map(|position| position.id.to_string())),
        ),
    ]
}
