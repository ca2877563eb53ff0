//! A queue: its connections, and what runs on them.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use napi::bindgen_prelude::Function;
use napi_derive::napi;

use super::error::{Result, invalid, to_napi};
use super::password::Passwords;
use super::processor::{NativeProcessor, ProcessorSettings, Running};
use super::settings::ConnectionSettings;
use crate::connect::{Pool, Schema};
use crate::store::{Operation, Table};

#[napi]
pub struct NativeQueue {
    pool: Pool,
    schema: Arc<Schema>,
    table: Table,
    passwords: Passwords,
    /// The processors made here, to be woken when jobs become due.
    processors: Arc<Mutex<Vec<Weak<Running>>>>,
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
        let pool = Pool::new(settings.try_into()?, ask).map_err(to_napi)?;
        let schema = Arc::new(Schema::new(schema));
        Ok(Self {
            table: Table::new(pool.clone(), schema.clone()),
            pool,
            schema,
            passwords,
            processors: Arc::default(),
        })
    }

    /// Runs an operation (JSON) on a connection of this queue and resolves to the `result` of each
    /// row.
    #[napi]
    pub async fn run(&self, operation: String) -> Result<Vec<String>> {
        let operation: Operation = serde_json::from_str(&operation).map_err(invalid)?;
        let makes_ready = operation.makes_ready();
        let results = self.table.run(operation).await.map_err(to_napi)?;
        if makes_ready {
            self.wake_processors();
        }
        Ok(results)
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
        let processor =
            NativeProcessor::new(self.pool.clone(), self.schema.clone(), settings, notify)?;
        let mut processors = self.lock_processors();
        processors.retain(|processor| processor.strong_count() > 0);
        processors.push(Arc::downgrade(&processor.running));
        Ok(processor)
    }

    /// Closes the connections. What is under way ends first.
    #[napi]
    pub async fn close(&self) {
        self.pool.close().await;
    }

    fn wake_processors(&self) {
        for processor in self.lock_processors().iter().filter_map(Weak::upgrade) {
            processor.wake();
        }
    }

    fn lock_processors(&self) -> std::sync::MutexGuard<'_, Vec<Weak<Running>>> {
        self.processors
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
