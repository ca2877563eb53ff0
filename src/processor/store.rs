//! The job table, as the engine asks it, and what it answers.

use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::job::{ClaimedJob, ExhaustedJob, Outcome, Refusal, Run, Unreadable};

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

/// What is to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The most jobs; 0 is none.
    pub limit: usize,
    /// By which the claim is found again if its answer is lost. Above 0.
    pub token: i64,
    /// Only of these types, if those are not all that the processor takes.
    pub only: Option<Vec<String>>,
}

/// What a round trip to the store brought.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// The runs whose outcomes are written. Of the others, [`Store::settle_each`] tells.
    pub settled: Vec<Run>,
    /// In the order in which they are to run.
    pub claimed: Vec<ClaimedJob>,
    pub exhausted: Vec<ExhaustedJob>,
    pub unreadable: Vec<Unreadable>,
    /// Jobs that are due and that could not be claimed, each told once.
    pub refused: Vec<Refusal>,
    /// There may be more that is due, though fewer jobs were found than wanted.
    pub unfinished: bool,
    /// Jobs were claimed that are not in it, and are to be given back.
    pub in_doubt: bool,
    /// When the statement was sent that claimed, where others came before it: from then on the leases count.
    pub claim_sent: Option<Instant>,
}

impl Exchanged {
    /// How many jobs the claim has dealt with.
    pub fn found(&self) -> usize {
        self.claimed.len() + self.exhausted.len() + self.unreadable.len()
    }
}

/// What became of an outcome that was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Written,
    /// Postgres refuses to have it written.
    Refused(Error),
    /// It is written another way, because Postgres refuses the way that was meant: a job that may not be deleted is
    /// kept, and one that may not be pending has failed and is due again.
    Otherwise(Error),
    /// Some transaction has locked the job.
    Locked,
    /// The run no longer owns its job.
    Lost,
}

/// What came of outcomes that were settled one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettledEach {
    Fates(Vec<(Run, Fate)>),
    /// None was written, since Postgres refuses one of them.
    Refused(Error),
}

/// What came of counting the attempts of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// Their handlers can begin. Of the others, a run no longer owns its job, or some transaction has locked that.
    pub runs: Vec<Run>,
    /// Those that Postgres refuses to have counted.
    pub refused: Vec<Refusal>,
    /// Those of them that were refused before.
    pub refused_before: Vec<i64>,
}

/// What an extension says of a run that still owns its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extended {
    pub run: Run,
    /// A transaction has locked the job: nobody can extend its lease, or take it over, before that ends.
    pub locked: bool,
    /// Why Postgres refuses to let its lease be extended.
    pub refused: Option<Error>,
    /// Somebody wants the job cancelled.
    pub cancel_requested: bool,
}

/// What became of a run that its handler settled in a transaction of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The transaction was committed.
    Committed,
    /// It was rolled back: the run still owns its job.
    RolledBack,
    /// It has not ended.
    Open,
    /// The run no longer owns its job.
    Lost,
}

/// What became of jobs whose workers were lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// How many are due again.
    pub pending: usize,
    /// How many were left alone for a moment, since their owners could not extend their leases until just now.
    pub spared: usize,
    /// Those that had no attempts left.
    pub exhausted: Vec<ExhaustedJob>,
    /// Those that could not be brought back, each told once.
    pub refused: Vec<Refusal>,
    /// Jobs are left which one of the others may keep from being brought back.
    pub needs_care: bool,
}
