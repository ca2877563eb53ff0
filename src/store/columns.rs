//! The columns of a job in statements: those of a new job ([`NEW_JOB`]), and those that a worker reads of a claimed
//! job ([`CLAIMED`]). All SQL that names all of them is generated from the two lists, and fills the holes of the
//! templates: see [`schema`].

use std::sync::LazyLock;

use crate::connect::{CopyText, Named, Schema, Value};
use crate::job::{CLAIMED, Cell, Column, Kind, NEW_JOB, NewJob, Read};

/// The columns of a record besides those that a new job gives.
const KEPT: &[(&str, Shown)] = &[
    ("status", Shown::Plain),
    ("attempts", Shown::Plain),
    ("created_at", Shown::Moment),
    ("updated_at", Shown::Moment),
    ("locked_at", Shown::Moment),
    ("locked_by", Shown::Plain),
    ("next_attempt_at", Shown::Moment),
    ("pending_reason", Shown::Long),
    ("cancel_requested_at", Shown::Moment),
    ("error_history", Shown::List),
];

/// How a column is set into a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Plain,
    /// As milliseconds since the Unix epoch.
    Moment,
    /// Free text, as deep as its user likes.
    Payload,
    /// Text that may be long.
    Long,
    /// The same, of JSON.
    List,
}

impl Shown {
    fn of(kind: Kind) -> Self {
        match kind {
            Kind::Text | Kind::Number => Self::Plain,
            Kind::Json => Self::Payload,
            Kind::Moment => Self::Moment,
        }
    }

    fn expression(self, name: &str) -> String {
        match self {
            Self::Plain | Self::Payload | Self::Long => format!("job.{name}"),
            Self::Moment => {
                format!("pg_catalog.floor(extract(epoch from job.{name}) * 1000::numeric)")
            }
            Self::List => format!("coalesce(job.{name}, '[]'::jsonb)"),
        }
    }
}

/// The record of the row `job`, without the columns that are `left_out`.
fn record(left_out: &[Shown]) -> String {
    let id = ("id", Shown::Plain);
    let given = NEW_JOB.iter().map(|it| (it.name, Shown::of(it.kind)));
    let columns: Vec<_> = [id]
        .into_iter()
        .chain(given)
        .chain(KEPT.iter().copied())
        .collect();
    let fields = columns.iter().map(|&(name, shown)| {
        let expression = if left_out.contains(&shown) {
            "null".into()
        } else {
            shown.expression(name)
        };
        format!("'{name}', {expression}")
    });
    let fields = fields.collect::<Vec<_>>().join(",\n                ");
    format!(
        "pg_catalog.json_build_object(
                {fields}
            )::text as result"
    )
}

fn list<T>(of: &[T], write: impl Fn(&T) -> String) -> String {
    of.iter().map(write).collect::<Vec<_>>().join(", ")
}

impl Read {
    /// The type of the answer, so that a prepared statement outlives a change of the column's type (0A000).
    fn answer_type(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::BigInt | Self::Moment => "bigint",
        }
    }

    fn answer(self, name: &str) -> String {
        match self {
            Self::Int | Self::BigInt => format!("{name}::{}", self.answer_type()),
            Self::Moment => format!(
                "case when pg_catalog.isfinite({name}) then
                    pg_catalog.floor(pg_catalog.date_part('epoch', {name}) * 1000::double precision)::bigint
                end as {name}"
            ),
        }
    }
}

impl Kind {
    /// The type in which the values of several jobs travel.
    fn element(self) -> &'static str {
        match self {
            Self::Text | Self::Json => "text",
            Self::Number | Self::Moment => "bigint",
        }
    }

    /// The expression for the column's value.
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
/// - `{given}`: the columns of a new job, `{given_expressions}`: their values, from the row `job`, and the source of
///   that row: `{one_job}` or `{several_jobs}`, whose values are [`values_of_one`] and [`values_of_several`];
/// - `{claimed}`: the columns that a claim reads, `{claimed_answer}`: its answer for them, and in place of that for a
///   row without a job: `{claimed_nulls}`, with names and types, or `{nulls}`;
/// - `{record}`: the record of the row `job`, `{record_without_payload}` and `{least_record}`, the short columns only.
pub fn schema(name: String) -> Schema {
    static PARTS: LazyLock<Vec<(&str, String)>> = LazyLock::new(parts);
    Schema::with_parts(name, &PARTS)
}

fn parts() -> Vec<(&'static str, String)> {
    vec![
        ("given", list(NEW_JOB, |it| it.name.into())),
        (
            "given_expressions",
            list(NEW_JOB, |it| it.kind.expression(it.name)),
        ),
        ("one_job", list(NEW_JOB, Column::one)),
        ("several_jobs", list(NEW_JOB, Column::several)),
        ("claimed", list(CLAIMED, |(name, _)| format!("job.{name}"))),
        (
            "claimed_answer",
            list(CLAIMED, |(name, read)| read.answer(name)),
        ),
        (
            "claimed_nulls",
            list(CLAIMED, |(name, read)| {
                format!("null::{} as {name}", read.answer_type())
            }),
        ),
        ("nulls", list(CLAIMED, |_| "null".into())),
        ("record", record(&[])),
        ("record_without_payload", record(&[Shown::Payload])),
        (
            "least_record",
            record(&[Shown::Payload, Shown::Long, Shown::List]),
        ),
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
