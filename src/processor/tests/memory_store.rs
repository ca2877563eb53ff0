//! The job table in memory, with the same rules as the SQL of `store`, on the clock that tests move.
//! `store::tests::agreement` shows on a server that the rules are the same.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::error::{Code, Error, Result};
use crate::job::{ClaimedJob, End, ExhaustedJob, Outcome, Refusal, Run};
use crate::processor::{
    Counted, Exchanged, Extended, Fate, Recovered, Settled, SettledEach, Store, Wanted,
};

pub const LEASE: Duration = Duration::from_secs(30);
/// How long a job whose lease has ended while it was locked is left alone.
const SPARED: Duration = Duration::from_secs(3);
/// How long a round trip takes.
pub const ROUND_TRIP: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    Pending,
    Processing { lease_until: Instant },
    Completed,
    Failed { entry: String },
    Cancelled,
}

#[derive(Debug, Clone)]
pub struct Row {
    pub job_type: &'static str,
    pub status: Status,
    pub run_no: i64,
    pub attempts: i32,
    pub max_attempts: i32,
    pub priority: i32,
    pub run_at: Instant,
    /// When a failed job is tried again, or since when a retried one is due.
    pub next_attempt_at: Option<Instant>,
    pub locked_at: Option<Instant>,
    pub timeout: Option<Duration>,
    pub cancel_requested: bool,
    /// The token of the claim that holds it; 0 is none.
    pub token: i64,
    /// The attempt is not counted yet.
    pub uncounted: bool,
    /// A transaction holds it.
    pub locked: bool,
    /// A transaction held it since its lease was last extended.
    pub was_locked: bool,
    /// A transaction held it at some time.
    pub has_been_locked: bool,
    /// Every change of it is refused.
    pub refuses: bool,
    /// The commit of a write of it takes longer than any client waits.
    pub stalls: bool,
    /// When it has failed for good, a job of the type [`LETTER`] is added.
    pub dead_letter: bool,
    /// It has refused a change at some time.
    pub has_refused: bool,
    /// How often it has failed for good without a dead letter, which was given up.
    pub unburied: usize,
    pub key: Option<i64>,
    pub hold: Hold,
    pub has_snoozed: bool,
}

/// How long a job holds its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    Unsettled,
    Queued,
    Released,
}

/// The type of dead letters.
pub const LETTER: &str = "letter";

impl Row {
    pub fn new(max_attempts: i32) -> Self {
        Self {
            job_type: "job",
            status: Status::Pending,
            run_no: 0,
            attempts: 0,
            max_attempts,
            priority: 0,
            run_at: Instant::now(),
            next_attempt_at: None,
            locked_at: None,
            timeout: None,
            cancel_requested: false,
            token: 0,
            uncounted: false,
            locked: false,
            was_locked: false,
            has_been_locked: false,
            refuses: false,
            stalls: false,
            dead_letter: false,
            has_refused: false,
            unburied: 0,
            key: None,
            hold: Hold::Unsettled,
            has_snoozed: false,
        }
    }

    /// Whether it holds the key of another.
    pub fn rivals(&self, other: &Self) -> bool {
        self.holds_key() && self.key == other.key && self.job_type == other.job_type
    }

    pub fn holds_key(&self) -> bool {
        self.key.is_some()
            && match self.hold {
                Hold::Unsettled => self.is_processing() || self.ready_at().is_some(),
                Hold::Queued => {
                    self.status == Status::Pending && self.attempts == 0 && !self.has_snoozed
                }
                Hold::Released => false,
            }
    }

    /// From when it may be claimed, if ever.
    pub fn ready_at(&self) -> Option<Instant> {
        match self.status {
            Status::Pending => Some(
                self.next_attempt_at
                    .map_or(self.run_at, |at| at.max(self.run_at)),
            ),
            Status::Failed { .. } => self
                .next_attempt_at
                .filter(|_| self.attempts < self.max_attempts),
            Status::Processing { .. } | Status::Completed | Status::Cancelled => None,
        }
    }

    pub fn lock(&mut self, locked: bool) {
        self.was_locked |= self.locked && !locked;
        self.has_been_locked |= locked;
        self.locked = locked;
    }

