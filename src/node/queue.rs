//! A queue: its connections, and the work on them.

use std::sync::Arc;
use std::time::Duration;

use napi::bindgen_prelude::{Env, Function, PromiseRaw, within_runtime_if_available};
use napi_derive::napi;
use serde::Serialize;

use super::add_many::NativeAddMany;
use super::error::{Result, invalid, to_json, to_napi};
use super::password::Passwords;
use super::processor::{NativeProcessor, ProcessorSettings};
use super::settings::ConnectionSettings;
use crate::begun::begun;
use crate::error::Error;
use crate::job::{Added, NewJob};
use crate::queue::Queue;

/// Up to this much text, in bytes, is sent to Postgres from JavaScript's thread, which is sooner; more text would
/// keep that thread from its other work.
const FEW: usize = 16 * 1024;

/// SQL and its values, every one of them text.
#[napi(object, use_nullable = true, object_from_js = false)]
pub struct OperationStatement {
    pub text: String,
    pub values: Vec<Option<String>>,
}

#[napi]
pub struct NativeQueue {
    queue: Arc<Queue>,
    passwords: Passwords,
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
        let queue = Queue::new(settings.for_schema(&schema)?, ask).map_err(to_napi)?;
        Ok(Self {
            queue: Arc::new(queue),
            passwords,
        })
    }

    /// The statement of an operation (JSON), for a client that is not this queue's own.
    #[napi]
    pub fn statement(&self, operation: String) -> Result<OperationStatement> {
        let operation = serde_json::from_str(&operation).map_err(invalid)?;
        let (text, values) = self.queue.statement(&operation).with_texts();
        Ok(OperationStatement { text, values })
    }

    /// The error that Postgres answered to that client, in the words of this package: JSON of an error.
    #[napi]
    pub fn describe_refusal(&self, sql_state: String, message: String) -> String {
        to_json(&self.queue.refusal(&sql_state, &message))
    }

    /// Runs an operation (JSON) on a connection of this queue and resolves to the `result` of each
    /// row. Waits for the answer for `limitMs` at the most, or for the `query_timeout` if that is
    /// null.
    #[napi(ts_args_type = "operation: string, limitMs: number | null")]
    pub async fn run(&self, operation: String, limit_ms: Option<u32>) -> Result<Vec<String>> {
        let operation = serde_json::from_str(&operation).map_err(invalid)?;
        let limit = limit_ms.map(|ms| Duration::from_millis(ms.into()));
        self.queue.run(operation, limit).await.map_err(to_napi)
    }

    /// Adds jobs (JSON), each for itself; resolves to JSON: of each its id, its
    /// `Decision` if it has a key, or its error.
    #[napi]
    pub fn add_each<'env>(&self, env: &'env Env, jobs: String) -> Result<PromiseRaw<'env, String>> {
        let few = jobs.len() <= FEW;
        let queue = self.queue.clone();
        let adding = async move {
            let jobs: Vec<NewJob> = serde_json::from_str(&jobs).map_err(invalid)?;
            let answers = queue.add_each(jobs).await;
            let answers: Vec<_> = answers.into_iter().map(Answer::from).collect();
            Ok(to_json(&answers))
        };
        if few {
            env.spawn_future(within_runtime_if_available(|| begun(adding)))
        } else {
            env.spawn_future(adding)
        }
    }

    /// Begins to add this number of jobs, all or none.
    #[napi]
    pub fn add_many(&self, count: u32) -> NativeAddMany {
        NativeAddMany::new(&self.queue, count)
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
        NativeProcessor::new(&self.queue, settings, notify)
    }

    /// Closes the connections. Statements that are under way end first.
    #[napi]
    pub async fn close(&self) {
        self.queue.close().await;
    }
}

/// The result for one job of several.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer {
    Added(Added),
    Refused(Error),
}

impl From<std::result::Result<Added, Error>> for Answer {
    fn from(result: std::result::Result<Added, Error>) -> Self {
        match result {
            Ok(added) => Self::Added(added),
            Err(error) => Self::Refused(error),
        }
    }
}
