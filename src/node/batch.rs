//! A batch of jobs, which crosses in parts: they are on their way to Postgres while JavaScript makes the
//! next ones.

use std::sync::Arc;

use napi::bindgen_prelude::{Env, PromiseRaw, spawn};
use napi_derive::napi;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::error::{Result, invalid, to_json, to_napi};
use super::queue::{NativeQueue, tell};
use crate::error::{Code, Error};
use crate::store::Notice;

#[napi]
pub struct NativeBatch {
    /// `None` when there are no more.
    parts: Option<UnboundedSender<String>>,
    /// JSON of the ids.
    added: Option<oneshot::Receiver<std::result::Result<String, Error>>>,
}

#[napi]
impl NativeBatch {
    pub(super) fn new(queue: &NativeQueue, count: u32) -> Self {
        let (parts, coming) = unbounded_channel();
        let (answer, added) = oneshot::channel();
        let batch = queue.table.batch(count as usize, coming);
        let engines = Arc::clone(&queue.engines);
        spawn(async move {
            let result = batch.add().await.map(|added| {
                // Those of this process need not wait for the database to tell them.
                if added.any_due {
                    tell(&engines, Notice::Ready);
                }
                to_json(&added.ids)
            });
            // Whoever asked may be gone with its environment.
            let _ = answer.send(result);
        });
        Self {
            parts: Some(parts),
            added: Some(added),
        }
    }

    /// Adds the next jobs (JSON). What is wrong with them is told by `finish`.
    #[napi]
    pub fn add(&self, part: String) {
        if let Some(parts) = &self.parts {
            let _ = parts.send(part);
        }
    }

    /// All parts are there; resolves to the ids (JSON).
    #[napi]
    pub fn finish<'env>(&mut self, env: &'env Env) -> Result<PromiseRaw<'env, String>> {
        self.parts = None;
        let added = (self.added.take()).ok_or_else(|| invalid("a batch ends once"))?;
        env.spawn_future(async move {
            let ended = |_| {
                Err(Error::new(
                    Code::Closed,
                    "the job queue ended before it answered",
                ))
            };
            added.await.unwrap_or_else(ended).map_err(to_napi)
        })
    }

    /// There will not be all parts: nothing is added.
    #[napi]
    pub fn abort(&mut self) {
        self.parts = None;
    }
}
