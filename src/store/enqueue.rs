//! Adding jobs.

use std::borrow::Borrow;

use sqlx::postgres::PgRow;

use super::answers::{results, unreadable};
use super::columns::{Given, values_of_one, values_of_several};
use super::notify::notify;
use crate::connect::{Schema, Statement, kept_out};
use crate::error::Result;
use crate::job::NewJob;

/// The names of the parts of [`super::columns`] that a statement is made of.
macro_rules! part {
    (columns plain) => {
        "{given}"
    };
    (columns whole) => {
        "{all_given}"
    };
    (expressions plain) => {
        "{given_expressions}"
    };
    (expressions whole) => {
        "{all_expressions}"
    };
    (one plain) => {
        "{one_job}"
    };
    (one whole) => {
        "{one_whole_job}"
    };
    (several plain) => {
        "{several_jobs}"
    };
    (several whole) => {
        "{several_whole_jobs}"
    };
}

/// It reads only the new ids from the table: a role that may insert needs no right to more.
macro_rules! insert {
    ($jobs:expr, $given:ident) => {
        concat!(
            "insert into {jobs} (",
            part!(columns $given),
            ")
            select ",
            part!(expressions $given),
            "
            from ",
            $jobs,
            " as job (",
            part!(columns $given),
            ")
            returning "
        )
    };
}

/// One row, `[1,2,...]`, which costs the server and the client less than a row for each id: the ids by the places of
/// their jobs. An array's own text, with other brackets, is made in less time than JSON.
macro_rules! added {
    ($jobs:expr, $ids:expr, $given:ident) => {
        concat!(
            "with added as (",
            insert!($jobs, $given),
            "id), answer as (select ",
            $ids,
            " as result from added)
            select result from answer"
        )
    };
}

/// The jobs travel as a list for each column, so that one statement serves any number of them, on any
/// client; Postgres reads lists several times faster than JSON. An `unnest` of several lists is syntax, and always
/// Postgres's own: with a schema before its name, it is an error.
///
/// `returning` promises no order. New ids have that of their jobs, since the sequence hands them out as the jobs are read.
///
/// A trigger of the user's can keep a row out without an error. Then the statement fails, by a cast
/// that names the reason (`connect/refusal.rs`), so that none is added, and the discarded job can be found.
macro_rules! several {
    ($given:ident) => {
        added!(
            concat!("unnest(", part!(several $given), ")"),
            "case
                when pg_catalog.count(*) = pg_catalog.cardinality({job_type}::text[])
                then pg_catalog.translate(pg_catalog.array_agg(id order by id)::text, '{}', '[]')
                else ('kept out of job_queue, but for ' || pg_catalog.count(*)::text)::boolean::text
                end",
            $given
        )
    };
}

/// A single job, as most are, is read faster without lists.
macro_rules! one {
    ($given:ident) => {
        concat!("(values (", part!(one $given), "))")
    };
}

/// Its id as a list.
macro_rules! only {
    () => {
        "'[' || id::text || ']'"
    };
}

/// The same, and a notification says that jobs are due.
macro_rules! announced {
    ($added:expr) => {
        concat!(
            $added,
            " cross join (select ",
            notify!("'ready', true"),
            ") announced"
        )
    };
}

/// Adds jobs; if `announced`, with a notification that jobs are due. [`ids`] reads the answer.
pub fn jobs(schema: &Schema, jobs: &[impl Borrow<NewJob>], announced: bool) -> Statement {
    macro_rules! template {
        ($given:ident) => {
            match (jobs.len(), announced) {
                (1, true) => announced!(added!(one!($given), only!(), $given)),
                (1, false) => concat!(insert!(one!($given), $given), only!(), " as result"),
                (_, true) => announced!(several!($given)),
                (_, false) => several!($given),
            }
        };
    }
    let jobs: Vec<&NewJob> = jobs.iter().map(Borrow::borrow).collect();
    let given = Given::by(jobs.iter().copied());
    let template = match given {
        Given::Plain => template!(plain),
        Given::All => template!(whole),
    };
    let values = match jobs[..] {
        [job] => values_of_one(job, given),
        _ => values_of_several(&jobs, given),
    };
    schema.statement(template, values)
}

/// The id of each job, by its place.
pub fn ids(answer: &[PgRow]) -> Result<Vec<i64>> {
    let answer = results(answer)?;
    let [ids] = &answer[..] else {
        return Err(kept_out());
    };
    serde_json::from_str(ids).map_err(|error| unreadable(sqlx::Error::Decode(Box::new(error))))
}
