//! The engine: it claims jobs, decides how many handlers run, keeps the leases of running jobs and
//! settles the runs that have ended.
//!
//! It knows no Node-API and writes no SQL. The database is a [`Store`], the JavaScript handlers are
//! [`Handlers`], and time is tokio's, so that tests run it over a store in memory with a clock that
//! they move.

mod engine;
mod handle;
mod handlers;
mod heard;
mod held;
mod pace;
mod recovery;
mod shared;
mod store;
mod tally;
#[cfg(test)]
pub(crate) mod tests;
mod unknown;
mod usual;

pub use engine::{Engine, Mode, OfType, Settings};
pub use handle::Handle;
pub use handlers::Handlers;
pub use shared::Shared;
pub use store::{
    Counted, Exchanged, Extended, Fate, Recovered, Settled, SettledEach, Store, Wanted,
};
pub use tally::{DidNotFit, Tally};
