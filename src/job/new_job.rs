//! The columns of a new job, each written once. All code that names all of them is generated from this list.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::Deserialize;
use serde_json::value::RawValue;

/// The kind of value that a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Text,
    Json,
    Number,
    /// A number with a fraction.
    Real,
    /// Milliseconds since the Unix epoch; without a value, it is now by the database's clock.
    Moment,
}

/// A column of a new job, and the job's value for it.
pub struct Column {
    pub name: &'static str,
    pub kind: Kind,
    pub cell: fn(&NewJob) -> Cell<'_>,
}

pub enum Cell<'a> {
    Text(Option<&'a str>),
    Number(Option<i64>),
    Real(Option<f64>),
}

impl Cell<'_> {
    /// The text that Postgres reads as this value, if there is one.
    pub fn text(self) -> Option<String> {
        match self {
            Self::Text(text) => text.map(str::to_owned),
            Self::Number(number) => number.map(|number| number.to_string()),
            Self::Real(number) => number.map(|number| number.to_string()),
        }
    }

    fn is_null(&self) -> bool {
        matches!(
            self,
            Self::Text(None) | Self::Number(None) | Self::Real(None)
        )
    }
}

/// The values that a new job may have for a column.
trait Cells {
    fn cell(&self) -> Cell<'_>;
}

impl Cells for String {
    fn cell(&self) -> Cell<'_> {
        Cell::Text(Some(self))
    }
}

impl Cells for Option<String> {
    fn cell(&self) -> Cell<'_> {
        Cell::Text(self.as_deref())
    }
}

impl Cells for Box<RawValue> {
    fn cell(&self) -> Cell<'_> {
        Cell::Text(Some(self.get()))
    }
}

impl Cells for i32 {
    fn cell(&self) -> Cell<'_> {
        Cell::Number(Some((*self).into()))
    }
}

impl Cells for Option<i32> {
    fn cell(&self) -> Cell<'_> {
        Cell::Number(self.map(Into::into))
    }
}

impl Cells for Option<i64> {
    fn cell(&self) -> Cell<'_> {
        Cell::Number(*self)
    }
}

impl Cells for Option<f64> {
    fn cell(&self) -> Cell<'_> {
        Cell::Real(*self)
    }
}

macro_rules! new_job {
    (
        each { $($name:ident: $type:ty, $kind:ident;)* }
        some { $($rare:ident: $rare_type:ty, $rare_kind:ident;)* }
    ) => {
        /// A job to be added, as TypeScript sends it.
        #[derive(Debug, Clone, Deserialize)]
        pub struct NewJob {
            $(pub $name: $type,)*
            $(pub $rare: $rare_type,)*
            /// What to do if another job holds the key; `None` keeps it.
            pub on_conflict: Option<String>,
            pub max_wait_ms: Option<i64>,
        }

        /// The columns that each new job gives, ...
        pub const OF_EACH: &[Column] = &[$(new_job!(column $name $kind)),*];

        /// ... and those of which most jobs give none: a statement for jobs without them does not name them.
        pub const OF_SOME: &[Column] = &[$(new_job!(column $rare $rare_kind)),*];
    };
    (column $name:ident $kind:ident) => {
        Column {
            name: stringify!($name),
            kind: Kind::$kind,
            cell: |job| job.$name.cell(),
        }
    };
}

new_job! {
    each {
        job_type: String, Text;
        payload: Box<RawValue>, Json;
        max_attempts: i32, Number;
        priority: i32, Number;
        run_at: Option<i64>, Moment;
        timeout_ms: Option<i32>, Number;
    }
    some {
        retry_delay_ms: Option<i32>, Number;
        retry_factor: Option<f64>, Real;
        retry_max_delay_ms: Option<i32>, Number;
        dead_letter_job_type: Option<String>, Text;
        idempotency_key: Option<String>, Text;
        idempotency_hold: Option<String>, Text;
    }
}

impl NewJob {
    /// Whether it gives none of the columns in [`OF_SOME`].
    pub fn is_plain(&self) -> bool {
        OF_SOME.iter().all(|column| (column.cell)(self).is_null())
    }

    pub fn is_keyed(&self) -> bool {
        self.idempotency_key.is_some()
    }

    /// Its type and its key: of jobs in which they are equal, one holds the key.
    pub fn key(&self) -> (&str, Option<&str>) {
        (&self.job_type, self.idempotency_key.as_deref())
    }

    /// Whether it has a key that it holds for some time.
    pub fn has_window(&self) -> bool {
        let hold = self.idempotency_hold.as_deref();
        self.is_keyed()
            && hold.is_some_and(|hold| hold.starts_with(|first: char| first.is_ascii_digit()))
    }

    /// Whether it is due already, as far as this process's clock can tell.
    pub fn is_due(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis());
        self.run_at
            .is_none_or(|at| u128::try_from(at).is_ok_and(|at| at <= now) || at < 0)
    }
}
