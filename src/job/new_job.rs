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
    Text(&'a str),
    Number(Option<i64>),
}

/// The values that a new job may have for a column.
trait Cells {
    fn cell(&self) -> Cell<'_>;
}

impl Cells for String {
    fn cell(&self) -> Cell<'_> {
        Cell::Text(self)
    }
}

impl Cells for Box<RawValue> {
    fn cell(&self) -> Cell<'_> {
        Cell::Text(self.get())
    }
}

impl Cells for i32 {
    fn cell(&self) -> Cell<'_> {
        Cell::Number(Some((*self).into()))
    }
}

impl<T: Copy + Into<i64>> Cells for Option<T> {
    fn cell(&self) -> Cell<'_> {
        Cell::Number(self.map(Into::into))
    }
}

macro_rules! new_job {
    ($($name:ident: $type:ty, $kind:ident;)*) => {
        /// A job to be added, as TypeScript sends it.
        #[derive(Debug, Clone, Deserialize)]
        pub struct NewJob {
            $(pub $name: $type,)*
        }

        /// The columns of a new job.
        pub const NEW_JOB: &[Column] = &[
            $(Column {
                name: stringify!($name),
                kind: Kind::$kind,
                cell: |job| job.$name.cell(),
            },)*
        ];
    };
}

new_job! {
    job_type: String, Text;
    payload: Box<RawValue>, Json;
    max_attempts: i32, Number;
    priority: i32, Number;
    run_at: Option<i64>, Moment;
    timeout_ms: Option<i32>, Number;
}

impl NewJob {
    /// Whether it is due already, as far as this process's clock can tell.
    pub fn is_due(&self) -> bool {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis());
        self.run_at
            .is_none_or(|at| u128::try_from(at).is_ok_and(|at| at <= now) || at < 0)
    }
}
