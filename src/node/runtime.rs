//! The thread of the engine.

use napi::bindgen_prelude::create_custom_tokio_runtime;
use napi_derive::module_init;
use tokio::runtime::Builder;

/// One thread is enough for any number of queues: it mostly waits for Postgres, and nothing keeps it busy as
/// long as a lease. With a second thread, most answers would be handed from one thread to the other, which
/// costs more than the work itself.
#[module_init]
fn init() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("pg-bg-job-queue")
        .enable_all()
        .build();
    // If no thread can be created, napi's own attempt will say so.
    if let Ok(runtime) = runtime {
        create_custom_tokio_runtime(runtime);
    }
}