    fn lease(&mut self, lease_until: Instant) {
        self.status = Status::Processing { lease_until };
        self.was_locked = false;
    }

    pub fn is_processing(&self) -> bool {
        matches!(self.status, Status::Processing { .. })
    }

    fn is_owned_by(&self, run: Run) -> bool {
        self.is_processing() && self.run_no == run.run_no
    }

    fn is_due(&self, now: Instant) -> bool {
        self.ready_at().is_some_and(|at| at <= now) && !self.locked
    }

    /// Whether its worker is lost, and no recovery is about to find it.
    fn is_lost(&self, now: Instant) -> bool {
        self.has_ended(now) && !self.locked && !self.refuses
    }

    /// Whether its lease has ended.
    fn has_ended(&self, now: Instant) -> bool {
        matches!(self.status, Status::Processing { lease_until } if lease_until <= now)
    }

    /// Brings it back after its worker was lost.
    fn put_back(&mut self, due: Option<Instant>) {
        self.run_no += 1;
        self.locked_at = None;
        self.token = 0;
        self.uncounted = false;
        self.next_attempt_at = None;
        if self.hold == Hold::Queued {
            self.hold = Hold::Released;
        }
        self.status = match () {
            () if self.cancel_requested => Status::Cancelled,
            () if self.attempts < self.max_attempts || self.dead_letter => {
                self.next_attempt_at = due;
                Status::Pending
            }
            () => Status::Failed {
                entry: "lost".into(),
            },
        };
    }

    /// Whether it has failed and is not tried again.
    pub fn has_failed_for_good(&self) -> bool {
        matches!(self.status, Status::Failed { .. }) && self.ready_at().is_none()
    }

    fn settle(&mut self, end: &End, now: Instant) {
        let attempts = self.attempts;
        let has_more = attempts < self.max_attempts;
        self.next_attempt_at = None;
        self.token = 0;
        let uncounted = std::mem::take(&mut self.uncounted);
        match end {
            End::Released { .. } | End::Snoozed { .. } if !uncounted => {
                self.attempts = (attempts - 1).max(0);
            }
            End::Refused { .. } => self.attempts = attempts.max(self.max_attempts),
            _ => {}
        }
        self.has_snoozed |= matches!(end, End::Snoozed { .. });
        if self.cancel_requested && *end != End::Completed {
            self.status = Status::Cancelled;
            return;
        }
        self.next_attempt_at = match end {
            End::Released { behind: true, .. } => Some(now),
            End::Snoozed { until } => {
                let until = delay(Some(until), attempts).map(|delay| delay.max(SECOND));
                until.map(|delay| now + delay)
            }
            End::Unfinished { .. } if has_more => Some(now),
            End::Failed { retry, .. } if has_more => {
                delay(retry.as_deref(), attempts).map(|delay| now + delay)
            }
            _ => None,
        };
        self.status = match end {
            End::Completed => Status::Completed,
            End::Cancelled => Status::Cancelled,
            End::Released { .. } | End::Snoozed { .. } => Status::Pending,
            End::Unfinished { .. } if has_more => Status::Pending,
            End::Failed { entry, .. } | End::Unfinished { entry } | End::Refused { entry } => {
                Status::Failed {
                    entry: entry.clone(),
                }
            }
        };
    }

