//! Many jobs that are added together cross in parts: the first are on their way to Postgres while JavaScript makes the
//! next ones.

use napi::bindgen_prelude::{Env, PromiseRaw, spawn};
use napi_derive::napi;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::error::{Result, invalid, to_json, to_napi};
use crate::error::{Code, Error};
use crate::queue::Queue;

#[napi]
pub struct NativeAddMany {
    /// `None` when there are no more.
    parts: Option<UnboundedSender<String>>,
    added: Option<oneshot::Receiver<std::result::Result<Vec<i64>, Error>>>,
}

#[napi]
impl NativeAddMany {
    pub(super) fn new(queue: &Queue, count: u32) -> Self {
        let (parts, coming) = unbounded_channel();
        let (answer, added) = oneshot::channel();
        let adding = queue.add_many(count as usize, coming);
        spawn(async move {
            // The caller may be gone with its environment.
            let _ = answer.send(adding.await);
        });
        Self {
            parts: Some(parts),
            added: Some(added),
        }
    }

    /// Adds the next jobs (JSON). `finish` reports their errors.
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
        let added = (self.added.take()).ok_or_else(|| invalid("finish was called twice"))?;
        env.spawn_future(async move {
            let ended = |_| {
                Err(Error::new(
                    Code::Closed,
                    "the job queue ended before it answered: the jobs may have been added",
                ))
            };
            let ids = added.await.unwrap_or_else(ended).map_err(to_napi)?;
            Ok(to_json(&ids))
        })
    }

    /// Some parts will not come: no job is added.
    #[napi]
    pub fn abort(&mut self) {
        self.parts = None;
    }
}
