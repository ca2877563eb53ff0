//! What a worker does after Postgres has refused a statement over many jobs: it finds out by halves which of them are
//! at fault, puts those aside, and does the rest.

use tokio::time::Instant;

use super::answers::{read_exchanged, read_ids, read_refusals};
use super::claim::Claim;
use super::each::each;
use super::recover::{self, Manner};
use super::table::unreadable;
use super::worker::Worker;
use super::{aside, claim, refuse};
use crate::error::{Error, Result};
use crate::processor::{Exchanged, Recovered, Refusal, Unreadable, Wanted};

impl Worker {
    /// Claims after a claim was refused: finds out by halves which jobs are at fault, puts those aside, and
    /// returns with the first that it could claim.
    pub(super) async fn claim_carefully(&self, wanted: &Wanted, below: i64) -> Result<Exchanged> {
        let claim = self.claim(wanted);
        let aside = self.aside.ids(Instant::now());
        let rows = self
            .fetch(claim::due(&self.schema, &claim, below, aside))
            .await?;
        let ids = read_ids(&rows).map_err(unreadable)?;
        let mut exchanged = Exchanged::default();
        let mut parts = vec![ids];
        while let Some(mut part) = parts.pop() {
            if part.is_empty() {
                continue;
            }
            let named = claim::named(&self.schema, &claim, &part, true);
            match self.fetch(named).await {
                Ok(rows) => {
                    let (claimed, _) = read_exchanged(&rows).map_err(unreadable)?;
                    exchanged.claimed = claimed.claimed;
                    exchanged.lost = claimed.lost;
                    if exchanged.found() > 0 {
                        break;
                    }
                }
                Err(error) if !error.suspects_rows() => return Err(error),
                Err(error) => {
                    self.aside.be_careful(Instant::now());
                    if let [id] = part[..] {
                        self.claim_refused(&claim, id, error, &mut exchanged)
                            .await?;
                    } else {
                        let second = part.split_off(part.len() / 2);
                        parts.extend([second, part]);
                    }
                }
            }
        }
        // What was not come to is due still.
        exchanged.unfinished = !parts.is_empty();
        Ok(exchanged)
    }

    /// What to do about a job that cannot be claimed.
    async fn claim_refused(
        &self,
        claim: &Claim<'_>,
        id: i64,
        error: Error,
        exchanged: &mut Exchanged,
    ) -> Result<()> {
        let without_payload = claim::named(&self.schema, claim, &[id], false);
        match self.fetch(without_payload).await {
            Ok(rows) => {
                let (claimed, _) = read_exchanged(&rows).map_err(unreadable)?;
                exchanged
                    .unreadable
                    .extend(claimed.claimed.into_iter().map(|job| Unreadable {
                        run: job.run,
                        job_type: job.job_type,
                        error: error.clone(),
                    }));
                return Ok(());
            }
            Err(error) if !error.suspects_rows() => return Err(error),
            Err(_) => {}
        }
        let state = error.sql_state.as_deref().unwrap_or_default();
        let noted = self.fetch(refuse::claim(&self.schema, id, state)).await;
        let refusals = match noted {
            Ok(rows) => read_refusals(&rows),
            Err(error) if !error.suspects_rows() => return Err(error),
            // Nothing can be written into the row: it is put aside here alone.
            Err(_) => None,
        };
        let refusals = refusals.unwrap_or_else(|| self.aside.put(id, Instant::now()));
        if refusals == 1 {
            exchanged.refused.push(Refusal { id, error });
        }
        Ok(())
    }

    /// Brings lost jobs back after that was refused.
    pub(super) async fn recover_carefully(&self) -> Result<Recovered> {
        let aside = self.aside.ids(Instant::now());
        let rows = self.fetch(recover::ended(&self.schema, aside)).await?;
        let ids = read_ids(&rows).map_err(unreadable)?;
        let named = |manner| {
            move |ids: Vec<i64>| async move {
                let rows = self
                    .fetch(recover::named(&self.schema, &ids, manner))
                    .await?;
                recover::read(&rows)
                    .map(|(recovered, _)| recovered)
                    .map_err(unreadable)
            }
        };
        let (mut brought_back, refused) = each(ids, named(Manner::Pending)).await?;
        let mut recovered = Recovered::default();
        for Refusal { id, error } in refused {
            self.aside.be_careful(Instant::now());
            let other = named(Manner::Failed);
            match other(vec![id]).await {
                Ok(other_way) => brought_back.push(other_way),
                Err(other) if !other.suspects_rows() => return Err(other),
                Err(_) => {
                    let refusals = self.aside.put(id, Instant::now());
                    let seconds = aside::pause(refusals).as_secs().try_into().unwrap_or(1);
                    let state = error.sql_state.as_deref().unwrap_or_default();
                    let rest = refuse::recover(&self.schema, id, state, seconds);
                    // Where even this is refused, it is put aside here alone.
                    let _ = self.fetch(rest).await;
                    if refusals > 1 {
                        continue;
                    }
                }
            }
            recovered.refused.push(Refusal { id, error });
        }
        for each in brought_back {
            recovered.pending += each.pending;
            recovered.spared += each.spared;
            recovered.lost.extend(each.lost);
        }
        Ok(recovered)
    }
}
