//! The worker's careful forms, after Postgres has refused a statement over many jobs, or has passed over one of them:
//! they find out which jobs are at fault, put those aside, and do the rest.

use std::time::Duration;

use sqlx::Row;
use tokio::time::Instant;

use super::answers::unreadable;
use super::answers::{read_exchanged, read_fates, read_ids, read_refusals};
use super::claim::Claim;
use super::each::each;
use super::recover::{self, Manner};
use super::settle::Ways;
use super::unreadable::blames_value;
use super::worker::Worker;
use super::{aside, claim, refuse, settle};
use crate::connect::passed_over;
use crate::error::{Error, Result};
use crate::job::{ClaimedJob, End, Outcome, Refusal, Unreadable};
use crate::parts::apart;
use crate::processor::{Exchanged, Fate, Recovered, Wanted};

/// The most slow jobs that one careful claim finds. Outcomes wait for it, and the server may be slow, not the jobs.
const MOST_SLOW: u32 = 3;
/// The most jobs that one careful claim finds which another server or a disk keeps from being claimed.
const MOST_ELSEWHERE: u32 = 10;
/// For how long a careful claim that takes jobs one by one goes on after the first.
const GATHERS: Duration = Duration::from_millis(100);

impl Worker {
    /// Claims after a claim was refused: finds out part by part which jobs are at fault, puts those aside, and
    /// returns with the first jobs that it could claim.
    ///
    /// A job that was put aside before, and may be tried again, is tried alone, so that it does not take the others
    /// along once more, and one in a claim.
    pub(super) async fn claim_carefully(&self, wanted: &Wanted, below: i64) -> Result<Exchanged> {
        let claim = self.claim(wanted);
        let now = Instant::now();
        let aside = self.shared.aside.ids(now);
        let rows = self
            .fetch(claim::due(&self.schema, &claim, below, aside))
            .await?;
        let others = read_ids(&rows).map_err(unreadable)?;
        let listed = others.len();
        let suspect = self.shared.aside.suspect(now, !others.is_empty());
        let mut exchanged = Exchanged::default();
        // The last is tried first.
        let mut parts: Vec<Vec<i64>> = if self.shared.aside.knows_slow(now) {
            // Where one is slow, there may be more: each half would take its time once more.
            others.into_iter().rev().map(|id| vec![id]).collect()
        } else {
            // Those that the refused claim would have taken come first.
            let chunks = others.chunks(claim.limit.max(1)).rev();
            chunks.map(<[i64]>::to_vec).collect()
        };
        parts.extend(suspect.map(|id| vec![id]));
        // Until when what was claimed waits for more of them.
        let mut gathers_until = None;
        let (mut slow, mut elsewhere) = (0, 0);
        // Whether one was found that is at fault.
        let mut found_out = false;
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let rest = Claim {
                limit: claim.limit - exchanged.found(),
                ..claim
            };
            let named = claim::named(&self.schema, &rest, &part);
            let asked = Instant::now();
            let refusals = match part[..] {
                [id] => self.shared.aside.refusals(id),
                _ => 0,
            };
            let is_suspect = refusals > 0;
            let limit = self.patience().probe_again(refusals, self.time);
            let answer = self.probe_within(limit, &named).await;
            if is_suspect {
                let now = Instant::now();
                self.shared.aside.tried_suspect(now - asked, now);
            }
            let error = match answer {
                Ok(rows) => {
                    self.shared.slowness.answered(asked.elapsed(), limit);
                    let (claimed, seen) = read_exchanged(&rows).map_err(unreadable)?;
                    let found = exchanged.found();
                    exchanged.exhausted.extend(claimed.exhausted);
                    exchanged.claim_sent.get_or_insert(asked);
                    for job in claimed.claimed {
                        self.read_payload(job, is_suspect, &mut exchanged).await?;
                    }
                    let passed = seen.passed_over.unwrap_or_default();
                    if let [id] = part[..]
                        && is_suspect
                        && passed.is_empty()
                    {
                        if exchanged.found() > found {
                            self.shared.aside.forget(id);
                        } else {
                            self.shared.aside.rest(id, Instant::now());
                        }
                    }
                    for &id in &passed {
                        let put = self.put_aside(id, passed_over(), &mut exchanged).await;
                        if exchanged.found() == 0 {
                            put?;
                        }
                        // The claimed jobs are to be run; this one is met again.
                    }
                    found_out |= !passed.is_empty();
                    if exchanged.found() > 0 {
                        let until = *gathers_until.get_or_insert(asked + GATHERS);
                        let alone = parts.last().is_some_and(|next| next.len() == 1);
                        if alone && exchanged.found() < claim.limit && Instant::now() < until {
                            continue;
                        }
                        break;
                    }
                    if !passed.is_empty() {
                        // The limit was reached, and the rest was not tried.
                        part.retain(|id| !passed.contains(id));
                        parts.push(part);
                    }
                    continue;
                }
                // The claimed jobs are to be run; the rest is met again.
                Err(error) if exchanged.found() > 0 => {
                    exchanged.in_doubt |= error.leaves_open();
                    match part[..] {
                        [id] if error.was_held_up() => {
                            let _ = self.put_aside(id, error, &mut exchanged).await;
                        }
                        _ => parts.push(part),
                    }
                    found_out = true;
                    break;
                }
                Err(error) if !error.suspects_rows() => return Err(error),
                Err(error) => error,
            };
            self.shared.aside.be_careful(Instant::now());
            exchanged.in_doubt |= error.leaves_open();
            let [id] = part[..] else {
                parts.extend(apart(part, &error).into_iter().rev());
                continue;
            };
            found_out = true;
            slow += u32::from(error.was_held_up());
            elsewhere += u32::from(error.may_pass() && !error.was_held_up());
            self.put_aside(id, error, &mut exchanged).await?;
            if elsewhere == MOST_ELSEWHERE {
                // Where each fails so, it is no job's fault: the disk is full, perhaps. The rest waits for the next look.
                parts.clear();
                break;
            }
            if slow == MOST_SLOW {
                break;
            }
        }
        // The parts that were not tried are still due, and so are the jobs behind the listed ones.
        let has_rest = parts.iter().any(|part| !part.is_empty());
        let has_suspect = suspect.is_some() && self.shared.aside.suspect(now, false).is_some();
        let has_more = has_rest || has_suspect || (listed >= claim.limit && found_out);
        exchanged.unfinished = has_more && elsewhere < MOST_ELSEWHERE;
        self.shared.aside.trust();
        if slow > 0 && exchanged.found() == 0 {
            // It may be the server that is slow, with each statement.
            let nothing = self.probe(&claim::named(&self.schema, &claim, &[])).await;
            let _ = nothing.inspect_err(|error| self.failed_without_rows(error));
        }
        Ok(exchanged)
    }

    /// Reads the payload of a job that was claimed without it: the answer to a claim that takes too long is lost,
    /// though the claim is made. A payload that takes long is read when its job is claimed alone, `patiently`.
    async fn read_payload(
        &self,
        mut job: ClaimedJob,
        patiently: bool,
        exchanged: &mut Exchanged,
    ) -> Result<()> {
        let statement = claim::payload(&self.schema, job.run);
        let read = if patiently {
            self.fetch(statement).await
        } else {
            self.probe(&statement).await
        };
        let payload = read.and_then(|rows| {
            let payload = rows.first().map(|row| row.try_get("payload")).transpose();
            payload.map_err(unreadable)
        });
        match payload {
            Ok(Some(payload)) => {
                job.payload = payload;
                exchanged.claimed.push(job);
            }
            // The job is another run's by now.
            Ok(None) => {}
            Err(error) if error.was_held_up() && !patiently => {
                let id = job.run.id;
                let refusals = self.shared.aside.refusals(id) + 1;
                self.shared.aside.put_slow(id, refusals, Instant::now());
                exchanged.in_doubt = true;
            }
            Err(error) if keeps_from_being_read(&error) => exchanged.unreadable.push(Unreadable {
                run: job.run,
                job_type: job.job_type,
                has_dead_letter: job.has_dead_letter,
                error,
            }),
            // The claim was made: it is found by its token, and given back.
            Err(error) => {
                return Err(Error {
                    sql_state: None,
                    unsent: false,
                    unanswered: false,
                    ..error
                });
            }
        }
        Ok(())
    }

    /// Leaves a due job that cannot be claimed alone for a while: its row stores that, or else this process.
    async fn put_aside(&self, id: i64, error: Error, exchanged: &mut Exchanged) -> Result<()> {
        let note = refuse::claim(&self.schema, id, &error);
        let limit = if error.was_held_up() {
            self.patience().note()
        } else {
            self.patience().probe()
        };
        let noted = self.probe_within(limit, &note).await;
        let noted = match noted {
            Ok(rows) => read_refusals(&rows),
            Err(error) if !error.suspects_rows() => return Err(error),
            // Nothing can be written into the row.
            Err(_) => None,
        };
        let now = Instant::now();
        let refusals = noted.unwrap_or_else(|| self.shared.aside.put(id, now));
        if error.was_held_up() {
            self.shared.aside.put_slow(id, refusals, now);
        }
        if refusals == 1 {
            exchanged.refused.push(Refusal { id, error });
        }
        Ok(())
    }

    /// The fate of an outcome that Postgres refuses to store.
    pub(super) async fn settle_refused(&self, outcome: &Outcome, error: Error) -> Result<Fate> {
        let run = outcome.run;
        let usual = self.ways();
        let otherwise = match outcome.end {
            End::Completed => self.remove_on_complete.then_some(Ways {
                removes: false,
                ..usual
            }),
            End::Released { .. } | End::Unfinished { .. } | End::Snoozed { .. } => Some(Ways {
                pends: false,
                ..usual
            }),
            // What may pass is tried again, with the dead letter.
            End::Failed { .. } | End::Refused { .. } => {
                let passes = error.may_pass() || error.was_held_up();
                let gives_up = outcome.may_bury() && !passes;
                gives_up.then_some(Ways {
                    buries: false,
                    ..usual
                })
            }
            End::Cancelled => None,
        };
        if let Some(ways) = otherwise {
            let statement = settle::each(&self.schema, vec![outcome.clone()], ways);
            match self.probe(&statement).await {
                Ok(rows) => match read_fates(&rows).map_err(unreadable)?.pop() {
                    Some((_, Fate::Written)) => return Ok(Fate::Otherwise(error)),
                    Some((_, Fate::Refused(_))) => {}
                    Some((_, fate)) => return Ok(fate),
                    None => return Ok(Fate::Lost),
                },
                Err(other) if other.suspects_rows() => {}
                Err(other) => return Err(other),
            }
        }
        let note = refuse::settle(&self.schema, run, &error, self.lease_ms());
        // If this is refused too, only the report to the user says it.
        let _ = self.probe(&note).await;
        Ok(Fate::Refused(error))
    }

    /// Brings back lost jobs that [`recover::jobs`] could not.
    pub(super) async fn recover_carefully(&self) -> Result<Recovered> {
        let aside = self.shared.lost_aside.resting(Instant::now());
        let rows = self.fetch(recover::ended(&self.schema, aside)).await?;
        let ids = read_ids(&rows).map_err(unreadable)?;
        let mut recovered = Recovered {
            needs_care: ids.len() >= recover::MOST_LISTED,
            ..Recovered::default()
        };
        let (answers, refused) = each(ids, |ids| self.recover_named(ids, Manner::Pending)).await?;
        let mut silent = Vec::new();
        for answer in answers {
            add(&mut recovered, answer.recovered);
            silent.extend(answer.passed_over);
        }
        for Refusal { id, error } in refused {
            self.recover_other_way(id, error, &mut recovered).await?;
        }
        self.other_way(silent, &mut recovered).await?;
        Ok(recovered)
    }

    async fn recover_named(&self, ids: Vec<i64>, manner: Manner) -> Result<recover::Answer> {
        let rows = self
            .probe(&recover::named(&self.schema, &ids, manner))
            .await?;
        recover::read(&rows).map_err(unreadable)
    }

    /// Brings back jobs that Postgres has passed over.
    pub(super) async fn other_way(&self, ids: Vec<i64>, recovered: &mut Recovered) -> Result<()> {
        for id in ids {
            self.recover_other_way(id, passed_over(), recovered).await?;
        }
        Ok(())
    }

    /// Brings back a job that may not be pending: it has failed and is due again, or it is put aside.
    async fn recover_other_way(
        &self,
        id: i64,
        error: Error,
        recovered: &mut Recovered,
    ) -> Result<()> {
        self.shared.lost_aside.be_careful(Instant::now());
        match self.recover_named(vec![id], Manner::Failed).await {
            Ok(answer) if answer.passed_over.is_empty() => {
                add(recovered, answer.recovered);
                recovered.refused.push(Refusal { id, error });
                return Ok(());
            }
            Err(other) if !other.suspects_rows() => return Err(other),
            Ok(_) | Err(_) => {}
        }
        let refusals = self.shared.lost_aside.put(id, Instant::now());
        let seconds = aside::pause(refusals).as_secs().try_into().unwrap_or(1);
        let rest = refuse::recover(&self.schema, id, &error, seconds);
        // If even this is refused, only this process puts it aside.
        let _ = self.probe(&rest).await;
        if refusals == 1 {
            recovered.refused.push(Refusal { id, error });
        }
        Ok(())
    }
}

/// Whether a payload cannot be read, and will not be in a while either.
fn keeps_from_being_read(error: &Error) -> bool {
    let passes = error.may_pass() && !error.was_held_up();
    error.was_refused() && (blames_value(error) || !passes)
}

fn add(recovered: &mut Recovered, more: Recovered) {
    recovered.pending += more.pending;
    recovered.spared += more.spared;
    recovered.exhausted.extend(more.exhausted);
}
