//! A processor of a queue: it has an engine while that runs.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::Queue;
use super::engines::Running;
use crate::connect::{Listener, Patience, Pool};
use crate::error::Result;
use crate::job::{Outcome, Run};
use crate::processor::{Engine, Handle, Handlers, Mode, OfType, Settings, Tally};
use crate::store::Worker;

/// The user's options for a processor.
pub struct Options {
    /// Stored in `locked_by`.
    pub worker_id: String,
    pub batch_size: usize,
    pub concurrency: usize,
    pub poll_interval: Duration,
    pub lease: Duration,
    pub default_timeout: Option<Duration>,
    pub cancel_grace: Duration,
    /// The types of jobs that it takes; `None` means all.
    pub job_types: Option<Vec<String>>,
    /// The types that there are handlers for, and what is said for all jobs of each.
    pub handled_types: HashMap<String, OfType>,
    /// Whether jobs without a handler are left to other workers.
    pub leaves_unknown: bool,
    pub remove_on_complete: bool,
}

/// A batch that takes longer hears of cancelled jobs.
const LONG_BATCH: Duration = Duration::from_millis(500);

pub struct Processor<H> {
    pool: Pool,
    worker: Worker,
    handlers: Arc<H>,
    settings: Settings,
    running: Arc<Running>,
    listener: Arc<Listener>,
}

impl<H: Handlers> Processor<H> {
    pub fn new(queue: &Queue, options: Options, handlers: H) -> Self {
        let pool = queue.pool.clone();
        let running = Arc::default();
        queue.engines.add(&running);
        let of_types = options.handled_types;
        let all = || of_types.keys().cloned().collect();
        let mut taken_types: Vec<_> = options.job_types.clone().unwrap_or_else(all);
        taken_types.sort();
        let settings = Settings {
            batch_size: options.batch_size,
            concurrency: options.concurrency,
            poll_interval: options.poll_interval,
            lease: options.lease,
            default_timeout: options.default_timeout,
            of_types,
            cancel_grace: options.cancel_grace,
            taken_types,
            leaves_unknown: options.leaves_unknown && options.job_types.is_none(),
            shared: queue.of_engines.clone(),
            exchanges: pool.max_connections().min(2),
            answer_within: Patience::with_lease(options.lease).answer(),
        };
        let worker = Worker {
            pool: pool.clone(),
            schema: queue.schema.clone(),
            id: options.worker_id,
            job_types: options.job_types,
            remove_on_complete: options.remove_on_complete,
            lease: options.lease,
            cursor: Arc::default(),
            shared: queue.of_store.clone(),
            thorough: true,
            time: None,
        };
        Self {
            pool,
            worker,
            handlers: Arc::new(handlers),
            settings,
            running,
            listener: queue.listener.clone(),
        }
    }

    /// Begins an engine, which can be stopped from the moment that this returns. Not to be called while one runs.
    pub fn begin(&self, mode: Mode) -> impl Future<Output = Result<Tally>> + use<H> {
        let worker = Worker {
            thorough: mode != Mode::Background,
            time: match mode {
                Mode::UntilEmpty { deadline, .. } => Some(deadline - Instant::now()),
                Mode::Batch | Mode::Background => None,
            },
            ..self.worker.clone()
        };
        let (engine, handle) = Engine::new(
            Arc::new(worker),
            self.handlers.clone(),
            self.settings.clone(),
            mode,
        );
        let running = self.running.clone();
        running.set(Some(handle));
        let listener = self.listener.clone();
        let lease = self.pool.leases().hold(self.settings.lease);
        async move {
            let _lease = lease;
            let ran = tokio::select! {
                ran = engine.run() => ran,
                never = listen(&listener, mode) => match never {},
            };
            running.set(None);
            ran
        }
    }

    /// How runs ended.
    pub fn settle(&self, outcomes: Vec<Outcome>) {
        self.tell(|engine| engine.ended(outcomes));
    }

    /// Lets a run go on for this time from now, where its time is limited and ends sooner.
    pub fn extend_timeout(&self, run: Run, by: Duration) {
        self.tell(|engine| engine.extend_timeout(run, by));
    }

    /// This run has begun only now: the handlers' thread was busy.
    pub fn begun_late(&self, run: Run) {
        self.tell(|engine| engine.begun_late(run));
    }

    /// The handler of this run is about to complete its job in a transaction of its own.
    pub fn settled_by_handler(&self, run: Run) {
        self.tell(|engine| engine.settled_by_handler(run));
    }

    pub fn stop(&self) {
        self.tell(Handle::stop);
    }

    /// Stops, waits for the running jobs, and hands back those that still run after the `limit`.
    pub async fn drain(&self, limit: Duration) {
        let Some(mut handle) = self.running.handle() else {
            return;
        };
        handle.stop();
        if timeout(limit, handle.finished()).await.is_err() {
            handle.hand_back();
            handle.finished().await;
        }
    }

    pub fn handlers(&self) -> &H {
        &self.handlers
    }

    fn tell(&self, what: impl FnOnce(&Handle)) {
        if let Some(handle) = self.running.handle() {
            what(&handle);
        }
    }
}

/// Hears of due jobs and of cancelled ones, for as long as this is awaited. A batch that ends at once, as
/// most do, is not worth a connection.
async fn listen(listener: &Arc<Listener>, mode: Mode) -> Infallible {
    if mode != Mode::Background {
        tokio::time::sleep(LONG_BATCH).await;
    }
    let _attendance = listener.attend();
    std::future::pending().await
}
