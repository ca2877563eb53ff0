//! What a user can ask of the table.

use serde::Deserialize;

use super::{cancel, cleanup, enqueue, find, reclaim, retry};
use crate::connect::{Schema, Statement};

/// A request with its arguments, complete and checked, as TypeScript sends it.
#[derive(Debug, Deserialize)]
#[serde(
    tag = "verb",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum Operation {
    Enqueue {
        jobs: Vec<enqueue::NewJob>,
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
    Reclaim {
        max_processing_minutes: f64,
    },
    Cleanup {
        days_to_keep: f64,
        after: Option<cleanup::Position>,
    },
}

impl Operation {
    pub fn statement(&self, schema: &Schema) -> Statement {
        match self {
            Self::Enqueue { jobs } => enqueue::jobs(schema, jobs),
            Self::FindJob { id } => find::job(schema, *id),
            Self::FindJobsByStatus {
                status,
                limit,
                offset,
            } => find::jobs_by_status(schema, status, *limit, *offset),
            Self::FindAllJobs { limit, offset } => find::all_jobs(schema, *limit, *offset),
            Self::Retry { id } => retry::job(schema, *id),
            Self::Cancel { id } => cancel::job(schema, *id),
            Self::CancelUpcoming(filters) => cancel::upcoming(schema, filters),
            Self::Reclaim {
                max_processing_minutes,
            } => reclaim::stuck_jobs(schema, *max_processing_minutes),
            Self::Cleanup {
                days_to_keep,
                after,
            } => cleanup::old_jobs(schema, *days_to_keep, after.as_ref()),
        }
    }

    /// Whether running it makes jobs due, so that idle processors should look.
    pub fn makes_ready(&self) -> bool {
        matches!(
            self,
            Self::Enqueue { .. } | Self::Retry { .. } | Self::Reclaim { .. }
        )
    }
}
