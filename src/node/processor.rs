//! A processor: the engine on one side, the handlers on the other.
//!
//! All messages to JavaScript go through one function that takes a JSON text, one of
//!
//! - `{ "kind": "run", "jobs": [...], "sentAt" }`: begin these runs; `sentAt` is in milliseconds since the Unix epoch,
//! - `{ "kind": "abort", "id", "runNo", "error", "failed" }`: this run should end, for the reason that it gives,
//! - `{ "kind": "settledByHandler", "id", "runNo", "committed" }`: how the transaction ended in which this run's
//!   handler has completed its job,
//! - `{ "kind": "error", "error" }`: something failed outside a handler.
//!
//! What handlers do comes back through `settle`, once a turn of the event loop. What keeps the process alive is the
//! promise of `start` or `runInBackground`, never the function.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use napi::Status;
use napi::bindgen_prelude::{Env, Function, PromiseRaw};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::error::{Result, invalid, to_json, to_napi};
use super::outcome::OutcomeMessage;
use crate::error::Error;
use crate::job::{ClaimedJob, Outcome, Run, claimed_columns};
use crate::processor::{Handlers, Mode, OfType};
use crate::queue::{Options, Processor, Queue};

#[napi(object, use_nullable = true, object_to_js = false)]
pub struct ProcessorSettings {
    pub worker_id: String,
    pub batch_size: u32,
    pub concurrency: u32,
    pub poll_interval_ms: u32,
    pub lease_ms: u32,
    pub default_timeout_ms: Option<u32>,
    pub cancel_grace_ms: u32,
    pub job_types: Option<Vec<String>>,
    /// The types that there are handlers for.
    pub handled_types: Vec<HandledType>,
    /// Whether jobs of other types are left to other workers.
    pub leaves_unknown: bool,
    pub remove_on_complete: bool,
}

#[napi(object, use_nullable = true, object_to_js = false)]
pub struct HandledType {
    pub job_type: String,
    pub timeout_ms: Option<u32>,
    /// When a job that has failed is tried again, if the processor says so: JSON.
    pub retry: Option<String>,
}

/// The payloads that one message brings, in bytes; a larger one comes alone.
const MAX_MESSAGE: usize = 16 * 1024 * 1024;

type Notify = ThreadsafeFunction<String, (), String, Status, false, true>;

/// The handlers in JavaScript.
struct JsHandlers {
    notify: Notify,
    handed_over: AtomicU64,
    begun: AtomicU64,
}

#[derive(Serialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum Message<'a> {
    Run {
        jobs: Vec<JobMessage<'a>>,
        sent_at: u64,
    },
    Abort {
        id: i64,
        run_no: i64,
        error: &'a Error,
        failed: bool,
    },
    SettledByHandler {
        id: i64,
        run_no: i64,
        committed: bool,
    },
    Error {
        error: &'a Error,
    },
}

macro_rules! job_message {
    ($($(#[$doc:meta])* $name:ident: $type:ty, $read:ident;)*) => {
        /// The fields have the names of the columns, which handlers see too.
        #[derive(Serialize)]
        struct JobMessage<'a> {
            id: i64,
            #[serde(rename = "runNo")]
            run_no: i64,
            job_type: &'a str,
            /// Postgres's own JSON text, inserted unchanged; `null` if it should ever not be JSON.
            payload: Option<&'a RawValue>,
            $($name: $type,)*
        }

        impl<'a> From<&'a ClaimedJob> for JobMessage<'a> {
            fn from(job: &'a ClaimedJob) -> Self {
                Self {
                    id: job.run.id,
                    run_no: job.run.run_no,
                    job_type: &job.job_type,
                    payload: serde_json::from_str(&job.payload).ok(),
                    $($name: job.$name,)*
                }
            }
        }
    };
}

claimed_columns!(job_message);

