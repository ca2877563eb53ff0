//! The job table as one processor uses it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::Row;
use sqlx::postgres::PgRow;
use tokio::time::Instant;

use super::answers::{read_exchanged, read_extended, read_fates, read_run, read_runs, unreadable};
use super::aside::Aside;
use super::claim::Claim;
use super::cursor::{Cursor, Look, Seen};
use super::each::each;
use super::recover::{self, LeaseCursor};
use super::settle::Ways;
use super::slowness::Slowness;
use super::{begin, cancel, claim, complete, extend, settle};
use crate::connect::{Deferred, Patience, Pool, Schema, Statement, Terms, Turn};
use crate::error::{Error, Result};
use crate::job::{End, Outcome, Refusal, Run};
use crate::processor::{
    Counted, Exchanged, Extended, Fate, Recovered, Settled, SettledEach, Store, Wanted,
};

/// The knowledge of the table that the workers of a queue share.
#[derive(Default)]
pub struct Shared {
    pub(super) lease_cursor: LeaseCursor,
    /// The jobs that cannot be claimed or begun at present, ...
    pub(super) aside: Aside,
    /// ... and those of lost workers that cannot be brought back.
    pub(super) lost_aside: Aside,
    /// Whether the queue's role is known to have the rights to settle, so that no job runs in vain.
    pub(super) proven: AtomicBool,
    pub(super) slowness: Slowness,
}

#[derive(Clone)]
pub struct Worker {
    pub pool: Pool,
    pub schema: Arc<Schema>,
    /// Stored in `locked_by`.
    pub id: String,
    /// The types of jobs that it takes; `None` means all.
    pub job_types: Option<Vec<String>>,
    pub lease: Duration,
    /// Whether a completed job is deleted, not kept.
    pub remove_on_complete: bool,
    pub cursor: Arc<Cursor>,
    pub shared: Arc<Shared>,
    /// How much time the worker has, if that is limited.
    pub time: Option<Duration>,
    /// Whether to look behind the cursors before saying that nothing is due. A worker that polls need not: it finds
    /// those jobs later.
    pub thorough: bool,
}

impl Worker {
    pub(super) async fn fetch(&self, statement: Statement) -> Result<Vec<PgRow>> {
        self.pool.fetch_for_worker(self.terms(), &statement).await
    }

    /// The same, for rows of which one may be slow.
    pub(super) async fn probe(&self, statement: &Statement) -> Result<Vec<PgRow>> {
        self.probe_within(self.patience().probe(), statement).await
    }

    /// The same, within this time.
    pub(super) async fn probe_within(
        &self,
        limit: Duration,
        statement: &Statement,
    ) -> Result<Vec<PgRow>> {
        let terms = self
            .terms()
            .within(self.shared.slowness.scaled(limit))
            .careful();
        self.pool.fetch_for_worker(terms, statement).await
    }

    /// For a first try, after which time is left to find out which row is slow. This side gives the statement up: to
    /// set another limit at the server would be a round trip of its own, each time.
    fn brief(&self, turn: Turn, answer: Duration) -> Terms {
        let terms = self.terms();
        Terms {
            turn,
            answer: self.shared.slowness.scaled(answer).min(terms.answer),
            ..terms
        }
    }

    /// Takes note of a statement without any row that failed.
    pub(super) fn failed_without_rows(&self, error: &Error) {
        if error.was_held_up() || error.unanswered {
            self.shared.slowness.grows();
        }
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::with_lease(self.lease)
    }

    fn terms(&self) -> Terms {
        Terms {
            turn: Turn::Worker,
            answer: self.patience().answer(),
            limits: self.pool.leases().patience().limits(),
            deferred: Deferred::AtCommit,
        }
    }

    pub(super) fn claim<'a>(&'a self, wanted: &'a Wanted) -> Claim<'a> {
        let only = wanted.only.as_ref();
        Claim {
            limit: wanted.limit,
            worker_id: &self.id,
            lease_ms: self.lease_ms(),
            token: wanted.token,
            types: only.or(self.job_types.as_ref()).map(Vec::as_slice),
            proving: !self.shared.proven.load(Ordering::Relaxed),
        }
    }

