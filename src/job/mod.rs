//! Jobs, as every room speaks of them.

#[cfg(feature = "database")]
mod added;
mod claimed;
mod names;
#[cfg(feature = "database")]
mod new_job;
mod outcome;

use crate::error::Error;

#[cfg(feature = "database")]
pub use added::{Added, Decision};
pub use claimed::ClaimedJob;
#[cfg(feature = "database")]
pub(crate) use claimed::claimed_columns;
#[cfg(feature = "database")]
pub use claimed::{CLAIMED, Read};
pub use names::{in_line, names};
#[cfg(feature = "database")]
pub use new_job::{Cell, Column, Kind, NewJob, OF_EACH, OF_SOME};
pub use outcome::{End, FailureReason, Outcome};

/// One run of a job. `run_no` grows with every claim of the job and never goes back, so the pair is
/// the fence: a write that names a run fails once the job was claimed again, retried or cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    pub id: i64,
    pub run_no: i64,
}

/// A job that has no attempts left: its last worker was lost, or it was made pending by hand. It ends as
/// `failed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExhaustedJob {
    pub id: i64,
    pub job_type: String,
}

/// A job that was claimed and whose payload cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    pub run: Run,
    pub job_type: String,
    pub has_dead_letter: bool,
    pub error: Error,
}

/// A job that Postgres refused to let be changed: because of a constraint, a trigger, or the job's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub id: i64,
    pub error: Error,
}
