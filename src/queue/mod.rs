//! A queue: its connections, its operations, and the state that its processors share.

mod announcements;
mod engines;
mod enqueuer;
mod notices;
mod processor;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;

use crate::connect::{
    AskPassword, Listener, Pool, Schema, Settings, Statement, Whereabouts, refusal,
};
use crate::error::{Error, Result};
use crate::job::{Added, NewJob};
use crate::processor as engine;
use crate::store::{self, AddMany, AddedMany, CHANNEL, Notice, Operation, Table};
use engines::Engines;
use enqueuer::Enqueuer;
use notices::{hearer, tell};
pub use processor::{Options, Processor};

pub struct Queue {
    pool: Pool,
    schema: Arc<Schema>,
    table: Table,
    enqueuer: Arc<Enqueuer>,
    listener: Arc<Listener>,
    engines: Arc<Engines>,
    /// The knowledge of the table that its workers share, ...
    of_store: Arc<store::Shared>,
    /// ... and the knowledge of each other that its engines share.
    of_engines: Arc<engine::Shared>,
}

impl Queue {
    /// Opens no connection. `ask_password` is called for each connection that is opened later.
    pub fn new(settings: Settings, ask_password: Option<AskPassword>) -> Result<Self> {
        let schema = Arc::new(store::schema(settings.schema.clone()));
        let pool = Pool::new(settings, ask_password)?;
        let engines = Arc::<Engines>::default();
        let hear = hearer(engines.clone(), schema.clone());
        Ok(Self {
            table: Table::new(pool.clone(), schema.clone()),
            enqueuer: Arc::new(Enqueuer::new(pool.clone(), schema.clone())),
            listener: Arc::new(Listener::new(pool.clone(), CHANNEL, hear)),
            pool,
            schema,
            engines,
            of_store: Arc::default(),
            of_engines: Arc::default(),
        })
    }

    /// The statement of an operation, for a client that is not this queue's own.
    pub fn statement(&self, operation: &Operation) -> Statement {
        operation.statement(&self.schema)
    }

    /// The error that Postgres answered to that client, in the words of this package.
    pub fn refusal(&self, sql_state: &str, message: &str) -> Error {
        let whereabouts = Whereabouts {
            schema: self.schema.name(),
            database: None,
        };
        refusal(sql_state, message, whereabouts)
    }

    /// Runs an operation and returns the `result` of each row. Waits for the answer for the `limit`, or for the
    /// `query_timeout` if there is no limit.
    pub async fn run(&self, operation: Operation, limit: Option<Duration>) -> Result<Vec<String>> {
        let notice = operation.notice();
        let results = self.table.run(operation, limit).await?;
        // The engines of this process need not wait for the database to tell them.
        if let Some(notice) = notice {
            tell(&self.engines, notice);
        }
        Ok(results)
    }

    /// Adds jobs, each independently, and returns what has become of them once they are committed: jobs that come at the
    /// same time travel together.
    pub async fn add_each(&self, jobs: Vec<NewJob>) -> Vec<Result<Added>> {
        let any_due = jobs.iter().any(NewJob::is_due);
        let answers = self.enqueuer.add(jobs).await;
        if any_due && answers.iter().any(Result::is_ok) {
            tell(&self.engines, Notice::Ready);
        }
        for id in answers.iter().flatten().filter_map(Added::asked_to_end) {
            tell(&self.engines, Notice::Cancel(id));
        }
        answers
    }

    /// Adds this number of jobs, which come in parts (JSON), all or none, and returns their ids in the order of the
    /// jobs.
    pub fn add_many(
        &self,
        count: usize,
        parts: UnboundedReceiver<String>,
    ) -> impl Future<Output = Result<Vec<i64>>> + use<> {
        let adding = AddMany::new(self.pool.clone(), self.schema.clone(), count, parts);
        let engines = self.engines.clone();
        async move {
            let AddedMany { ids, any_due } = adding.add().await?;
            if any_due {
                tell(&engines, Notice::Ready);
            }
            Ok(ids)
        }
    }

    /// Closes the connections. Statements that are under way end first.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}