impl JsHandlers {
    fn tell(&self, message: &Message<'_>) {
        // A refusal means that the environment is ending, which `gone` will tell.
        self.notify
            .call(to_json(message), ThreadsafeFunctionCallMode::NonBlocking);
    }
}

impl Handlers for JsHandlers {
    fn run(&self, jobs: Vec<ClaimedJob>) {
        self.handed_over
            .fetch_add(jobs.len() as u64, Ordering::Relaxed);
        for jobs in messages_of(&jobs) {
            self.tell(&Message::Run {
                jobs: jobs.iter().map(JobMessage::from).collect(),
                sent_at: since_epoch(),
            });
        }
    }

    fn handed_over(&self) -> u64 {
        self.handed_over.load(Ordering::Relaxed)
    }

    fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    fn abort(&self, run: Run, reason: &Error, failed: bool) {
        self.tell(&Message::Abort {
            id: run.id,
            run_no: run.run_no,
            error: reason,
            failed,
        });
    }

    fn settled_by_handler(&self, run: Run, committed: bool) {
        self.tell(&Message::SettledByHandler {
            id: run.id,
            run_no: run.run_no,
            committed,
        });
    }

    fn report(&self, error: &Error) {
        self.tell(&Message::Error { error });
    }

    fn gone(&self) -> bool {
        self.notify.aborted()
    }
}

/// Splits jobs so that no message is longer than JavaScript's strings can be (some 512 MiB in V8),
/// unless one job is.
fn messages_of(jobs: &[ClaimedJob]) -> impl Iterator<Item = &[ClaimedJob]> {
    let mut bytes = 0;
    jobs.chunk_by(move |job, next| {
        bytes += job.payload.len();
        let fits = bytes + next.payload.len() <= MAX_MESSAGE;
        if !fits {
            bytes = 0;
        }
        fits
    })
}

#[napi]
pub struct NativeProcessor {
    processor: Arc<Processor<JsHandlers>>,
}

#[napi]
impl NativeProcessor {
    pub(super) fn new(
        queue: &Queue,
        settings: ProcessorSettings,
        notify: Function<'_, String, ()>,
    ) -> Result<Self> {
        let notify = notify
            .build_threadsafe_function()
            .weak::<true>()
            .callee_handled::<false>()
            .build()?;
        let handlers = JsHandlers {
            notify,
            handed_over: AtomicU64::new(0),
            begun: AtomicU64::new(0),
        };
        let processor = Processor::new(queue, settings.into(), handlers);
        Ok(Self {
            processor: Arc::new(processor),
        })
    }

    /// Runs one batch; resolves to the number of jobs run. Not to be called while an engine runs.
    #[napi]
    pub fn start<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, f64>> {
        let engine = self.processor.begin(Mode::Batch);
        env.spawn_future(async move { Ok(engine.await.map_err(to_napi)?.started as f64) })
    }