    async fn look(
        &self,
        outcomes: Vec<Outcome>,
        wanted: &Wanted,
        look: &Look,
    ) -> Result<Exchanged> {
        let claim = self.claim(wanted);
        let ways = self.ways();
        let statement = claim::statement(&self.schema, outcomes, ways, &claim, look);
        let asked = Instant::now();
        let terms = self.brief(Turn::Worker, self.patience().exchange(self.time));
        let rows = self.pool.fetch_for_worker(terms, &statement).await?;
        self.shared.slowness.answered(asked.elapsed(), terms.answer);
        if claim.proving && wanted.limit > 0 {
            self.shared.proven.store(true, Ordering::Relaxed);
        }
        let (mut exchanged, seen) = read_exchanged(&rows).map_err(unreadable)?;
        exchanged.claim_sent = Some(asked);
        let full = exchanged.found() >= wanted.limit;
        if seen.passed_over.is_some() {
            // The next claim finds out which job is at fault.
            self.shared.aside.be_careful(asked);
            exchanged.unfinished = true;
        }
        if seen.more && !full {
            let types = claim.types.unwrap_or_default();
            let looked = self.look_at_each_type(wanted, types, &mut exchanged).await;
            if let Err(error) = looked {
                if exchanged.found() == 0 && exchanged.settled.is_empty() {
                    return Err(error);
                }
                // What was claimed and settled until now must not be lost. The next claim finds out whether a job is at
                // fault.
                if error.suspects_rows() {
                    self.shared.aside.be_careful(asked);
                }
                exchanged.claim_failed = Some(error);
            }
        }
        if wanted.limit > 0 {
            let now = Instant::now();
            let took = now - asked;
            self.cursor.looked(look, &Seen { took, full, ..seen }, now);
        }
        Ok(exchanged)
    }

    /// Claims the rest of `wanted` type by type: others have locked so many jobs of one type that the merged look did
    /// not get past them.
    async fn look_at_each_type(
        &self,
        wanted: &Wanted,
        types: &[String],
        exchanged: &mut Exchanged,
    ) -> Result<()> {
        for job_type in types {
            let left = Wanted {
                limit: wanted.limit - exchanged.found(),
                only: Some(vec![job_type.clone()]),
                ..*wanted
            };
            if left.limit == 0 {
                break;
            }
            let look = Look::from_beginning();
            let claim = self.claim(&left);
            let statement = claim::statement(&self.schema, Vec::new(), self.ways(), &claim, &look);
            let rows = self.fetch(statement).await?;
            let (more, _) = read_exchanged(&rows).map_err(unreadable)?;
            exchanged.claimed.extend(more.claimed);
            exchanged.exhausted.extend(more.exhausted);
        }
        Ok(())
    }

    async fn extend_on(&self, terms: Terms, runs: &[Run]) -> Result<Vec<Extended>> {
        let statement = extend::leases(&self.schema, runs, self.lease_ms());
        let rows = self.pool.fetch_for_worker(terms, &statement).await?;
        let runs: std::result::Result<_, _> = rows.iter().map(read_extended).collect();
        runs.map_err(unreadable)
    }

    /// Answers [`SettledEach::Refused`] if Postgres refuses these outcomes, and would not refuse none of them.
    async fn settle_once(&self, outcomes: &[Outcome], refusals: u32) -> Result<SettledEach> {
        let settle = |outcomes: Vec<Outcome>| async move {
            let statement = settle::each(&self.schema, outcomes, self.ways());
            let limit = self.patience().settles_again(refusals, self.time);
            self.probe_within(limit, &statement).await
        };
        let rows = match settle(outcomes.to_vec()).await {
            Ok(rows) => rows,
            Err(error) if error.suspects_rows() => {
                // If it fails without any outcome too, the statement itself is at fault.
                let without_rows = settle(Vec::new()).await;
                without_rows.inspect_err(|error| self.failed_without_rows(error))?;
                return Ok(SettledEach::Refused(error));
            }
            Err(error) => return Err(error),
        };
        let mut fates = read_fates(&rows).map_err(unreadable)?;
        for (run, fate) in &mut fates {
            let outcome = outcomes.iter().find(|outcome| outcome.run == *run);
            if let (Fate::Refused(error), Some(outcome)) = (&*fate, outcome) {
                // The others are written: this one is tried again, after any error.
                let settled = self.settle_refused(outcome, error.clone()).await;
                *fate = settled.unwrap_or(Fate::Locked);
            }
        }
        Ok(SettledEach::Fates(fates))
    }

    pub(super) fn ways(&self) -> Ways {
        Ways {
            removes: self.remove_on_complete,
            pends: true,
            buries: true,
        }
    }

    pub(super) fn lease_ms(&self) -> i64 {
        self.lease.as_millis().try_into().unwrap_or(i64::MAX)
    }
}

