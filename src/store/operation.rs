//! The requests of users to the table.

use serde::Deserialize;

use super::find::Of;
use super::notify::Notice;
use super::{cancel, cleanup, complete, enqueue, find, reclaim, retry};
use crate::connect::{Schema, Statement};
use crate::job::NewJob;
use crate::job::Run;

/// A request with its arguments, complete and checked, as TypeScript sends it: `{ verb: arguments }`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Operation {
    Enqueue {
        jobs: Vec<NewJob>,
    },
    FindJob {
        id: i64,
    },
    FindJobsByStatus {
        status: String,
        limit: i64,
        offset: i64,
    },
    FindAllJobs {
        limit: i64,
        offset: i64,
    },
    Retry {
        id: i64,
    },
    Cancel {
        id: i64,
    },
    CancelUpcoming(cancel::Filters),
    Complete {
        id: i64,
        run_no: i64,
        remove: bool,
    },
    Backlog {
        types: Vec<String>,
    },
    Reclaim {
        max_processing_minutes: f64,
    },
    Cleanup {
        #[serde(flatten)]
        old: cleanup::Old,
        after: Option<cleanup::Position>,
    },
}

impl Operation {
    pub fn statement(&self, schema: &Schema) -> Statement {
        match self {
            Self::Enqueue { jobs } => {
                enqueue::jobs(schema, jobs, jobs.iter().any(NewJob::is_due), None)
            }
            Self::FindJob { id } => find::job(schema, Of::Record, *id),
            Self::FindJobsByStatus {
                status,
                limit,
                offset,
            } => find::jobs_by_status(schema, Of::Record, status, *limit, *offset),
            Self::FindAllJobs { limit, offset } => {
                find::all_jobs(schema, Of::Record, *limit, *offset)
            }
            Self::Retry { id } => retry::job(schema, *id),
            Self::Cancel { id } => cancel::job(schema, *id),
            Self::CancelUpcoming(filters) => cancel::upcoming(schema, filters),
            Self::Complete { id, run_no, remove } => {
                let (id, run_no) = (*id, *run_no);
                complete::job(schema, Run { id, run_no }, *remove)
            }
            Self::Backlog { types } => find::backlog(schema, types),
            Self::Reclaim {
                max_processing_minutes,
            } => reclaim::stuck_jobs(schema, *max_processing_minutes),
            Self::Cleanup { old, after } => cleanup::old_jobs(schema, old, after.as_ref()),
        }
    }

    /// For an operation that reads records: a statement that answers the ids alone.
    pub fn ids(&self, schema: &Schema) -> Option<Statement> {
        Some(match self {
            Self::FindJob { id } => find::job(schema, Of::Id, *id),
            Self::FindJobsByStatus {
                status,
                limit,
                offset,
            } => find::jobs_by_status(schema, Of::Id, status, *limit, *offset),
            Self::FindAllJobs { limit, offset } => find::all_jobs(schema, Of::Id, *limit, *offset),
            _ => return None,
        })
    }

    /// The news for processors once it has run.
    pub fn notice(&self) -> Option<Notice> {
        match self {
            Self::Enqueue { jobs } => (jobs.iter().any(NewJob::is_due)).then_some(Notice::Ready),
            Self::Retry { .. } | Self::Reclaim { .. } => Some(Notice::Ready),
            Self::Cancel { id } => Some(Notice::Cancel(*id)),
            _ => None,
        }
    }
}
