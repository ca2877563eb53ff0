//! The job table: the engine's questions to it, and its answers.

use tokio::time::Instant;

use crate::error::{Error, Result};
use crate::job::{ClaimedJob, ExhaustedJob, Outcome, Refusal, Run, Unreadable};

/// The job table, as one processor sees it: its worker id, job types and lease are already bound.
///
/// No call waits for a transaction that has locked a job, and none fails because of one job: a job that cannot
/// be changed is reported apart from the rest.
pub trait Store: Send + Sync + 'static {
    /// Settles `outcomes` and claims due jobs, in one round trip. Every write is fenced: a job that its run no longer
    /// owns is left alone. Outcomes that are missing from [`Exchanged::settled`] are to be settled by
    /// [`Store::settle_each`], which says why, and so are all outcomes if the exchange is refused.
    fn exchange(
        &self,
        outcomes: Vec<Outcome>,
        wanted: Wanted,
    ) -> impl Future<Output = Result<Exchanged>> + Send;

    /// Settles `outcomes`, and returns the fate of each. It gives up a statement that takes the store longer than a
    /// moment, so that a slow outcome is found; the moment is longer with each earlier refusal.
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
    /// the jobs that were claimed before can wait: if one of the jobs keeps the others from coming back, it says so.
    fn recover(&self) -> impl Future<Output = Result<Recovered>> + Send;

    /// Finds out which jobs of lost workers are at fault, and brings back the others.
    fn recover_each(&self) -> impl Future<Output = Result<Recovered>> + Send;

    /// Moves the leases of these runs to a full lease from now, and returns those that still own
    /// their job.
    fn extend(&self, runs: Vec<Run>) -> impl Future<Output = Result<Vec<Extended>>> + Send;

    /// The ends of the transactions in which handlers settled these runs.
    fn settled_by_handler(
        &self,
        runs: Vec<Run>,
    ) -> impl Future<Output = Result<Vec<(Run, Settled)>>> + Send;

    /// The runs among these whose jobs are to be cancelled. Writes nothing.
    fn cancel_requested(&self, runs: Vec<Run>) -> impl Future<Output = Result<Vec<Run>>> + Send;
}

/// The jobs that are to be claimed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// The most jobs; 0 claims none.
    pub limit: usize,
    /// The token by which the claim is found again if its answer is lost. Above 0.
    pub token: i64,
    /// Only jobs of these types, if the processor takes others too.
    pub only: Option<Vec<String>>,
}

/// The answer to an exchange.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Exchanged {
    /// The runs whose outcomes are written. [`Store::settle_each`] tells of the others.
    pub settled: Vec<Run>,
    /// In the order in which they are to run.
    pub claimed: Vec<ClaimedJob>,
    pub exhausted: Vec<ExhaustedJob>,
    pub unreadable: Vec<Unreadable>,
    /// Due jobs that could not be claimed, each reported once.
    pub refused: Vec<Refusal>,
    /// More jobs may be due, though fewer jobs were found than wanted.
    pub unfinished: bool,
    /// Jobs were claimed that are not in this answer, and are to be given back.
    pub in_doubt: bool,
    /// The outcomes are written, and claiming failed.
    pub claim_failed: Option<Error>,
    /// When the claiming statement was sent, if others came before it: the leases count from then on.
    pub claim_sent: Option<Instant>,
}

impl Exchanged {
    /// How many jobs the claim has dealt with.
    pub fn found(&self) -> usize {
        self.claimed.len() + self.exhausted.len() + self.unreadable.len()
    }
}

/// The fate of an outcome that was to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    Written,
    /// Postgres refuses to have it written.
    Refused(Error),
    /// It is written in another way, because Postgres refuses the intended one: a job that may not be deleted is
    /// kept, and a job that may not be pending has failed and is due again.
    Otherwise(Error),
    /// Some transaction has locked the job.
    Locked,
    /// The run no longer owns its job.
    Lost,
}

/// The answer to outcomes that were settled one by one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SettledEach {
    Fates(Vec<(Run, Fate)>),
    /// None was written, since Postgres refuses at least one.
    Refused(Error),
}

/// The answer to counting the attempts of runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counted {
    /// The runs whose handlers can begin. Another run no longer owns its job, or a transaction has locked the job.
    pub runs: Vec<Run>,
    /// The jobs whose attempts Postgres refuses to count.
    pub refused: Vec<Refusal>,
    /// The refused jobs that were refused before too.
    pub refused_before: Vec<i64>,
}

/// The answer to an extension, for a run that still owns its job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extended {
    pub run: Run,
    /// A transaction has locked the job: nobody can extend its lease, or take it over, before that ends.
    pub locked: bool,
    /// Why Postgres refuses to let its lease be extended.
    pub refused: Option<Error>,
    /// The job is to be cancelled.
    pub cancel_requested: bool,
}

/// The state of a run that its handler settled in a transaction of its own.
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

/// The jobs of lost workers that were dealt with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// How many are due again.
    pub pending: usize,
    /// How many were left alone for a moment, since their owners could not extend the leases until just now.
    pub spared: usize,
    /// Those that had no attempts left.
    pub exhausted: Vec<ExhaustedJob>,
    /// The jobs that could not be brought back, each reported once.
    pub refused: Vec<Refusal>,
    /// Jobs are left that one of them may keep from being brought back.
    pub needs_care: bool,
}
