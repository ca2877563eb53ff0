//! A background job queue kept in Postgres: the engine behind the npm package of the same name.
//!
//! The rooms, and who may call whom: `node -> processor -> store -> connect`.
//!
//! - [`node`] is the only room that knows Node-API. It converts and decides nothing.
//! - [`processor`] is the engine: it claims, dispatches, settles and keeps leases. It knows neither
//!   Node-API nor SQL, and reaches both over the traits that it defines.
//! - [`store`] holds every statement that is sent to Postgres, one verb a file.
//! - [`connect`] holds what comes before a statement can be sent: settings, connections, migrations.

mod backoff;
#[cfg(feature = "database")]
mod begun;
#[cfg(feature = "database")]
pub mod connect;
pub mod error;
#[cfg(feature = "node")]
pub mod node;
mod parts;
pub mod processor;
#[cfg(feature = "database")]
pub mod store;