    /// Whether an outcome that was sent before has been written.
    fn has(&self, outcome: &Outcome) -> bool {
        let has_more = self.attempts < self.max_attempts;
        self.run_no == outcome.run.run_no
            && match (&outcome.end, &self.status) {
                (End::Completed, status) => *status == Status::Completed,
                (_, Status::Cancelled) => true,
                (End::Released { .. } | End::Snoozed { .. }, status) => *status == Status::Pending,
                (End::Unfinished { .. }, Status::Pending) => has_more,
                (
                    End::Failed { .. } | End::Refused { .. } | End::Unfinished { .. },
                    Status::Failed { .. },
                ) => true,
                _ => false,
            }
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// How long after a failed attempt the next one is due, if there is one.
fn delay(retry: Option<&str>, attempts: i32) -> Option<Duration> {
    let Some(retry) = retry else {
        let minutes = 2_u64.pow(attempts.min(30).unsigned_abs());
        return Some(Duration::from_secs(60 * minutes));
    };
    let said: serde_json::Value = serde_json::from_str(retry).unwrap();
    let number = |name: &str| said[name].as_u64();
    if !said["never"].is_null() {
        return None;
    }
    let ms = number("after").or_else(|| {
        let grown = number("factor")?.saturating_pow(attempts.unsigned_abs().saturating_sub(1));
        Some(number("maxDelay")?.min(number("delay")?.saturating_mul(grown)))
    });
    ms.map(Duration::from_millis)
}

impl Wanted {
    fn includes(&self, job_type: &str) -> bool {
        let mut only = self.only.iter().flatten();
        self.only.is_none() || only.any(|only| only == job_type)
    }
}

/// Postgres's error if a constraint refuses a row.
pub fn refused() -> Error {
    let mut error = Error::new(Code::DatabaseError, "refused");
    error.sql_state = Some("23514".into());
    error
}

/// Postgres's error if another job holds a key.
fn duplicate() -> Error {
    let mut error = Error::new(Code::DuplicateJob, "duplicate");
    error.sql_state = Some("23505".into());
    error
}

/// Another job that holds the key of this one.
fn rival(rows: &BTreeMap<i64, Row>, id: i64) -> Option<i64> {
    let row = &rows[&id];
    let rival = rows
        .iter()
        .find(|&(&other, rival)| other != id && rival.rivals(row));
    rival.map(|(&other, _)| other)
}

/// Postgres's error if a trigger outlasts its limit.
pub fn held_up() -> Error {
    let mut error = Error::new(Code::DatabaseError, "slow");
    error.sql_state = Some("57014".into());
    error
}

/// The store's error if Postgres does not answer.
fn unanswered() -> Error {
    let mut error = Error::new(Code::ConnectionFailed, "no answer");
    error.unanswered = true;
    error
}

#[derive(Default)]
pub struct MemoryStore {
    rows: Arc<Mutex<BTreeMap<i64, Row>>>,
    /// The error of the next round trips, while there is an outage.
    outage: Mutex<Option<Error>>,
    /// How many of the next exchanges are done and not answered, how late they are done, and the error that their
    /// client gets.
    lost: Mutex<Option<(usize, Duration, Error)>>,
    pub recovery_fails: Mutex<Option<Error>>,
    /// How long an exchange takes that claims.
    pub claim_takes: Mutex<Duration>,
    /// How long a recovery takes that finds out which jobs refuse.
    pub recovery_takes: Mutex<Duration>,
    /// The jobs that could not be brought back, and were reported.
    told: Mutex<HashSet<i64>>,
    under_way: AtomicUsize,
    /// The most exchanges that were under way at a time.
    pub at_once: AtomicUsize,
    claims_under_way: AtomicUsize,
    /// The most claiming exchanges that were under way at a time.
    pub claims_at_once: AtomicUsize,
    /// A line for each round trip that reached the table.
    pub trips: Mutex<Vec<String>>,
}

impl MemoryStore {
    pub fn with_jobs(count: i64) -> Self {
        let store = Self::default();
        for id in 1..=count {
            store.add(id, 3);
        }
        store
    }

    pub fn add(&self, id: i64, max_attempts: i32) {
        self.insert(id, Row::new(max_attempts));
    }

    pub fn insert(&self, id: i64, row: Row) {
        self.rows.lock().unwrap().insert(id, row);
    }

    pub fn row(&self, id: i64) -> Row {
        self.rows.lock().unwrap()[&id].clone()
    }

    pub fn rows(&self) -> BTreeMap<i64, Row> {
        self.rows.lock().unwrap().clone()
    }

    pub fn change(&self, id: i64, change: impl FnOnce(&mut Row)) {
        change(self.rows.lock().unwrap().get_mut(&id).unwrap());
    }

    pub fn count(&self, status: &Status) -> usize {
        let rows = self.rows.lock().unwrap();
        rows.values().filter(|row| row.status == *status).count()
    }

    pub fn fail_with(&self, error: Option<Error>) {
        *self.outage.lock().unwrap() = error;
    }

    /// The next exchanges are done, and their answers do not come.
    pub fn lose_answers(&self, count: usize, error: Error) {
        *self.lost.lock().unwrap() = Some((count, Duration::ZERO, error));
    }

    /// The next exchange is done only after its client has left.
    pub fn answer_late(&self, after: Duration, error: Error) {
        *self.lost.lock().unwrap() = Some((1, after, error));
    }

    fn lose_answer(&self) -> Option<(Duration, Error)> {
        let mut lost = self.lost.lock().unwrap();
        let (count, late, error) = lost.take()?;
        if count > 1 {
            *lost = Some((count - 1, late, error.clone()));
        }
        Some((late, error))
    }

    pub fn trips(&self) -> Vec<String> {
        self.trips.lock().unwrap().clone()
    }

    async fn travel(&self) -> Result<()> {
        sleep(ROUND_TRIP / 2).await;
        match &*self.outage.lock().unwrap() {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// The effect of an exchange that reaches the table.
    pub fn settle_and_claim(&self, outcomes: &[Outcome], wanted: &Wanted) -> Result<Exchanged> {
        self.settle_in_a_way(outcomes, wanted, false)
    }

    /// `each`: a job that cannot take its key again comes back without it.
    fn settle_in_a_way(
        &self,
        outcomes: &[Outcome],
        wanted: &Wanted,
        each: bool,
    ) -> Result<Exchanged> {
        // Postgres's error for text that the database's encoding lacks.
        let unstorable = |outcome: &Outcome| matches!(&outcome.end, End::Failed { entry, .. } if !entry.is_ascii());
        if outcomes.iter().any(unstorable) {
            let mut error = Error::new(Code::DatabaseError, "unstorable");
            error.sql_state = Some("22P05".into());
            return Err(error);
        }
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        let owned = |outcome: &&Outcome| {
            (rows.get(&outcome.run.id))
                .is_some_and(|row| row.is_owned_by(outcome.run) && !row.locked)
        };
        let refuses = |outcome: &Outcome| rows[&outcome.run.id].refuses;
        if outcomes.iter().filter(owned).any(refuses) {
            return Err(refused());
        }
        // A statement sees the table as it was before it, and claims nothing that it settles.
        let settles = |id, row: &Row| {
            outcomes
                .iter()
                .any(|outcome| outcome.run.id == id && row.is_owned_by(outcome.run))
        };
        let mut due: Vec<_> = rows
            .iter()
            .filter(|&(&id, row)| row.is_due(now) && !row.refuses && !settles(id, row))
            .filter(|(_, row)| wanted.includes(row.job_type))
            .map(|(&id, row)| (Reverse(row.priority), row.ready_at(), id))
            .collect();
        due.sort();
        due.truncate(wanted.limit);

        // The statement is done as a whole, or not.
        let before = rows.clone();
        let mut exchanged = Exchanged::default();
        let sent_before = outcomes.iter().any(|outcome| outcome.sent_before);
        let mut letters = Vec::new();
        for outcome in outcomes {
            let Some(row) = rows.get_mut(&outcome.run.id) else {
                continue;
            };
            if row.is_owned_by(outcome.run) && !row.locked {
                row.settle(&outcome.end, now);
                let puts_back = row.hold == Hold::Queued && row.ready_at().is_some();
                if puts_back && each && rival(&before, outcome.run.id).is_some() {
                    row.hold = Hold::Released;
                }
                let takes_key = row.hold == Hold::Queued && row.holds_key();
                if row.dead_letter && row.has_failed_for_good() {
                    if outcome.may_bury() {
                        letters.push(Row {
                            job_type: LETTER,
                            priority: row.priority,
                            ..Row::new(3)
                        });
                    } else {
                        assert!(row.has_refused, "only then it is given up: {outcome:?}");
                        row.unburied += 1;
                    }
                }
                exchanged.settled.push(outcome.run);
                if takes_key && rival(&rows, outcome.run.id).is_some() {
                    *rows = before;
                    return Err(duplicate());
                }
            } else if sent_before && row.has(outcome) {
                exchanged.settled.push(outcome.run);
            }
        }
        for letter in letters {
            let next = rows.last_key_value().map_or(1, |(id, _)| id + 1);
            rows.insert(next, letter);
        }
        for (_, _, id) in due {
            let Some(row) = rows.get_mut(&id) else {
                continue;
            };
            row.run_no += 1;
            row.next_attempt_at = None;
            row.cancel_requested = false;
            if row.attempts >= row.max_attempts && !row.dead_letter {
                row.status = Status::Failed {
                    entry: "no attempts".into(),
                };
                exchanged.exhausted.push(ExhaustedJob {
                    id,
                    job_type: row.job_type.into(),
                });
                continue;
            }
            let attempt = row.attempts + 1;
            row.uncounted = attempt >= row.max_attempts;
            row.attempts += i32::from(!row.uncounted);
            row.token = wanted.token;
            row.locked_at = Some(now);
            row.lease(now + LEASE);
            exchanged.claimed.push(ClaimedJob {
                run: Run {
                    id,
                    run_no: row.run_no,
                },
                job_type: row.job_type.into(),
                payload: "null".into(),
                attempts: attempt,
                uncounted: row.uncounted,
                has_dead_letter: row.dead_letter,
                max_attempts: row.max_attempts,
                priority: row.priority,
                run_at: None,
                timeout_ms: row.timeout.and_then(|it| it.as_millis().try_into().ok()),
            });
        }
        Ok(exchanged)
    }

    /// The effect of settling one by one that reaches the table.
    pub fn settle_one_by_one(&self, outcomes: &[Outcome]) -> Result<SettledEach> {
        let mut fates = Vec::new();
        for outcome in outcomes {
            let rows = self.rows();
            let row = rows.get(&outcome.run.id);
            let owned = row.filter(|row| row.is_owned_by(outcome.run));
            let fate = match owned {
                Some(row) if row.locked => Fate::Locked,
                Some(row) if row.refuses => {
                    return Ok(SettledEach::Refused(refused()));
                }
                Some(row) if row.stalls => return Ok(SettledEach::Refused(held_up())),
                Some(_) => Fate::Written,
                None if outcome.sent_before && row.is_some_and(|row| row.has(outcome)) => {
                    Fate::Written
                }
                None => Fate::Lost,
            };
            fates.push((outcome.run, fate));
        }
        let all_none = Wanted {
            limit: 0,
            token: 0,
            only: None,
        };
        match self.settle_in_a_way(outcomes, &all_none, true) {
            Ok(_) => Ok(SettledEach::Fates(fates)),
            Err(error) if error.suspects_rows() => Ok(SettledEach::Refused(error)),
            Err(error) => Err(error),
        }
    }

    /// Counts the attempts of runs.
    pub fn count_attempts(&self, runs: &[Run]) -> Counted {
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        let mut told = self.told.lock().unwrap();
        let mut counted = Counted::default();
        for &run in runs {
            let row = rows.get_mut(&run.id);
            let Some(row) = row.filter(|row| row.is_owned_by(run) && !row.locked) else {
                continue;
            };
            if row.refuses {
                let error = refused();
                if !told.insert(run.id) {
                    counted.refused_before.push(run.id);
                }
                counted.refused.push(Refusal { id: run.id, error });
                continue;
            }
            row.attempts += i32::from(std::mem::take(&mut row.uncounted));
            row.lease(now + LEASE);
            counted.runs.push(run);
        }
        counted
    }

    /// The runs that claims with these tokens hold.
    pub fn held_by(&self, tokens: &[i64]) -> Vec<Run> {
        let rows = self.rows.lock().unwrap();
        let held =
            (rows.iter()).filter(|(_, row)| row.is_processing() && tokens.contains(&row.token));
        held.map(|(&id, row)| Run {
            id,
            run_no: row.run_no,
        })
        .collect()
    }

    /// The effect of an extension that reaches the table.
    pub fn extend_leases(&self, runs: &[Run]) -> Vec<Extended> {
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        let extends = |&run: &Run| {
            let row = rows.get_mut(&run.id).filter(|row| row.is_owned_by(run))?;
            if !row.locked && !row.refuses {
                row.lease(now + LEASE);
            }
            Some(Extended {
                run,
                locked: row.locked,
                refused: row.refuses.then(refused),
                cancel_requested: row.cancel_requested,
            })
        };
        runs.iter().filter_map(extends).collect()
    }

    /// `cancelJob`.
    pub fn cancel(&self, id: i64) -> Option<&'static str> {
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        let row = rows.get_mut(&id)?;
        match row.status {
            Status::Processing { lease_until } => {
                row.cancel_requested = true;
                if lease_until > now {
                    return Some("requested");
                }
            }
            Status::Pending => row.cancel_requested = false,
            Status::Failed { .. } if row.next_attempt_at.is_some() => {
                row.cancel_requested = false;
            }
            _ => return None,
        }
        row.status = Status::Cancelled;
        Some("cancelled")
    }

    /// `retryJob`.
    pub fn retry(&self, id: i64) -> Option<String> {
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        let rival = rival(&rows, id);
        let row = rows.get_mut(&id)?;
        let takes_key = match row.hold {
            Hold::Unsettled => true,
            Hold::Queued => row.attempts == 0 && !row.has_snoozed,
            Hold::Released => false,
        };
        if let Some(rival) = rival.filter(|_| takes_key) {
            return Some(format!("duplicate of {rival}"));
        }
        if matches!(row.status, Status::Processing { lease_until } if lease_until > now) {
            return Some("running".into());
        }
        row.status = Status::Pending;
        row.run_no += 1;
        row.token = 0;
        row.uncounted = false;
        row.max_attempts = row.max_attempts.max(row.attempts + 1);
        row.run_at = row.run_at.min(now);
        row.next_attempt_at = Some(now);
        row.locked_at = None;
        row.cancel_requested = false;
        Some("retried".into())
    }

    /// `reclaimStuckJobs`.
    pub fn reclaim(&self, older_than: Duration) -> usize {
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        let mut reclaimed = 0;
        for row in rows.values_mut() {
            if row.is_lost(now) && row.locked_at.is_some_and(|at| now - at > older_than) {
                row.put_back(None);
                reclaimed += 1;
            }
        }
        reclaimed
    }

    /// The effect of a recovery that reaches the table: none, if one of the jobs refuses.
    pub fn recover_all(&self) -> Recovered {
        let now = Instant::now();
        let refuses = |row: &Row| row.refuses && row.has_ended(now);
        if self.rows.lock().unwrap().values().any(refuses) {
            return Recovered {
                needs_care: true,
                ..Recovered::default()
            };
        }
        self.recover_lost()
    }

    /// The effect of a recovery that finds out which jobs refuse.
    pub fn recover_lost(&self) -> Recovered {
        let now = Instant::now();
        let mut rows = self.rows.lock().unwrap();
        let mut recovered = Recovered::default();
        let mut told = self.told.lock().unwrap();
        let refused = rows
            .iter()
            .filter(|&(&id, row)| row.refuses && row.has_ended(now) && told.insert(id));
        recovered.refused = refused
            .map(|(&id, _)| Refusal {
                id,
                error: self::refused(),
            })
            .collect();
        for (&id, row) in rows.iter_mut().filter(|(_, row)| row.is_lost(now)) {
            if row.was_locked {
                row.lease(now + SPARED);
                recovered.spared += 1;
                continue;
            }
            row.put_back(Some(now));
            match row.status {
                Status::Pending => recovered.pending += 1,
                Status::Failed { .. } => recovered.exhausted.push(ExhaustedJob {
                    id,
                    job_type: row.job_type.into(),
                }),
                _ => {}
            }
        }
        recovered
    }

    fn note(&self, trip: String) {
        self.trips.lock().unwrap().push(trip);
    }

    async fn exchange_alone(&self, outcomes: Vec<Outcome>, wanted: Wanted) -> Result<Exchanged> {
        self.travel().await?;
        self.note(format!("settle {} claim {}", outcomes.len(), wanted.limit));
        if let Some((late, error)) = self.lose_answer() {
            let same_table = Self {
                rows: self.rows.clone(),
                ..Self::default()
            };
            let server = async move {
                sleep(late).await;
                let _ = same_table.settle_and_claim(&outcomes, &wanted);
            };
            if late.is_zero() {
                server.await;
            } else {
                tokio::spawn(server);
            }
            return Err(error);
        }
        let stalls = |outcome: &Outcome| self.rows()[&outcome.run.id].stalls;
        if outcomes.iter().any(stalls) {
            sleep(LEASE / 2).await;
            return Err(unanswered());
        }
        let exchanged = self.settle_and_claim(&outcomes, &wanted)?;
        if wanted.limit > 0 {
            let takes = *self.claim_takes.lock().unwrap();
            sleep(takes).await;
        }
        sleep(ROUND_TRIP / 2).await;
        Ok(exchanged)
    }
}

impl Store for MemoryStore {
    async fn exchange(&self, outcomes: Vec<Outcome>, wanted: Wanted) -> Result<Exchanged> {
        let claims = usize::from(wanted.limit > 0);
        let under_way = self.under_way.fetch_add(1, Relaxed) + 1;
        let claims_under_way = self.claims_under_way.fetch_add(claims, Relaxed) + claims;
        self.at_once.fetch_max(under_way, Relaxed);
        self.claims_at_once.fetch_max(claims_under_way, Relaxed);
        let exchanged = self.exchange_alone(outcomes, wanted).await;
        self.under_way.fetch_sub(1, Relaxed);
        self.claims_under_way.fetch_sub(claims, Relaxed);
        exchanged
    }

    async fn settle_each(&self, outcomes: Vec<Outcome>, _refusals: u32) -> Result<SettledEach> {
        self.travel().await?;
        self.note(format!("settle each of {}", outcomes.len()));
        self.settle_one_by_one(&outcomes)
    }

    async fn begin(&self, runs: Vec<Run>) -> Result<Counted> {
        self.travel().await?;
        self.note(format!("begin {}", runs.len()));
        Ok(self.count_attempts(&runs))
    }

    async fn claimed_by(&self, tokens: Vec<i64>) -> Result<Vec<Run>> {
        self.travel().await?;
        self.note("search".into());
        Ok(self.held_by(&tokens))
    }

    async fn recover(&self) -> Result<Recovered> {
        self.travel().await?;
        self.note("recover".into());
        if let Some(error) = &*self.recovery_fails.lock().unwrap() {
            return Err(error.clone());
        }
        Ok(self.recover_all())
    }

    async fn recover_each(&self) -> Result<Recovered> {
        self.travel().await?;
        self.note("recover each".into());
        let takes = *self.recovery_takes.lock().unwrap();
        sleep(takes).await;
        Ok(self.recover_lost())
    }

    async fn extend(&self, runs: Vec<Run>) -> Result<Vec<Extended>> {
        self.travel().await?;
        self.note(format!("extend {}", runs.len()));
        Ok(self.extend_leases(&runs))
    }

    async fn settled_by_handler(&self, runs: Vec<Run>) -> Result<Vec<(Run, Settled)>> {
        self.travel().await?;
        let rows = self.rows.lock().unwrap();
        let settled = |run: Run| {
            let settled = match rows.get(&run.id) {
                Some(row) if row.run_no != run.run_no => Settled::Lost,
                Some(row) if row.is_processing() && row.locked => Settled::Open,
                Some(row) if row.is_processing() => Settled::RolledBack,
                Some(row) if row.status != Status::Completed => Settled::Lost,
                _ => Settled::Committed,
            };
            (run, settled)
        };
        Ok(runs.into_iter().map(settled).collect())
    }

    async fn cancel_requested(&self, runs: Vec<Run>) -> Result<Vec<Run>> {
        self.travel().await?;
        let rows = self.rows.lock().unwrap();
        let requested = |run: &Run| {
            rows.get(&run.id)
                .is_some_and(|row| row.run_no == run.run_no && row.cancel_requested)
        };
        Ok(runs.into_iter().filter(requested).collect())
    }
}
