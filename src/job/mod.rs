//! Jobs, as every room speaks of them.

mod names;
#[cfg(feature = "database")]
mod new_job;
mod outcome;

use std::time::Duration;

use crate::error::Error;

pub use names::names;
#[cfg(feature = "database")]
pub use new_job::{Cell, Column, Kind, NEW_JOB, NewJob};
pub use outcome::{End, Outcome};

/// One run of a job. `run_no` grows with every claim of the job and never goes back, so the pair is
/// the fence: a write that names a run fails once the job was claimed again, retried or cancelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Run {
    pub id: i64,
    pub run_no: i64,
}

/// A job that this processor owns until its lease ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedJob {
    pub run: Run,
    pub job_type: String,
    /// JSON text.
    pub payload: String,
    /// Which attempt this is, from 1.
    pub attempts: i32,
    /// It is the job's last attempt, which is counted when the handler begins.
    pub uncounted: bool,
    pub max_attempts: i32,
    pub priority: i32,
    /// Milliseconds since the Unix epoch.
    pub run_at: Option<i64>,
    /// How long a run may take; `None` leaves it to the processor.
    pub timeout: Option<Duration>,
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
    pub error: Error,
}

/// A job that Postgres refused to let be changed: by a constraint, a trigger, or for what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub id: i64,
    pub error: Error,
}
