//! A background job queue kept in Postgres: the engine behind the npm package of the same name.
//!
//! The rooms. Each may call those rooms below it that `docs/architecture.md` names:
//!
//! - [`node`] is the only room that knows Node-API. It converts and decides nothing.
//! - [`queue`] owns the connections of a queue, its engines, and their shared state.
//! - [`store`] holds every statement that is sent to Postgres, one verb a file.
//! - [`processor`] is the engine: it claims, dispatches, settles and keeps leases. It knows neither
//!   Node-API nor SQL, and reaches both over the traits that it defines.
//! - [`connect`] prepares for statements: settings, connections, migrations.
//! - [`job`] defines a job.

mod backoff;
#[cfg(feature = "database")]
mod begun;
#[cfg(feature = "database")]
pub mod connect;
pub mod error;
pub mod job;
#[cfg(feature = "node")]
pub mod node;
mod parts;
pub mod processor;
#[cfg(feature = "database")]
pub mod queue;
#[cfg(feature = "database")]
pub mod store;