impl Store for Worker {
    async fn exchange(&self, outcomes: Vec<Outcome>, wanted: Wanted) -> Result<Exchanged> {
        let hands_back =
            (outcomes.iter()).any(|outcome| matches!(outcome.end, End::Released { .. }));
        let now = Instant::now();
        let mut look = match wanted.limit {
            0 => Look::from_beginning(),
            _ => self.cursor.look(self.claim(&wanted).types, now),
        };
        look.tries_locks |= self.thorough;
        let settles = !outcomes.is_empty();
        let careful = wanted.limit > 0 && self.shared.aside.is_careful(now);
        let fast = if careful {
            Wanted {
                limit: 0,
                ..wanted.clone()
            }
        } else {
            wanted.clone()
        };
        let exchanged = if careful && !settles {
            Ok(Exchanged::default())
        } else {
            self.look(outcomes, &fast, &look).await
        };
        let exchanged = match exchanged {
            // It had nothing to settle: one of the due jobs is at fault.
            Err(error) if !settles && wanted.limit > 0 && error.suspects_rows() => {
                // If it fails without any row too, the statement itself is at fault.
                let nothing = Wanted {
                    limit: 0,
                    ..wanted.clone()
                };
                let without_rows = self.look(Vec::new(), &nothing, &look).await;
                without_rows.inspect_err(|error| self.failed_without_rows(error))?;
                self.shared.aside.be_careful(now);
                return self.claim_carefully(&wanted, look.below).await;
            }
            Err(error) => {
                if error.unanswered && wanted.limit > 0 {
                    self.shared.aside.doubt(Instant::now());
                }
                return Err(error);
            }
            Ok(exchanged) => exchanged,
        };
        if hands_back {
            // A statement does not see its own writes.
            self.cursor.go_back();
        }
        let nothing = wanted.limit > 0 && exchanged.found() == 0 && !exchanged.unfinished;
        let claimed = if careful {
            self.claim_carefully(&wanted, look.below).await
        } else if nothing && self.thorough && !look.is_thorough() {
            let look = Look::from_beginning();
            self.look(Vec::new(), &wanted, &look).await
        } else {
            return Ok(exchanged);
        };
        let settled = exchanged.settled;
        Ok(match claimed {
            Ok(claimed) => Exchanged { settled, ..claimed },
            // What was settled must not be taken for lost.
            Err(error) => Exchanged {
                settled,
                claim_failed: Some(error),
                ..Exchanged::default()
            },
        })
    }

    async fn settle_each(&self, outcomes: Vec<Outcome>, refusals: u32) -> Result<SettledEach> {
        let mut settled = self.settle_once(&outcomes, refusals).await?;
        let [outcome] = &outcomes[..] else {
            return Ok(settled);
        };
        if let SettledEach::Refused(error) = &settled
            && refusals == 0
            && error.may_pass()
            && !error.was_held_up()
        {
            // It may have been the server's state, which has passed since: a job is blamed for a second refusal.
            settled = self.settle_once(&outcomes, refusals).await?;
        }
        let SettledEach::Refused(error) = settled else {
            return Ok(settled);
        };
        if refusals == 0 && error.was_held_up() {
            // Another way may be as slow, and others wait: that is tried the next time.
            return Ok(SettledEach::Refused(error));
        }
        let fate = self.settle_refused(outcome, error).await?;
        Ok(SettledEach::Fates(vec![(outcome.run, fate)]))
    }

    async fn begin(&self, runs: Vec<Run>) -> Result<Counted> {
        let begin_on = |terms: Terms, runs: Vec<Run>| async move {
            let statement = begin::runs(&self.schema, &runs, self.lease_ms());
            let rows = self.pool.fetch_for_worker(terms, &statement).await?;
            begin::read(&rows).map_err(unreadable)
        };
        let brief = self.brief(Turn::Lease, self.patience().exchange(self.time));
        // If it were committed after the lease, its writes would be taken for a lost worker's.
        let terms = brief.within(self.lease / 2);
        let mut counted = match begin_on(terms, runs.clone()).await {
            Ok(counted) => counted,
            Err(error) if !error.may_blame_rows() => return Err(error),
            Err(_) => {
                let ids = runs.iter().map(|run| run.id).collect();
                let limit = self.shared.slowness.scaled(self.patience().probe());
                let careful = Terms {
                    answer: self.patience().answer(),
                    ..terms.within(limit).careful()
                };
                let by_id = |ids: Vec<i64>| begin_on(careful, named(&runs, &ids));
                let parts = each(ids, by_id).await;
                let (parts, refused) =
                    parts.inspect_err(|error| self.failed_without_rows(error))?;
                let mut counted = Counted {
                    refused,
                    ..Counted::default()
                };
                for part in parts {
                    counted.runs.extend(part.runs);
                    counted.refused.extend(part.refused);
                }
                counted
            }
        };
        // They are handed back, and would be claimed at once.
        let now = Instant::now();
        let ids = counted.refused.iter().map(|refusal| refusal.id);
        counted.refused_before = ids
            .filter(|id| self.shared.aside.put(*id, now) > 1)
            .collect();
        Ok(counted)
    }

