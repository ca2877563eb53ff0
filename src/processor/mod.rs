//! The engine: it claims jobs, decides how many handlers run, keeps the leases of what runs and
//! settles what has ended.
//!
//! It knows no Node-API and writes no SQL. The database is a [`Store`], the JavaScript handlers are
//! [`Handlers`], and time is tokio's, so that tests run it over a store in memory with a clock that
//! they move.

mod engine;
mod handle;
mod held;
mod job;
mod pace;
mod recovery;
mod running;
mod tally;
#[cfg(test)]
pub(crate) mod tests;
mod usual;

pub use engine::{Engine, Mode, Settings};
pub use handle::Handle;
pub use job::{ClaimedJob, End, Exchanged, Extended, LostJob, Outcome, Recovered, Run, Settled};
pub use recovery::Recovery;
pub use running::{Engines, Running};
pub use tally::Tally;
pub use usual::UsualDurations;

use crate::error::{Error, Result};

/// The job table, as one processor sees it: its worker id, job types and lease are already bound.
pub trait Store: Send + Sync + 'static {
    /// Settles `outcomes` and claims up to `limit` due jobs, in one round trip; of its types, or of
    /// those in `only`. Every write is fenced: what a run no longer owns is left alone and missing
    /// from [`Exchanged::settled`].
    fn exchange(
        &self,
        outcomes: Vec<Outcome>,
        limit: usize,
        only: Option<Vec<String>>,
    ) -> impl Future<Output = Result<Exchanged>> + Send;

    /// Brings back jobs, of any type, whose workers are lost: they are due again, or have ended.
    fn recover(&self) -> impl Future<Output = Result<Recovered>> + Send;

    /// Moves the leases of these runs to a full lease from now, and returns those that still own
    /// their job.
    fn extend(&self, runs: Vec<Run>) -> impl Future<Output = Result<Vec<Extended>>> + Send;

    /// What became of runs that their handlers settled. Waits for nobody's transaction.
    fn settled_by_handler(
        &self,
        runs: Vec<Run>,
    ) -> impl Future<Output = Result<Vec<(Run, Settled)>>> + Send;

    /// Which of these runs have a job that somebody wants cancelled. Writes nothing.
    fn cancel_requested(&self, runs: Vec<Run>) -> impl Future<Output = Result<Vec<Run>>> + Send;
}

/// Where jobs are run. None of these calls may block or fail: what a handler does comes back
/// through [`Handle::ended`].
pub trait Handlers: Send + Sync + 'static {
    /// Begins these runs.
    fn run(&self, jobs: Vec<ClaimedJob>);

    /// Tells a run that it should end, and why: its lease is lost, its time is up, or its job is to
    /// be cancelled.
    fn abort(&self, run: Run, reason: &Error);

    /// Reports what failed outside a handler.
    fn report(&self, error: &Error);

    /// Whether the JavaScript environment has ended, so that no handler runs any more.
    fn gone(&self) -> bool;
}
