//! Claims whose answers were lost. The server may have made them, and may even make them later. So the jobs that
//! they took are looked for by the claim's token, and handed back: nobody has begun them.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Engine;
use crate::error::Result;
use crate::job::Run;
use crate::processor::{Handlers, Store};

pub(super) struct LostClaim {
    token: i64,
    /// When it was sent: its leases end no later than a lease after the last moment at which it can be made.
    at: Instant,
    /// Until when the server may still make it.
    open_until: Instant,
}

impl<S: Store, H: Handlers> Engine<S, H> {
    /// `answered` is whether the server has, so that it no longer makes the claim.
    pub(super) fn claim_is_lost(&mut self, token: i64, at: Instant, answered: bool) {
        let open = if answered {
            Duration::ZERO
        } else {
            self.settings.answer_within
        };
        self.lost_claims.push(LostClaim {
            token,
            at,
            open_until: at + open,
        });
        self.search_at = Instant::now();
    }

    pub(super) fn begin_searching(&mut self) {
        let now = Instant::now();
        let at = self.search_at.max(self.exchange_after);
        if self.lost_claims.is_empty() || self.searching.is_some() || at > now {
            return;
        }
        let tokens = self.lost_claims.iter().map(|claim| claim.token).collect();
        let store = Arc::clone(&self.store);
        let reply = Box::pin(async move { store.claimed_by(tokens).await });
        self.searching = Some((now, reply));
    }

    pub(super) fn searched(&mut self, reply: Result<Vec<Run>>) {
        let Some((asked_at, _)) = self.searching.take() else {
            return;
        };
        match reply {
            Ok(runs) => {
                self.backoff.succeed();
                let first = self.lost_claims.iter().map(|claim| claim.at).min();
                for run in runs {
                    if !self.held.contains(run) {
                        self.held.insert(run, first.unwrap_or(asked_at));
                        self.release(run);
                    }
                }
                // What the server can no longer make has been found.
                self.lost_claims.retain(|claim| claim.open_until > asked_at);
                let open = self.lost_claims.iter().map(|claim| claim.open_until);
                self.search_at = open.min().unwrap_or(asked_at);
            }
            // The engine is about to end, and has said why. The jobs come back when their leases end.
            Err(_) if self.failure.is_some() => self.lost_claims.clear(),
            Err(error) => self.store_failed(asked_at, error),
        }
    }
}
