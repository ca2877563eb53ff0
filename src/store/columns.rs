//! The columns of a job in statements: those of a new job ([`OF_EACH`], [`OF_SOME`]), and those that a worker reads of
//! a claimed job ([`CLAIMED`]). All SQL that names all of them is generated from the two lists, and fills the holes of the
//! templates: see [`schema`].

use std::sync::LazyLock;

use super::retry_policy::{next_attempt, snoozed_until};
use crate::connect::{CopyText, Named, Schema, Value};
use crate::job::{CLAIMED, Cell, Column, Kind, NewJob, OF_EACH, OF_SOME, Read};

/// The fields of a record besides those that a new job gives, and the columns that they come from. A job's claim and
/// its end are the times that its row has in any case.
const KEPT: &[(&str, &str, Shown)] = &[
    ("status", "job.status", Shown::Plain),
    ("attempts", "job.attempts", Shown::Plain),
    ("created_at", "job.created_at", Shown::Moment),
    ("updated_at", "job.updated_at", Shown::Moment),
    ("locked_at", "job.locked_at", Shown::Moment),
    ("locked_by", "job.locked_by", Shown::Plain),
    (
        "started_at",
        "case when job.status::text <> 'pending' then job.locked_at end",
        Shown::Moment,
    ),
    (
        "completed_at",
        "case when job.status::text = 'completed' then job.updated_at end",
        Shown::Moment,
    ),
    ("next_attempt_at", "job.next_attempt_at", Shown::Moment),
    ("snoozes", "job.snoozes", Shown::Count),
    ("failure_reason", "job.failure_reason", Shown::Plain),
    ("pending_reason", "job.pending_reason", Shown::Long),
    (
        "cancel_requested_at",
        "job.cancel_requested_at",
        Shown::Moment,
    ),
    ("error_history", "job.error_history", Shown::List),
];

/// How a column is set into a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    Plain,
    /// A number that is null until it is first counted.
    Count,
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
            Kind::Text | Kind::Number | Kind::Real => Self::Plain,
            Kind::Json => Self::Payload,
            Kind::Moment => Self::Moment,
        }
    }

    fn expression(self, value: &str) -> String {
        match self {
            Self::Plain | Self::Payload | Self::Long => value.to_owned(),
            Self::Count => format!("coalesce({value}, 0)"),
            Self::Moment => {
                format!("pg_catalog.floor(extract(epoch from {value}) * 1000::numeric)")
            }
            Self::List => format!("coalesce({value}, '[]'::jsonb)"),
        }
    }
}

/// The record of the row `job`, without the columns that are `left_out`.
fn record(left_out: &[Shown]) -> String {
    let field = |name: &str, value: &str, shown: Shown| {
        let expression = if left_out.contains(&shown) {
            "null".into()
        } else {
            shown.expression(value)
        };
        format!("'{name}', {expression}")
    };
    let given = columns_of(Given::All)
        .map(|it| field(it.name, &format!("job.{}", it.name), Shown::of(it.kind)));
    let kept = KEPT
        .iter()
        .map(|&(name, value, shown)| field(name, value, shown));
    let fields = [field("id", "job.id", Shown::Plain)]
        .into_iter()
        .chain(given)
        .chain(kept);
    let fields = fields.collect::<Vec<_>>().join(",\n                ");
    format!(
        "pg_catalog.json_build_object(
                {fields}
            )::text as result"
    )
}

fn list<T>(of: impl IntoIterator<Item = T>, write: impl Fn(T) -> String) -> String {
    of.into_iter().map(write).collect::<Vec<_>>().join(", ")
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
            Self::Text | Self::Json | Self::Real => "text",
            Self::Number | Self::Moment => "bigint",
        }
    }

    /// The expression for the column's value.
    fn expression(self, name: &str) -> String {
        match self {
            Self::Text | Self::Number => format!("job.{name}"),
            Self::Json => format!("job.{name}::jsonb"),
            Self::Real => format!("job.{name}::float8"),
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
            Kind::Text | Kind::Json | Kind::Real => format!("{{{}}}::text", self.name),
            Kind::Number | Kind::Moment => format!("{{{}}}::text::bigint", self.name),
        }
    }

    fn several(&self) -> String {
        format!("{{{}}}::{}[]", self.name, self.kind.element())
    }
}

/// Which columns a statement for new jobs names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Given {
    /// Those that each job gives.
    Plain,
    All,
}

impl Given {
    /// All columns that one of these jobs gives.
    pub fn by<'a>(jobs: impl IntoIterator<Item = &'a NewJob>) -> Self {
        if jobs.into_iter().all(NewJob::is_plain) {
            Self::Plain
        } else {
            Self::All
        }
    }
}