    /// Resolves when the processor was stopped and has ended. Not to be called while an engine runs.
    #[napi]
    pub fn run_in_background<'env>(&self, env: &'env Env) -> Result<PromiseRaw<'env, ()>> {
        let engine = self.processor.begin(Mode::Background);
        env.spawn_future(async move { engine.await.map(drop).map_err(to_napi) })
    }

    /// Runs due jobs until none is left, or until the given time is over, and then takes `lastWordsMs` at the most to
    /// write the outcomes; resolves to JSON:
    /// `{ started, completed, failed, cancelled, released, snoozed, didNotFit, notClaimed }`. Not to be called while an
    /// engine runs.
    #[napi]
    pub fn run_until_empty<'env>(
        &self,
        env: &'env Env,
        time_ms: u32,
        last_words_ms: u32,
    ) -> Result<PromiseRaw<'env, String>> {
        let engine = self.processor.begin(Mode::UntilEmpty {
            deadline: Instant::now() + ms(time_ms),
            last_words: ms(last_words_ms),
        });
        env.spawn_future(async move { Ok(to_json(&engine.await.map_err(to_napi)?)) })
    }

    /// The next runs that were handed over have begun, or never will.
    #[napi]
    pub fn begun(&self, count: u32) {
        let begun = &self.processor.handlers().begun;
        begun.fetch_add(count.into(), Ordering::Relaxed);
    }

    /// This run has begun only now: the event loop was blocked.
    #[napi]
    pub fn begun_late(&self, id: i64, run_no: i64) {
        self.processor.begun_late(Run { id, run_no });
    }

    /// Takes the outcomes of runs, as JSON:
    /// `{ id, runNo, error?, pendingReason?, retry?, snooze?, cancelled?, notBegun? }[]`. `error` is the entry for
    /// `error_history`; `retry` says when the job is tried again, and `snooze` until when its handler has put it off;
    /// `cancelled` says that the run was told that its job is to be cancelled before it ended, and `notBegun` that the
    /// handler was not called, since the run was told to end before.
    #[napi]
    pub fn settle(&self, outcomes: String) -> Result<()> {
        let outcomes: Vec<OutcomeMessage<'_>> = serde_json::from_str(&outcomes).map_err(invalid)?;
        self.processor
            .settle(outcomes.into_iter().map(Outcome::from).collect());
        Ok(())
    }

    /// Lets a run go on for this long from now, if its time is limited and ends sooner.
    #[napi]
    pub fn extend_timeout(&self, id: i64, run_no: i64, by_ms: u32) {
        self.processor.extend_timeout(Run { id, run_no }, ms(by_ms));
    }

    /// The handler of this run is about to complete its job in a transaction of its own.
    #[napi]
    pub fn settled_by_handler(&self, id: i64, run_no: i64) {
        self.processor.settled_by_handler(Run { id, run_no });
    }

    #[napi]
    pub fn stop(&self) {
        self.processor.stop();
    }

    /// Stops, waits for the running jobs, and hands back those that still run after `timeout_ms`.
    #[napi]
    pub async fn drain(&self, timeout_ms: u32) {
        self.processor.drain(ms(timeout_ms)).await;
    }
}

impl From<ProcessorSettings> for Options {
    fn from(settings: ProcessorSettings) -> Self {
        Self {
            worker_id: settings.worker_id,
            batch_size: settings.batch_size as usize,
            concurrency: settings.concurrency as usize,
            poll_interval: ms(settings.poll_interval_ms),
            lease: ms(settings.lease_ms),
            default_timeout: settings.default_timeout_ms.map(ms),
            cancel_grace: ms(settings.cancel_grace_ms),
            job_types: settings.job_types,
            handled_types: settings.handled_types.into_iter().map(of_type).collect(),
            leaves_unknown: settings.leaves_unknown,
            remove_on_complete: settings.remove_on_complete,
        }
    }
}

fn since_epoch() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |now| now.as_millis().try_into().unwrap_or(u64::MAX))
}

fn of_type(handled: HandledType) -> (String, OfType) {
    let of_type = OfType {
        timeout: handled.timeout_ms.map(ms),
        retry: handled.retry.map(Arc::from),
    };
    (handled.job_type, of_type)
}

fn ms(ms: u32) -> Duration {
    Duration::from_millis(ms.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: i64, bytes: usize) -> ClaimedJob {
        ClaimedJob {
            run: Run { id, run_no: 1 },
            job_type: "job".into(),
            payload: "1".repeat(bytes),
            attempts: 1,
            uncounted: false,
            has_dead_letter: false,
            max_attempts: 3,
            priority: 0,
            run_at: None,
            timeout_ms: None,
        }
    }

    #[test]
    fn large_payloads_come_in_messages_of_their_own() {
        let jobs = [
            job(1, 10),
            job(2, MAX_MESSAGE - 10),
            job(3, MAX_MESSAGE + 1),
            job(4, 10),
            job(5, 10),
        ];
        let lengths: Vec<_> = messages_of(&jobs).map(<[_]>::len).collect();
        assert_eq!(lengths, [2, 1, 2]);
    }
}
