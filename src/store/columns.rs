//! The columns of a job, each once: what a new job gives, and what a worker is told of a job that it has claimed. Whatever
//! names all of them is made from the two lists here, and fills the holes of the templates: see [`schema`].

use std::sync::LazyLock;

use crate::connect::{CopyText, Named, Schema, Value};
use crate::job::{Cell, Column, Kind, NEW_JOB, NewJob};

/// What a claim answers of each job besides its type and payload: the name, the type of the answer, which outlives a
/// change of the column's (0A000), and how it is read from the column.
const CLAIMED: &[(&str, &str, &str)] = &[
    ("attempts", "int", "attempts::int"),
    ("max_attempts", "int", "max_attempts::int"),
    ("priority", "int", "priority::int"),
    (
        "run_at",
        "bigint",
        "case when pg_catalog.isfinite(run_at) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', run_at) * 1000::double precision)::bigint
                end as run_at",
    ),
    ("timeout_ms", "bigint", "timeout_ms::bigint"),
];

impl Kind {
    /// As the values of several jobs travel.
    fn element(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "text",
            Self::Number | Self::Moment => "bigint",
        }
    }

    /// What is put into the column.
    fn expression(self, name: &str) -> String {
        match self {
            Self::Text | Self::Number => format!("job.{name}"),
            Self::Json => format!("job.{name}::jsonb"),
            Self::Moment => format!(
                "coalesce(
                    timestamptz 'epoch' + job.{name}::float8 * interval '1 millisecond', pg_catalog.now()
                )"
            ),
        }
    }
}

impl Column {
    fn one(&self) -> String {
        match self.kind {
            Kind::Text | Kind::Json => format!("{{{}}}::text", self.name),
            Kind::Number | Kind::Moment => format!("{{{}}}::text::bigint", self.name),
        }
    }

    fn several(&self) -> String {
        format!("{{{}}}::{}[]", self.name, self.kind.element())
    }
}

/// A schema whose templates may name, besides their values:
/// - `{given}`: the columns of a new job, `{given_expressions}`: what is put into them of the row `job`, and where
///   that comes from: `{one_job}` or `{several_jobs}`, whose values are [`values_of_one`] and [`values_of_several`];
/// - `{claimed}`: the columns that a claim reads, `{claimed_answer}`: what it answers of them, and in the place of that,
///   where there is no job: `{claimed_nulls}`, with names and types, or `{nulls}`.
pub fn schema(name: String) -> Schema {
    static PARTS: LazyLock<Vec<(&str, String)>> = LazyLock::new(parts);
    Schema::with_parts(name, &PARTS)
}

fn parts() -> Vec<(&'static str, String)> {
    fn list<T>(of: &[T], write: impl Fn(&T) -> String) -> String {
        of.iter().map(write).collect::<Vec<_>>().join(", ")
    }
    vec![
        ("given", list(NEW_JOB, |it| it.name.into())),
        (
            "given_expressions",
            list(NEW_JOB, |it| it.kind.expression(it.name)),
        ),
        ("one_job", list(NEW_JOB, Column::one)),
        ("several_jobs", list(NEW_JOB, Column::several)),
        ("claimed", list(CLAIMED, |(name, ..)| format!("job.{name}"))),
        (
            "claimed_answer",
            list(CLAIMED, |(.., answer)| (*answer).into()),
        ),
        (
            "claimed_nulls",
            list(CLAIMED, |(name, answer_type, _)| {
                format!("null::{answer_type} as {name}")
            }),
        ),
        ("nulls", list(CLAIMED, |_| "null".into())),
    ]
}

/// The values of `{one_job}`.
pub fn values_of_one(job: &NewJob) -> Vec<Named> {
    let value = |given: &Column| match (given.cell)(job) {
        Cell::Text(text) => Value::Text(Some(text.into())),
        Cell::Number(number) => Value::Text(number.map(|number| number.to_string())),
    };
    NEW_JOB
        .iter()
        .map(|given| (given.name, value(given)))
        .collect()
}

/// The values of `{several_jobs}`.
pub fn values_of_several(jobs: &[&NewJob]) -> Vec<Named> {
    let text = |cell: Cell<'_>| match cell {
        Cell::Text(text) => Some(text.to_owned()),
        Cell::Number(number) => number.map(|number| number.to_string()),
    };
    let number = |cell: Cell<'_>| match cell {
        Cell::Text(_) => None,
        Cell::Number(number) => number,
    };
    let value = |given: &Column| {
        let cells = jobs.iter().map(|job| (given.cell)(job));
        match given.kind {
            Kind::Text | Kind::Json => Value::Texts(cells.map(text).collect()),
            Kind::Number | Kind::Moment => Value::OptionalBigInts(cells.map(number).collect()),
        }
    };
    NEW_JOB
        .iter()
        .map(|given| (given.name, value(given)))
        .collect()
}

/// Writes `{given}` of a job as a copy reads it. `now` is in microseconds.
pub fn copy(job: &NewJob, row: &mut CopyText, now: i64) {
    for Column { kind, cell, .. } in NEW_JOB {
        match (kind, cell(job)) {
            (_, Cell::Text(text)) => row.text(text),
            (Kind::Moment, Cell::Number(at)) => {
                row.moment(at.map_or(now, |at| at.saturating_mul(1000)));
            }
            (_, Cell::Number(number)) => row.number(number),
        }
    }
}