fn columns_of(given: Given) -> impl Iterator<Item = &'static Column> {
    let of_some = match given {
        Given::Plain => &[],
        Given::All => OF_SOME,
    };
    OF_EACH.iter().chain(of_some)
}

/// A schema whose templates may name, besides their values:
/// - `{given}`: the columns that each new job gives, `{given_expressions}`: their values, from the row `job`, and the
///   source of that row: `{one_job}` or `{several_jobs}`, whose values are [`values_of_one`] and
///   [`values_of_several`]; the same for all columns: `{all_given}`, `{all_expressions}`, `{one_whole_job}` and
///   `{several_whole_jobs}`, and as a JSON object without the payload: `{all_but_payload}`;
/// - `{claimed}`: the columns that a claim reads, `{claimed_answer}`: its answer for them, and in place of that for a
///   row without a job: `{claimed_nulls}`, with names and types, or `{nulls}`;
/// - `{next_attempt}`, `{snoozed_until}`: when a job runs again, see [`super::retry_policy`];
/// - `{record}`: the record of the row `job`, `{record_without_payload}` and `{least_record}`, the short columns only.
pub fn schema(name: String) -> Schema {
    static PARTS: LazyLock<Vec<(&str, String)>> = LazyLock::new(parts);
    Schema::with_parts(name, &PARTS)
}

fn parts() -> Vec<(&'static str, String)> {
    let given = |given, write: fn(&Column) -> String| list(columns_of(given), write);
    let name = |column: &Column| column.name.to_owned();
    let expression = |column: &Column| column.kind.expression(column.name);
    vec![
        ("given", given(Given::Plain, name)),
        ("given_expressions", given(Given::Plain, expression)),
        ("one_job", given(Given::Plain, Column::one)),
        ("several_jobs", given(Given::Plain, Column::several)),
        ("all_given", given(Given::All, name)),
        ("all_expressions", given(Given::All, expression)),
        ("one_whole_job", given(Given::All, Column::one)),
        ("several_whole_jobs", given(Given::All, Column::several)),
        ("all_but_payload", all_but_payload()),
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
        ("next_attempt", next_attempt()),
        ("snoozed_until", snoozed_until()),
        ("record", record(&[])),
        ("record_without_payload", record(&[Shown::Payload])),
        (
            "least_record",
            record(&[Shown::Payload, Shown::Long, Shown::List]),
        ),
    ]
}

/// The columns of `{all_given}` as a JSON object, but for the payload, whose JSON null would be taken for no value.
fn all_but_payload() -> String {
    let short = columns_of(Given::All).filter(|column| column.kind != Kind::Json);
    let members = list(short, |Column { name, .. }| format!("'{name}', {name}"));
    format!("pg_catalog.jsonb_build_object({members})")
}

/// The values of `{one_job}`, or of `{one_whole_job}`.
pub fn values_of_one(job: &NewJob, given: Given) -> Vec<Named> {
    let value = |column: &Column| Value::Text((column.cell)(job).text());
    columns_of(given)
        .map(|column| (column.name, value(column)))
        .collect()
}

/// The values of `{several_jobs}`, or of `{several_whole_jobs}`.
pub fn values_of_several(jobs: &[&NewJob], given: Given) -> Vec<Named> {
    let number = |cell: Cell<'_>| match cell {
        Cell::Number(number) => number,
        Cell::Text(_) | Cell::Real(_) => None,
    };
    let value = |column: &Column| {
        let cells = jobs.iter().map(|job| (column.cell)(job));
        match column.kind {
            Kind::Text | Kind::Json | Kind::Real => Value::Texts(cells.map(Cell::text).collect()),
            Kind::Number | Kind::Moment => Value::OptionalBigInts(cells.map(number).collect()),
        }
    };
    columns_of(given)
        .map(|column| (column.name, value(column)))
        .collect()
}

/// Writes `{given}` or `{all_given}` of a job as a copy reads them. `now` is in microseconds.
pub fn copy(job: &NewJob, given: Given, row: &mut CopyText, now: i64) {
    for Column { kind, cell, .. } in columns_of(given) {
        match (kind, cell(job)) {
            (_, Cell::Text(text)) => row.text(text),
            (Kind::Moment, Cell::Number(at)) => {
                row.moment(at.map_or(now, |at| at.saturating_mul(1000)));
            }
            (_, Cell::Number(number)) => row.number(number),
            (_, Cell::Real(number)) => row.number(number),
        }
    }
}
