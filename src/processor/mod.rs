//! The engine: it claims jobs, decides how many handlers run, keeps the leases of what runs and
//! settles what has ended.
//!
//! It knows no Node-API and writes no SQL. The database is a [`Store`], the JavaScript handlers are
//! [`Handlers`], and time is tokio's, so that tests run it over a store in memory with a clock that
//! they move.

mod engine;
mod handle;
mod heard;
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
pub use job::{
    ClaimedJob, Counted, End, Exchanged, ExhaustedJob, Extended, Fate, Outcome, Recovered, Refusal,
    Run, Settled, SettledEach, Unreadable, Wanted,
};
pub use pace::LastPace;
pub use recovery::Recovery;
pub use running::{Engines, Running};
pub use tally::{DidNotFit, Tally};
pub use usual::UsualDurations;

use crate::error::{Error, Result};

/// The job table, as one processor sees it: its worker id, job types and lease are already bound.
///
/// No call waits for a transaction that has locked a job, and none fails for the sake of one job: what refuses to
/// be changed is told apart from the rest.
pub trait Store: Send + Sync + 'static {
    /// Settles `outcomes` and claims due jobs, in one round trip. Every write is fenced: what a run no longer owns
    /// is left alone. What is missing from [`Exchanged::settled`] is to be settled by
    /// [`Store::settle_each`], which says why, and so is everything if the exchange is refused.
    fn exchange(
        &self,
        outcomes: Vec<Outcome>,
        wanted: Wanted,
    ) -> impl Future<Output = Result<Exchanged>> + Send;

    /// Settles `outcomes`, and says of each what became of it. It gives up what takes the store longer than a moment,
    /// so that a slow one is found; with each time that one was refused before, the moment is longer.
    ///
    /// # Errors
    /// Where none of the outcomes is at fault.
    fn settle_each(
        &self,
        outcomes: Vec<Outcome>,
        refusals: u32,
    ) -> impl Future<Output = Result<SettledEach>> + Send;

    /// Counts the attempts of runs whose handlers are about to begin.
    fn begin(&self, runs: Vec<Run>) -> impl Future<Output = Result<Counted>> + Send;

    /// The runs that claims with these tokens have begun.
    fn claimed_by(&self, tokens: Vec<i64>) -> impl Future<Output = Result<Vec<Run>>> + Send;

    /// Brings back jobs, of any type, whose workers are lost: they are due again, or have ended. Takes no longer than
    /// what was claimed before can wait: where one of the jobs keeps the others from coming back, it says so.
    fn recover(&self) -> impl Future<Output = Result<Recovered>> + Send;

    /// Finds out which of them are at fault, and brings back the others.
    fn recover_each(&self) -> impl Future<Output = Result<Recovered>> + Send;

    /// Moves the leases of these runs to a full lease from now, and returns those that still own
    /// their job.
    fn extend(&self, runs: Vec<Run>) -> impl Future<Output = Result<Vec<Extended>>> + Send;

    /// What became of runs that their handlers settled.
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
    /// be cancelled. `failed` is whether its job has failed by that.
    fn abort(&self, run: Run, reason: &Error, failed: bool);

    /// Tells how the transaction ended in which the handler of a run has completed its job.
    fn settled_by_handler(&self, run: Run, committed: bool);

    /// Reports what failed outside a handler.
    fn report(&self, error: &Error);

    /// Whether the JavaScript environment has ended, so that no handler runs any more.
    fn gone(&self) -> bool;
}
