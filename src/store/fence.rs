//! The owner of a job: the rules of the fence and of a lease, each written once.

use crate::connect::{Named, Value};
use crate::job::Run;

/// Whether the lease of the row `$row` counts. A job that the original's code claims gets a new `locked_at` and no
/// lease, so an older lease no longer counts.
macro_rules! is_leased {
    ($row:literal) => {
        concat!($row, ".lease_expires_at > ", $row, ".locked_at")
    };
}

/// Whether the lease of the row `$row`, which runs, is live, ...
macro_rules! is_live {
    ($row:literal) => {
        concat!(is_leased!($row), " and ", $row, ".lease_expires_at > now()")
    };
}

/// ... or over.
macro_rules! has_lapsed {
    ($row:literal) => {
        concat!(
            is_leased!($row),
            " and ",
            $row,
            ".lease_expires_at <= now()"
        )
    };
}

/// The fence: whether `$run` owns the job in `$row`.
macro_rules! owned {
    ($row:literal, $run:literal) => {
        concat!(
            $row,
            ".run_no = ",
            $run,
            ".run_no and (",
            $row,
            ".status::text = 'processing' and ",
            is_leased!($row),
            ") is true"
        )
    };
}

/// The runs of [`values_of`], as `run`.
macro_rules! named_runs {
    () => {
        "rows from (
                pg_catalog.unnest({ids}::bigint[]), pg_catalog.unnest({run_nos}::bigint[])
            ) as run (id, run_no)"
    };
}

pub(super) use {has_lapsed, is_leased, is_live, named_runs, owned};

/// The values for [`named_runs!`].
pub fn values_of(runs: &[Run]) -> Vec<Named> {
    vec![
        (
            "ids",
            Value::BigInts(runs.iter().map(|run| run.id).collect()),
        ),
        (
            "run_nos",
            Value::BigInts(runs.iter().map(|run| run.run_no).collect()),
        ),
    ]
}
