//! Running one statement on a connection of the pool.

use std::time::{Duration, Instant, SystemTime};

use deadpool::managed;
use sqlx::postgres::PgRow;

use super::patience::Limits;
use super::places::Turn;
use super::pool::{Connection, Pool};
use super::send::{Answer, Deferred, Failure, Undone, ask, within};
use super::settings::Pooler;
use super::statement::Statement;
use crate::error::{Error, Result};

/// How a call of the user's is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// Under the limits of a worker, which are in force on every connection.
    Brief,
    /// Under the limits that the user has set, because the worker's limits were too short.
    Patient,
}

/// The terms on which a worker's statement runs.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    pub turn: Turn,
    /// How long the worker waits for the answer.
    pub answer: Duration,
    pub limits: Limits,
    pub deferred: Deferred,
}

impl Terms {
    /// The server has at most this much time.
    pub fn within(self, limit: Duration) -> Self {
        let limits = self.limits.within(Limits::of_statement(limit));
        Self { limits, ..self }
    }

    /// For a statement that finds out which rows are at fault, also if a deferred trigger is the cause.
    pub fn careful(self) -> Self {
        Self {
            deferred: Deferred::AtOnce,
            ..self
        }
    }
}

impl Pool {
    /// Runs a statement for a caller and returns its rows. A statement that the server has undone in favour of
    /// another transaction is sent again.
    pub async fn fetch(&self, statement: Statement) -> Result<Vec<PgRow>> {
        self.fetch_within(self.settings().query_timeout, &statement)
            .await
    }

    /// The same, with a limit of the caller's to the wait for the answer.
    ///
    /// A statement that waits for a lock gives its connection up after a while, and is sent again: it has
    /// done nothing, and a lease may need the connection.
    pub async fn fetch_within(
        &self,
        limit: Option<Duration>,
        statement: &Statement,
    ) -> Result<Vec<PgRow>> {
        let asked = Instant::now();
        let mut undone = Undone::default();
        let mut manner = Manner::Brief;
        let mut left = limit;
        loop {
            let limits = self.limits_of(manner);
            let sent = Instant::now();
            let answer = self
                .fetch_once(Turn::Caller, left, limits, Deferred::AtCommit, statement)
                .await;
            let Err(Sent { error, own }) = answer else {
                return answer.map_err(|failed| failed.error);
            };
            let is_over = limit.is_some_and(|limit| asked.elapsed() >= limit);
            if !is_over && gave_way(&error, sent.elapsed(), limits, own) {
                manner = Manner::Patient;
                left = limit.map(|limit| limit.saturating_sub(asked.elapsed()));
                continue;
            }
            let answer = Err(error);
            if !undone.go_again(&answer).await {
                return answer;
            }
        }
    }

    /// Runs a statement of a worker's.
    pub async fn fetch_for_worker(
        &self,
        terms: Terms,
        statement: &Statement,
    ) -> Result<Vec<PgRow>> {
        let Terms {
            turn,
            answer: limit,
            mut limits,
            mut deferred,
        } = terms;
        if self.settings().pooler == Pooler::Transaction {
            // The server's side of the connection cannot be ended, and limits cost no round trip there.
            // A lock is named as the reason, where it is one.
            limits = limits.within(Limits {
                statement: Some(limit * 4 / 5),
                lock: Some(limit * 3 / 5),
            });
            deferred = Deferred::AtOnce;
        }
        let mut undone = Undone::default();
        loop {
            let answer = self
                .fetch_once(turn, Some(limit), limits, deferred, statement)
                .await;
            let answer = answer.map_err(|failed| failed.error);
            if !undone.go_again(&answer).await {
                return answer;
            }
        }
    }

    /// Where a worker has only the connection that callers have too, none of them keeps it to wait for a lock.
    fn limits_of(&self, manner: Manner) -> Limits {
        let ours = self.leases().patience().limits();
        let gives_way = self.max_connections() == 1 && self.leases().any();
        match (manner, self.settings().pooler) {
            (Manner::Brief, Pooler::None) => ours,
            (Manner::Brief, Pooler::Transaction) | (Manner::Patient, _) => Limits {
                statement: None,
                lock: ours.lock.filter(|_| gives_way),
            },
        }
    }

    async fn fetch_once(
        &self,
        turn: Turn,
        limit: Option<Duration>,
        limits: Limits,
        deferred: Deferred,
        statement: &Statement,
    ) -> std::result::Result<Vec<PgRow>, Sent> {
        let not_sent = |error| Sent {
            error,
            own: Limits::default(),
        };
        // The place is free again when the connection is back, not before.
        let (place, mut connection) = self.get(turn).await.map_err(not_sent)?;
        let answer = tokio::select! {
            answer = within(limit, self.send(&mut connection, limits, deferred, statement)) => answer,
            () = self.closed() => Err(Failure::Closed),
        };
        connection.used_at = SystemTime::now();
        let failure = match answer {
            Ok(rows) => return Ok(rows),
            Err(failure) => failure,
        };
        let own = match &connection.session {
            Some(session) => session.own,
            None => self.settings().own_limits(),
        };
        if failure.leaves_statement() {
            self.leave(place, connection);
        } else if failure.ends_connection() {
            // A broken connection is closed, not given back.
            drop(managed::Object::take(connection));
        }
        if failure.is_distrusted() {
            self.connections.manager().distrust();
        }
        Err(Sent {
            error: failure.told(self.settings()),
            own,
        })
    }

    async fn send(
        &self,
        connection: &mut Connection,
        limits: Limits,
        deferred: Deferred,
        statement: &Statement,
    ) -> Answer<Vec<PgRow>> {
        let postgres = &mut connection.postgres;
        if let Some(session) = &mut connection.session {
            session.limit(postgres, limits).await?;
        }
        ask(postgres, statement, self.settings(), limits, deferred).await
    }
}

/// A statement that failed, and the limits that the user has set where it was sent.
struct Sent {
    error: Error,
    own: Limits,
}

/// Whether a statement failed by a limit of ours, and not by one of the user's.
fn gave_way(error: &Error, took: Duration, limits: Limits, own: Limits) -> bool {
    let ours = |limit: fn(&Limits) -> Option<Duration>| {
        let ours = limit(&limits).filter(|ours| limit(&own).is_none_or(|own| own > *ours));
        ours.is_some_and(|ours| took >= ours)
    };
    match error.sql_state.as_deref() {
        Some("55P03") => ours(|limits| limits.lock),
        Some("57014") => ours(|limits| limits.statement),
        _ => false,
    }
}
