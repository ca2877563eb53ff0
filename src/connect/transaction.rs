//! A transaction of several steps, on one connection of the pool.

use std::time::{Duration, SystemTime};

use deadpool::managed;
use sqlx::postgres::{PgConnection, PgCopyIn, PgRow};

use super::places::{Place, Turn};
use super::pool::{Connections, PING_TIMEOUT, Pool};
use super::send::{Answer, Failure, ask_inside, tell, within};
use super::settings::Pooler;
use super::statement::Statement;
use crate::error::{Code, Error, Result};

/// Each step has the time of a statement. If it is dropped before its end, the connection is closed, and the
/// server rolls the transaction back.
pub struct Transaction {
    connection: Option<managed::Object<Connections>>,
    /// Free again when the connection is back, not before.
    _place: Place,
    pool: Pool,
    /// Whether each sent step was answered. Until then no other can be sent.
    answered: bool,
}

impl Pool {
    pub async fn begin(&self) -> Result<Transaction> {
        let (place, connection) = self.get(Turn::Caller).await?;
        let own = (connection.session.as_ref()).map_or(self.settings().own_limits(), |it| it.own);
        let mut transaction = Transaction {
            connection: Some(connection),
            _place: place,
            pool: self.clone(),
            answered: true,
        };
        let settings = self.settings();
        let begin = match settings.pooler {
            // Its steps cannot be sent again, so they have the user's limits alone.
            Pooler::None => format!("begin; {}", own.assignments("set local")),
            Pooler::Transaction => format!("begin; {}", settings.for_transaction(own)),
        };
        let limit = settings.query_timeout;
        transaction.tell(begin, limit).await?;
        Ok(transaction)
    }
}

impl Transaction {
    /// Runs a statement and returns its rows.
    pub async fn fetch(&mut self, statement: &Statement) -> Result<Vec<PgRow>> {
        let (postgres, mut step) = self.step()?;
        let settings = step.pool.settings();
        let answer = ask_inside(postgres, statement, settings.pooler);
        step.end(within(settings.query_timeout, answer).await)
    }

    /// Begins a `COPY ... FROM STDIN`.
    pub async fn copy_in(&mut self, sql: &str) -> Result<CopyIn<'_>> {
        let (postgres, mut step) = self.step()?;
        let limit = step.pool.settings().query_timeout;
        let begun = async { postgres.copy_in_raw(sql).await.map_err(Failure::Refused) };
        match within(limit, begun).await {
            Ok(copy) => Ok(CopyIn { copy, step, limit }),
            Err(failure) => step.end(Err(failure)),
        }
    }

    pub async fn commit(mut self) -> Result<()> {
        let limit = self.pool.settings().query_timeout;
        let answer = self.tell("commit".into(), limit).await;
        // A refused commit ends the transaction as well.
        if self.answered {
            self.give_back();
        }
        answer
    }

    /// Undoes it all.
    pub async fn roll_back(mut self) {
        let undone = self.tell("rollback".into(), Some(PING_TIMEOUT)).await;
        if undone.is_ok() {
            self.give_back();
        }
    }

    async fn tell(&mut self, sql: String, limit: Option<Duration>) -> Result<()> {
        let (postgres, mut step) = self.step()?;
        step.end(within(limit, tell(postgres, sql)).await)
    }

    fn step(&mut self) -> Result<(&mut PgConnection, Step<'_>)> {
        let Some(connection) = self.connection.as_mut().filter(|_| self.answered) else {
            let message = "the connection to Postgres broke during a transaction";
            return Err(Error::new(Code::ConnectionFailed, message));
        };
        self.answered = false;
        let step = Step {
            answered: &mut self.answered,
            pool: &self.pool,
        };
        Ok((&mut connection.postgres, step))
    }

    fn give_back(&mut self) {
        if let Some(mut connection) = self.connection.take() {
            connection.used_at = SystemTime::now();
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.connection.take().map(managed::Object::take);
    }
}

/// Something was sent.
struct Step<'a> {
    answered: &'a mut bool,
    pool: &'a Pool,
}

impl Step<'_> {
    /// Ends the step. A refusal is an answer too, unless the connection itself has failed.
    fn end<T>(&mut self, answer: Answer<T>) -> Result<T> {
        *self.answered = true;
        answer.map_err(|failure| {
            if failure.ends_connection() {
                *self.answered = false;
                self.pool.connections.manager().distrust();
            }
            failure.told(self.pool.settings())
        })
    }
}

/// A copy that is under way. If it is dropped before its end, the transaction ends.
pub struct CopyIn<'a> {
    copy: PgCopyIn<&'a mut PgConnection>,
    step: Step<'a>,
    limit: Option<Duration>,
}

impl CopyIn<'_> {
    /// Sends some of the rows. `finish` returns the server's answer to them.
    pub async fn send(&mut self, rows: &[u8]) -> Result<()> {
        let sent = async {
            let sent = self.copy.send(rows).await;
            sent.map(drop).map_err(Failure::Refused)
        };
        match within(self.limit, sent).await {
            Ok(()) => Ok(()),
            Err(failure) => self.step.end(Err(failure)),
        }
    }

    /// Returns how many rows were added.
    pub async fn finish(mut self) -> Result<u64> {
        let finished = async { self.copy.finish().await.map_err(Failure::Refused) };
        let answer = within(self.limit, finished).await;
        self.step.end(answer)
    }

    /// Adds none of the rows.
    pub async fn abort(mut self) -> Result<()> {
        let aborted = async {
            let aborted = self.copy.abort("not all of the rows arrived");
            aborted.await.map_err(Failure::Refused)
        };
        let answer = within(self.limit, aborted).await;
        self.step.end(answer)
    }
}
