//! Deleting what is finished and old.

use serde::{Deserialize, Serialize};

use crate::connect::{Schema, Statement, Value};

/// Where a batch ended, for the next to go on from.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    created_at: String,
    id: i64,
}

/// Looks at the next 5,000 completed jobs, in the order in which they were added, and deletes those
/// that are old enough. Answers `{ deleted, last }`, where `last` is the [`Position`] to go on from,
/// or null at the end. One batch holds few locks for a short time, and all batches together walk the
/// completed jobs once.
pub fn old_jobs(schema: &Schema, days_to_keep: f64, after: Option<&Position>) -> Statement {
    let text = |value: Option<String>| Value::Text(value);
    schema.statement(
        "with seen as (
            select job.id, job.created_at, job.updated_at from {jobs} job
            where job.status = 'completed'
                and (job.created_at, job.id) > (
                    coalesce($2::text::timestamptz, '-infinity'), coalesce($3::text::bigint, 0)
                )
            order by job.created_at, job.id
            limit 5000
        ),
        deleted as (
            delete from {jobs} job using seen
            where job.id = any (array[seen.id])
                and seen.updated_at < now() - make_interval(secs => $1::text::float8 * 86400)
                and (job.status = 'completed') is true
                and job.updated_at < now() - make_interval(secs => $1::text::float8 * 86400)
            returning 1
        )
        select json_build_object(
            'deleted', (select count(*) from deleted),
            'last', case when (select count(*) from seen) = 5000 then (
                select json_build_object('createdAt', created_at::text, 'id', id)
                from seen order by created_at desc, id desc limit 1
            ) end
        )::text as result",
        vec![
            days_to_keep.to_string().into(),
            text(after.map(|position| position.created_at.clone())),
            text(after.map(|position| position.id.to_string())),
        ],
    )
}