    async fn claimed_by(&self, tokens: Vec<i64>) -> Result<Vec<Run>> {
        let rows = self.fetch(begin::claimed_by(&self.schema, &tokens)).await?;
        read_runs(&rows).map_err(unreadable)
    }

    async fn recover(&self) -> Result<Recovered> {
        let began = Instant::now();
        let needs_care = Recovered {
            needs_care: true,
            ..Recovered::default()
        };
        if self.shared.lost_aside.is_careful(began) {
            return Ok(needs_care);
        }
        let from = if self.thorough {
            0
        } else {
            self.shared.lease_cursor.look(began)
        };
        let statement = recover::jobs(&self.schema, from);
        let brief = self.brief(Turn::Worker, self.patience().exchange(self.time));
        let rows = match self.pool.fetch_for_worker(brief, &statement).await {
            Ok(rows) => rows,
            Err(error) if error.may_blame_rows() => return Ok(needs_care),
            Err(error) => return Err(error),
        };
        let answer = recover::read(&rows).map_err(unreadable)?;
        let now = Instant::now();
        let took = now - began;
        self.shared
            .lease_cursor
            .looked(from, answer.looked_at, took, now);
        Ok(Recovered {
            needs_care: !answer.passed_over.is_empty(),
            ..answer.recovered
        })
    }

    async fn recover_each(&self) -> Result<Recovered> {
        self.recover_carefully().await
    }

    async fn extend(&self, runs: Vec<Run>) -> Result<Vec<Extended>> {
        let brief = self.brief(Turn::Lease, self.patience().brief());
        match self.extend_on(brief, &runs).await {
            Err(error) if error.may_blame_rows() => {}
            extended => return extended,
        }
        // Jobs whose extension is refused keep their present leases; the others should not lose theirs.
        let ids = runs.iter().map(|run| run.id).collect();
        let careful = Terms {
            answer: self.patience().answer(),
            ..brief.within(self.patience().short_probe()).careful()
        };
        let by_id = |ids: Vec<i64>| {
            let named = named(&runs, &ids);
            async move { self.extend_on(careful, &named).await }
        };
        let (extended, refused) = match each(ids, by_id).await {
            Ok(done) => done,
            // If it fails without any row, the server is at fault: it may be slow.
            Err(error) if error.was_held_up() || error.unanswered => {
                self.shared.slowness.grows();
                let last = self.patience().last();
                let terms = Terms {
                    turn: Turn::Lease,
                    ..self.terms().within(last)
                };
                return self.extend_on(terms, &runs).await;
            }
            Err(error) => return Err(error),
        };
        let refused = refused.into_iter().flat_map(|Refusal { id, error }| {
            named(&runs, &[id]).into_iter().map(move |run| Extended {
                run,
                locked: false,
                refused: Some(error.clone()),
                cancel_requested: false,
            })
        });
        Ok(extended.into_iter().flatten().chain(refused).collect())
    }

    async fn settled_by_handler(&self, runs: Vec<Run>) -> Result<Vec<(Run, Settled)>> {
        let statement = complete::settled_by_handler(&self.schema, &runs);
        let rows = self.fetch(statement).await?;
        let read = |row: &PgRow| {
            let settled = match row.try_get::<&str, _>("fate")? {
                "committed" => Settled::Committed,
                "rolled back" => Settled::RolledBack,
                "open" => Settled::Open,
                _ => Settled::Lost,
            };
            Ok((read_run(row)?, settled))
        };
        rows.iter()
            .map(read)
            .collect::<std::result::Result<_, _>>()
            .map_err(unreadable)
    }

    async fn cancel_requested(&self, runs: Vec<Run>) -> Result<Vec<Run>> {
        let statement = cancel::requested(&self.schema, &runs);
        let rows = self.fetch(statement).await?;
        read_runs(&rows).map_err(unreadable)
    }
}

/// The `runs` whose jobs have these ids.
fn named(runs: &[Run], ids: &[i64]) -> Vec<Run> {
    let named = runs.iter().filter(|run| ids.contains(&run.id));
    named.copied().collect()
}
