//! Claims whose answers were lost. The server may have run them, and may even run them later. So the engine looks
//! for their jobs by the claim's token, and hands them back: no handler has begun them.

use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::error::Result;
use crate::job::Run;
use crate::processor::{Handlers, Store};

struct LostClaim {
    token: i64,
    /// When it was sent: its leases end no later than a lease after the last moment at which the server can run it.
    at: Instant,
    /// Until when the server may still run it.
    open_until: Instant,
}

pub(super) struct LostClaims {
    claims: Vec<LostClaim>,
    /// When to look for their jobs.
    search_at: Instant,
    searching: bool,
}

impl LostClaims {
    pub fn new(now: Instant) -> Self {
        Self {
            claims: Vec::new(),
            search_at: now,
            searching: false,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.claims.is_empty()
    }
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// `answered` says whether the server has answered, so that it no longer runs the claim.
    pub(super) fn claim_is_lost(&mut self, token: i64, at: Instant, answered: bool) {
        let open = if answered {
            Duration::ZERO
        } else {
            self.settings.answer_within
        };
        self.lost_claims.claims.push(LostClaim {
            token,
            at,
            open_until: at + open,
        });
        self.lost_claims.search_at = Instant::now();
    }

    pub(super) fn searches_at(&mut self, _: Instant) -> Option<Instant> {
        let LostClaims {
            claims,
            search_at,
            searching,
        } = &self.lost_claims;
        (!claims.is_empty() && !searching).then(|| self.outage.after.max(*search_at))
    }

    pub(super) fn search_lost_claims(&mut self, now: Instant) {
        self.lost_claims.searching = true;
        let claims = self.lost_claims.claims.iter();
        let tokens = claims.map(|claim| claim.token).collect();
        self.ask(
            |store| async move { store.claimed_by(tokens).await },
            move |engine, reply| engine.searched(now, reply),
        );
    }

    fn searched(&mut self, asked_at: Instant, reply: Result<Vec<Run>>) {
        self.lost_claims.searching = false;
        match reply {
            Ok(runs) => {
                self.outage.backoff.succeed();
                let first = self.lost_claims.claims.iter().map(|claim| claim.at).min();
                for run in runs {
                    if !self.held.contains(run) {
                        self.held.insert(run, first.unwrap_or(asked_at));
                        self.release(run);
                    }
                }
                // The jobs of claims that the server can no longer run have been found.
                let LostClaims {
                    claims, search_at, ..
                } = &mut self.lost_claims;
                claims.retain(|claim| claim.open_until > asked_at);
                let open = claims.iter().map(|claim| claim.open_until);
                *search_at = open.min().unwrap_or(asked_at);
            }
            // The engine is about to end, and has said why. The jobs come back when their leases end.
            Err(_) if self.ending.failure.is_some() => self.lost_claims.claims.clear(),
            Err(error) => self.store_failed(asked_at, error),
        }
    }
}
