//! The thread of the engine.

use napi::bindgen_prelude::create_custom_tokio_runtime;
use napi_derive::module_init;
use tokio::runtime::Builder;

/// One thread does for any number of queues: all it does is wait for Postgres, and nothing takes it as
/// long as a lease. With a second one, most of what arrives would be handed from one to the other, which
/// costs more than either does with it.
#[module_init]
fn init() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("pg-bg-job-queue")
        .enable_all()
        .build();
    // Where no thread can be had, napi's own attempt will say so.
    if let Ok(runtime) = runtime {
        create_custom_tokio_runtime(runtime);
    }
}
