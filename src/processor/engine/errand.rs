//! An errand is work that an engine does unasked: it says when it is due, and is run then. Its question to the store is
//! under way beside all others, and the answer comes back as a call. A new errand is a file, and a line in
//! [`Engine::ERRANDS`].

use std::pin::Pin;
use std::sync::Arc;

use futures_util::stream::FuturesUnordered;
use tokio::time::Instant;

use super::Engine;
use crate::processor::{Handlers, Store};

pub(super) struct Errand<S, H> {
    /// When it is due, as far as is known now; `None` if there is nothing to do, or while its question is under way.
    pub due_at: fn(&mut Engine<S, H>, Instant) -> Option<Instant>,
    pub run: fn(&mut Engine<S, H>, Instant),
}

/// Takes in the store's answer.
pub(super) type Answer<S, H> = Box<dyn FnOnce(&mut Engine<S, H>) + Send>;

/// The questions to the store that are under way.
pub(super) type UnderWay<S, H> =
    FuturesUnordered<Pin<Box<dyn Future<Output = Answer<S, H>> + Send>>>;

impl<S: Store, H: Handlers> Engine<S, H> {
    /// In this order: ends go before beginnings, so that an ended run frees its slot, and its outcome travels along.
    const ERRANDS: [Errand<S, H>; 11] = [
        Errand {
            due_at: Self::expires_at,
            run: Self::expire,
        },
        Errand {
            due_at: Self::meets_deadline_at,
            run: Self::meet_deadline,
        },
        Errand {
            due_at: Self::starts_at,
            run: Self::start_waiting,
        },
        Errand {
            due_at: Self::counts_at,
            run: Self::count,
        },
        Errand {
            due_at: Self::exchanges_at,
            run: Self::begin_exchanges,
        },
        Errand {
            due_at: Self::settles_each_at,
            run: Self::begin_settling_each,
        },
        Errand {
            due_at: Self::recovers_each_at,
            run: Self::recover_each,
        },
        Errand {
            due_at: Self::searches_at,
            run: Self::search_lost_claims,
        },
        Errand {
            due_at: Self::extends_at,
            run: Self::extend,
        },
        Errand {
            due_at: Self::rechecks_at,
            run: Self::recheck,
        },
        Errand {
            due_at: Self::asks_at,
            run: Self::ask_how_transactions_ended,
        },
    ];

    pub(super) fn run_errands(&mut self) {
        for Errand { due_at, run } in Self::ERRANDS {
            let now = Instant::now();
            if due_at(self, now).is_some_and(|at| at <= now) {
                run(self, now);
            }
        }
    }

    /// When the next errand is due, if no event comes before.
    pub(super) fn next_errand(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let due = |Errand { due_at, .. }| due_at(self, now);
        Self::ERRANDS.into_iter().filter_map(due).min()
    }

    /// Asks the store, and has the answer taken in when it comes.
    pub(super) fn ask<T, Q>(
        &mut self,
        question: impl FnOnce(Arc<S>) -> Q,
        take_in: impl FnOnce(&mut Self, T) + Send + 'static,
    ) where
        T: Send + 'static,
        Q: Future<Output = T> + Send + 'static,
    {
        let question = question(Arc::clone(&self.store));
        self.under_way.push(Box::pin(async move {
            let answer = question.await;
            let take_in: Answer<S, H> = Box::new(move |engine| take_in(engine, answer));
            take_in
        }));
    }
}
