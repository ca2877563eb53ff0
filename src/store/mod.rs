//! Every statement that is sent to Postgres once the tables exist: one verb a file, its SQL beside
//! the function that gives it its values.
//!
//! There are three kinds. An [`Operation`] is what a user asks for; it can be given its values as text
//! alone and answers rows of one text column named `result`, so that the same statement can run on this
//! queue's own connections and on whatever client the caller's transaction is in. A batch is a transaction
//! that copies many jobs, and [`Worker`] is what the engine does; both run on this queue's own connections
//! only.

mod batch;
mod cancel;
mod claim;
mod cleanup;
mod complete;
mod cursor;
mod enqueue;
mod enqueuer;
mod extend;
mod find;
mod history;
mod lane;
mod notify;
mod operation;
mod reclaim;
mod recover;
mod retry;
mod settle;
mod table;
#[cfg(test)]
mod tests;
mod worker;

pub use enqueue::NewJob;
pub use notify::{CHANNEL, Notice};
pub use operation::Operation;
pub use recover::LeaseCursor;
pub use table::Table;
pub use worker::Worker;
