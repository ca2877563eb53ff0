//! The handlers, as the engine calls them.

use crate::error::Error;
use crate::job::{ClaimedJob, Run};

/// The side that runs jobs. None of these calls may block or fail: a handler's outcome comes back
/// through [`super::Handle::ended`].
pub trait Handlers: Send + Sync + 'static {
    /// Begins these runs, in their order, as soon as the handlers' thread is free.
    fn run(&self, jobs: Vec<ClaimedJob>);

    /// How many runs were ever handed over, ...
    fn handed_over(&self) -> u64;

    /// ... and how many of these have begun, or never will.
    fn begun(&self) -> u64;

    /// Tells a run that it should end, and why: its lease is lost, its time is up, or its job is to
    /// be cancelled. `failed` says whether its job has failed by that.
    fn abort(&self, run: Run, reason: &Error, failed: bool);

    /// Tells how the transaction ended in which the handler of a run has completed its job.
    fn settled_by_handler(&self, run: Run, committed: bool);

    /// Reports an error from outside a handler.
    fn report(&self, error: &Error);

    /// Whether the JavaScript environment has ended, so that no handler runs any more.
    fn gone(&self) -> bool;
}
