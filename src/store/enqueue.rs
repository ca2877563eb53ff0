//! Adding jobs.

use std::borrow::Borrow;
use std::time::Duration;

use sqlx::postgres::PgRow;
use tokio::time::{Instant, sleep};

use super::answers::{results, unreadable};
use super::columns::{Given, values_of_one, values_of_several};
use super::key::{decide, holds_key, is_free, keyed_job, keyed_jobs, limited, windows};
use super::notify::notify;
use crate::connect::{Pool, Schema, Statement, Value, kept_out};
use crate::error::Result;
use crate::job::{Added, Decision, NewJob};

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

/// Adds jobs with keys: one, or several, or some that hold their keys in windows.
macro_rules! keyed {
    (one) => {
        keyed_job!("(values ({one_whole_job}, {on_conflict}::text, {max_wait_ms}::text::bigint))")
    };
    (several) => {
        keyed!(several "", "")
    };
    (in_windows) => {
        keyed!(
            several
            windows!(),
            " and (
                (idempotency_hold ~ '^[0-9]') is not true or id in (select job_id from windowed)
            )"
        )
    };
    (several $windows:expr, $is_added:literal) => {
        keyed_jobs!(
            "unnest(
                {several_whole_jobs}, {on_conflicts}::text[], {max_waits_ms}::bigint[], {ranks}::bigint[],
                {repeats}::bigint[]
            ) with ordinality",
            $windows,
            $is_added
        )
    };
}

/// Adds jobs; if `announced`, with a notification that jobs are due. [`added`] reads the answer.
///
/// Jobs with keys may have to wait for other transactions: for each of them for `longest_wait` at the most, if that is
/// given. Then none is added.
pub fn jobs(
    schema: &Schema,
    jobs: &[impl Borrow<NewJob>],
    announced: bool,
    longest_wait: Option<Duration>,
) -> Statement {
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
    if jobs.iter().any(|job| job.is_keyed()) {
        return keyed_jobs(schema, &jobs, announced, longest_wait);
    }
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

fn keyed_jobs(
    schema: &Schema,
    jobs: &[&NewJob],
    announced: bool,
    longest_wait: Option<Duration>,
) -> Statement {
    let milliseconds = longest_wait.map(|wait| wait.as_millis().to_string());
    let limit = ("lock_timeout", Value::Text(milliseconds));
    macro_rules! template {
        ($jobs:ident) => {
            if announced {
                announced!(keyed!($jobs))
            } else {
                keyed!($jobs)
            }
        };
    }
    let in_windows = jobs.iter().any(|job| job.has_window());
    if let [job] = jobs
        && !in_windows
    {
        let mut values = values_of_one(job, Given::All);
        let max_wait = job.max_wait_ms.map(|wait| wait.to_string());
        values.extend([
            ("on_conflict", Value::Text(job.on_conflict.clone())),
            ("max_wait_ms", Value::Text(max_wait)),
            limit,
        ]);
        return schema.statement(template!(one), values);
    }
    let mut values = values_of_several(jobs, Given::All);
    let actions = jobs.iter().map(|job| job.on_conflict.clone()).collect();
    let max_waits = jobs.iter().map(|job| job.max_wait_ms).collect();
    let (ranks, repeats) = ranks(jobs);
    values.extend([
        ("on_conflicts", Value::Texts(actions)),
        ("max_waits_ms", Value::OptionalBigInts(max_waits)),
        ("ranks", Value::BigInts(ranks)),
        ("repeats", Value::BigInts(repeats)),
        limit,
    ]);
    let template = if in_windows {
        template!(in_windows)
    } else {
        template!(several)
    };
    schema.statement(template, values)
}

/// The rank of each job in the order of the types and keys, and whether a job before it has the same key.
fn ranks(jobs: &[&NewJob]) -> (Vec<i64>, Vec<i64>) {
    let mut order: Vec<usize> = (0..jobs.len()).collect();
    // Jobs of one key stay in their order.
    order.sort_by_key(|&at| jobs[at].key());
    let (mut ranks, mut repeats) = (vec![0; jobs.len()], vec![0; jobs.len()]);
    for (rank, &at) in order.iter().enumerate() {
        ranks[at] = rank as i64;
        let before = rank.checked_sub(1).map(|before| jobs[order[before]].key());
        repeats[at] = i64::from(before == Some(jobs[at].key()));
    }
    (ranks, repeats)
}

/// How long a statement waits for a transaction that has added the same key, ...
pub const BLOCKED: Duration = Duration::from_millis(250);
/// ... how long it does so once it has waited, ...
const GLANCE: Duration = Duration::from_millis(20);
/// ... and how long the connection is left to others in between.
const PAUSE: Duration = Duration::from_millis(200);

/// Adds jobs with keys, and leaves the connection to others again and again while it waits for a transaction: that
/// transaction's own end may need it. `waited` is whether they have waited already.
pub async fn patiently(
    pool: &Pool,
    schema: &Schema,
    jobs: &[impl Borrow<NewJob>],
    announced: bool,
    waited: bool,
    limit: Option<Duration>,
) -> Result<Vec<PgRow>> {
    let asked = Instant::now();
    let mut wait = if waited { GLANCE } else { BLOCKED };
    loop {
        let statement = self::jobs(schema, jobs, announced, Some(wait));
        let left = limit.map(|limit| limit.saturating_sub(asked.elapsed()));
        let answer = pool.fetch_within(left, &statement).await;
        match answer {
            Err(error)
                if error.was_locked_out()
                    && limit.is_none_or(|limit| asked.elapsed() + PAUSE < limit) => {}
            answer => return answer,
        }
        sleep(PAUSE).await;
        wait = GLANCE;
    }
}

/// What has become of each job, by its place.
pub fn added(answer: &[PgRow]) -> Result<Vec<Added>> {
    let answer = results(answer)?;
    let [answer] = &answer[..] else {
        return Err(kept_out());
    };
    let read = if answer.starts_with("[[") {
        serde_json::from_str::<Vec<Decision>>(answer).map(|decisions| {
            let keyed = |decision| Added::Keyed(Box::new(decision));
            decisions.into_iter().map(keyed).collect()
        })
    } else {
        serde_json::from_str::<Vec<i64>>(answer)
            .map(|ids| ids.into_iter().map(Added::Plain).collect())
    };
    read.map_err(|error| unreadable(sqlx::Error::Decode(Box::new(error))))
}
