//! The threads of the engine.

use napi::bindgen_prelude::create_custom_tokio_runtime;
use napi_derive::module_init;
use tokio::runtime::Builder;

/// Two threads do for any number of queues: all they do is wait for Postgres. One alone could be held
/// up by a TLS handshake while a lease wants extending.
#[module_init]
fn init() {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("pg-bg-job-queue")
        .enable_all()
        .build();
    // Where no thread can be had, napi's own attempt will say so.
    if let Ok(runtime) = runtime {
        create_custom_tokio_runtime(runtime);
    }
}
