//! A queue: its connections, and what runs on them.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function, PromiseRaw, within_runtime_if_available};
use napi_derive::napi;
use serde::Serialize;

use super::batch::NativeBatch;
use super::error::{Result, invalid, to_json, to_napi};
use super::password::Passwords;
use super::processor::{NativeProcessor, ProcessorSettings};
use super::settings::ConnectionSettings;
use crate::begun::begun;
use crate::connect::{Heard, Listener, Pool, Schema, Whereabouts, refusal};
use crate::error::Error;
use crate::processor::{Engines, LastPace, Recovery, UsualDurations};
use crate::store::{self, Aside, CHANNEL, LeaseCursor, NewJob, Notice, Operation, Slowness, Table};

/// So much text, in bytes, is sent to Postgres from the thread of JavaScript, which is sooner; more would keep
/// that from its other work.
const FEW: usize = 16 * 1024;

/// SQL and its values, every one of them text.
#[napi(object, use_nullable = true, object_from_js = false)]
pub struct OperationStatement {
    pub text: String,
    pub values: Vec<Option<String>>,
}

#[napi]
pub struct NativeQueue {
    pub(super) pool: Pool,
    pub(super) schema: Arc<Schema>,
    pub(super) table: Table,
    passwords: Passwords,
    pub(super) engines: Arc<Engines>,
    pub(super) listener: Arc<Listener>,
    pub(super) usual: Arc<UsualDurations>,
    pub(super) last_pace: Arc<LastPace>,
    pub(super) recovery: Arc<Recovery>,
    pub(super) lease_cursor: Arc<LeaseCursor>,
    pub(super) aside: Arc<Aside>,
    pub(super) lost_aside: Arc<Aside>,
    pub(super) slowness: Arc<Slowness>,
    pub(super) proven: Arc<AtomicBool>,
}

#[napi]
impl NativeQueue {
    /// Opens no connection. `askPassword`, where the password is a function, is called with the
    /// number of a question, to be answered by `answerPassword`.
    #[napi(constructor)]
    pub fn new(
        settings: ConnectionSettings,
        schema: String,
        ask_password: Option<Function<'_, u32, ()>>,
    ) -> Result<Self> {
        let passwords = Passwords::default();
        let ask = ask_password.map(|ask| passwords.asker(ask)).transpose()?;
        let pool = Pool::new(settings.for_schema(&schema)?, ask).map_err(to_napi)?;
        let schema = Arc::new(store::schema(schema));
        let engines = Arc::<Engines>::default();
        let hear = hearer(engines.clone(), schema.clone());
        Ok(Self {
            table: Table::new(pool.clone(), schema.clone()),
            listener: Arc::new(Listener::new(pool.clone(), CHANNEL, hear)),
            pool,
            schema,
            passwords,
            engines,
            usual: Arc::default(),
            last_pace: Arc::default(),
            recovery: Arc::default(),
            lease_cursor: Arc::default(),
            aside: Arc::default(),
            lost_aside: Arc::default(),
            slowness: Arc::default(),
            proven: Arc::default(),
        })
    }

    /// The statement of an operation (JSON), for a client that is not this queue's own.
    #[napi]
    pub fn statement(&self, operation: String) -> Result<OperationStatement> {
        let operation: Operation = serde_json::from_str(&operation).map_err(invalid)?;
        let (text, values) = operation.statement(&self.schema).with_texts();
        Ok(OperationStatement { text, values })
    }

    /// What such a client was refused, in the words of this package: JSON of an error.
    #[napi]
    pub fn describe_refusal(&self, sql_state: String, message: String) -> String {
        let whereabouts = Whereabouts {
            schema: self.schema.name(),
            database: None,
        };
        to_json(&refusal(&sql_state, &message, whereabouts))
    }

    /// Runs an operation (JSON) on a connection of this queue and resolves to the `result` of each
    /// row. The answer is waited for `limitMs` at the most, where that is not null, and else for the
    /// `query_timeout`.
    #[napi(ts_args_type = "operation: string, limitMs: number | null")]
    pub async fn run(&self, operation: String, limit_ms: Option<u32>) -> Result<Vec<String>> {
        let operation: Operation = serde_json::from_str(&operation).map_err(invalid)?;
        let notice = operation.notice();
        let limit = limit_ms.map(|ms| Duration::from_millis(ms.into()));
        let results = self.table.run(operation, limit).await.map_err(to_napi)?;
        // Those of this process need not wait for the database to tell them.
        if let Some(notice) = notice {
            tell(&self.engines, notice);
        }
        Ok(results)
    }

    /// Adds jobs (JSON), each for itself; resolves to JSON: of each its id, or its error.
    #[napi]
    pub fn add_each<'env>(&self, env: &'env Env, jobs: String) -> Result<PromiseRaw<'env, String>> {
        let (table, engines) = (self.table.clone(), self.engines.clone());
        let few = jobs.len() <= FEW;
        let adding = async move {
            let jobs: Vec<NewJob> = serde_json::from_str(&jobs).map_err(invalid)?;
            let any_due = jobs.iter().any(NewJob::is_due);
            let answers = table.add_each(jobs).await;
            if any_due && answers.iter().any(std::result::Result::is_ok) {
                tell(&engines, Notice::Ready);
            }
            let answers: Vec<_> = answers.into_iter().map(Answer::from).collect();
            Ok(to_json(&answers))
        };
        if few {
            env.spawn_future(within_runtime_if_available(|| begun(adding)))
        } else {
            env.spawn_future(adding)
        }
    }

    /// Begins to add so many jobs, all or none.
    #[napi]
    pub fn add_batch(&self, count: u32) -> NativeBatch {
        NativeBatch::new(self, count)
    }

    #[napi]
    pub fn answer_password(&self, question: u32, password: Option<String>) {
        self.passwords.answer(question, password);
    }

    /// `notify` is called with a JSON text; see `NativeProcessor`.
    #[napi]
    pub fn create_processor(
        &self,
        settings: ProcessorSettings,
        notify: Function<'_, String, ()>,
    ) -> Result<NativeProcessor> {
        NativeProcessor::new(self, settings, notify)
    }

    /// Closes the connections. What is under way ends first.
    #[napi]
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// What became of one job of several.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Added(i64),
    Refused(Error),
}

impl From<std::result::Result<i64, Error>> for Answer {
    fn from(result: std::result::Result<i64, Error>) -> Self {
        match result {
            Ok(id) => Self::Added(id),
            Err(error) => Self::Refused(error),
        }
    }
}

pub(super) fn tell(engines: &Engines, notice: Notice) {
    engines.tell(|engine| match notice {
        Notice::Ready => engine.wake(),
        Notice::Cancel(id) => engine.cancel(id),
    });
}

/// What is done about what is heard from other processes.
fn hearer(engines: Arc<Engines>, schema: Arc<Schema>) -> impl Fn(Heard) + Send + Sync {
    move |heard| match heard {
        Heard::Listening => engines.tell(|engine| {
            engine.wake();
            engine.recheck();
        }),
        Heard::Message(message) => {
            if let Some(notice) = Notice::read(&message, &schema) {
                engines.tell(|engine| match notice {
                    Notice::Ready => engine.heard_ready(),
                    Notice::Cancel(id) => engine.heard_cancel(id),
                });
            }
        }
    }
}
