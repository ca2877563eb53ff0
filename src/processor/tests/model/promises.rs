//! The changes that a row may go through under every fault.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use tokio::time::Instant;

use crate::job::Run;
use crate::processor::tests::memory_store::{LEASE, LETTER, Row, Status};

/// Looks at the table after every change of it.
#[derive(Default)]
pub struct Promises {
    before: BTreeMap<i64, Row>,
    /// Runs whose handlers ended without an error.
    completed: HashSet<Run>,
    /// Runs that asked for no further attempt.
    given_up: HashSet<Run>,
    /// Jobs of which a handler has begun.
    begun: HashSet<i64>,
    /// How many jobs with a dead letter have failed for good.
    buried: usize,
    /// Jobs whose last attempt was counted for a process, and whether the process was cut off, frozen or killed: it may
    /// not have heard of the count, or not have begun the handler.
    counted: HashMap<i64, Arc<AtomicBool>>,
    pub broken: Vec<String>,
}

impl Promises {
    pub fn completed_by_handler(&mut self, run: Run) {
        self.completed.insert(run);
    }

    pub fn given_up_by_handler(&mut self, run: Run) {
        self.given_up.insert(run);
    }

    pub fn begun_by_handler(&mut self, run: Run) {
        self.begun.insert(run.id);
    }

    pub fn counted_for(&mut self, run: Run, disturbed: &Arc<AtomicBool>) {
        self.counted.insert(run.id, disturbed.clone());
    }

    fn was_begun_or_could_not_be(&self, id: i64) -> bool {
        let disturbed = self.counted.get(&id);
        self.begun.contains(&id) || disturbed.is_some_and(|disturbed| disturbed.load(Relaxed))
    }

    /// `retried` is the job that a user has put back, if the change was a retry.
    pub fn check(&mut self, now: &BTreeMap<i64, Row>, retried: Option<i64>) {
        let time = Instant::now();
        for (id, row) in now {
            let before = self.before.get(id);
            for (kept, promise) in [
                (
                    row.attempts <= row.max_attempts,
                    "no more attempts than granted",
                ),
                (row.attempts >= 0, "attempts are counted from 0"),
                (
                    before.is_none_or(|before| before.run_no <= row.run_no),
                    "the fence never goes back",
                ),
                (
                    !matches!(row.status, Status::Processing { lease_until } if lease_until > time + LEASE),
                    "no lease is longer than a lease",
                ),
                (
                    is_final(row) || row.is_processing() || row.ready_at().is_some(),
                    "what has not ended is claimed one day",
                ),
                (
                    !matches!(row.status, Status::Failed { .. })
                        || row.next_attempt_at.is_some()
                        || row.attempts >= row.max_attempts
                        || self.given_up.contains(&Run {
                            id: *id,
                            run_no: row.run_no,
                        }),
                    "only a handler gives a job up that has attempts left",
                ),
                (
                    retried == Some(*id)
                        || before.is_none_or(|before| !is_final(before) || same(before, row)),
                    "what has ended stays as it is",
                ),
                (
                    !matches!(&row.status, Status::Failed { entry } if entry == "lost")
                        || self.was_begun_or_could_not_be(*id),
                    "no job ends for want of attempts before a handler of it has begun",
                ),
                (
                    row.status != Status::Completed
                        || self.completed.contains(&Run {
                            id: *id,
                            run_no: row.run_no,
                        }),
                    "only a handler completes a job",
                ),
            ] {
                if !kept {
                    self.broken
                        .push(format!("{promise}: job {id}, {before:?}, {row:?}"));
                }
            }
        }
        for (id, row) in now.iter().filter(|(_, row)| row.holds_key()) {
            let rival = now
                .iter()
                .find(|(other, rival)| *other > id && rival.rivals(row));
            if let Some((other, _)) = rival {
                self.broken
                    .push(format!("a key has one holder: jobs {id} and {other}"));
            }
        }
        let fails = |(id, row): &(&i64, &Row)| {
            let before = self.before.get(id);
            row.dead_letter
                && row.has_failed_for_good()
                && before.is_none_or(|before| !same(before, row))
        };
        self.buried += now.iter().filter(fails).count();
        let unburied: usize = now.values().map(|row| row.unburied).sum();
        let letters = now.values().filter(|row| row.job_type == LETTER).count() + unburied;
        if letters != self.buried {
            self.broken.push(format!(
                "each failure for good leaves one dead letter, or is refused one: {} and {letters}",
                self.buried
            ));
        }
        for id in self.before.keys().filter(|id| !now.contains_key(id)) {
            self.broken.push(format!("no job is lost: job {id}"));
        }
        self.before = now.clone();
    }
}

/// Whether it does not change any more by itself.
pub fn is_final(row: &Row) -> bool {
    match row.status {
        Status::Completed | Status::Cancelled => true,
        Status::Failed { .. } => row.next_attempt_at.is_none(),
        Status::Pending | Status::Processing { .. } => false,
    }
}

fn same(a: &Row, b: &Row) -> bool {
    (&a.status, a.run_no, a.attempts) == (&b.status, b.run_no, b.attempts)
}
