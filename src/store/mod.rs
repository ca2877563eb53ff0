//! Every statement that is sent to Postgres once the tables exist: one verb a file, its SQL beside
//! the function that gives it its values.
//!
//! There are three kinds. An [`Operation`] is what a user asks for; it can be given its values as text
//! alone and answers rows of one text column named `result`, so that the same statement can run on this
//! queue's own connections and on whatever client the caller's transaction is in. A batch is a transaction
//! that copies many jobs, and [`Worker`] is what the engine does; both run on this queue's own connections
//! only.
//!
//! Somebody else may be allowed to create functions and operators where a statement looks for them: in `public`,
//! everybody was before Postgres 15. What fits the arguments better than Postgres's own is called in place of
//! it, with the rights of whoever runs the statement. So each function is named with its schema,
//! `pg_catalog.now()`, and each operator stands between two types that Postgres has it for, where no other can fit
//! better: varchar is compared as text, an interval is multiplied by a float8, a numeric by a numeric.
//! `__test__/planted-functions.test.ts` watches over that. What is syntax (`coalesce`, `greatest`,
//! `extract`, a cast, an `unnest` of several lists) is Postgres's own in any case.

mod answers;
mod aside;
mod batch;
mod begin;
mod bulk;
mod cancel;
mod careful;
mod claim;
mod cleanup;
mod columns;
mod complete;
mod cursor;
mod each;
mod enqueue;
mod enqueuer;
mod extend;
mod fence;
mod find;
mod history;
mod lane;
mod notify;
mod operation;
mod reclaim;
mod recover;
mod refuse;
mod retry;
mod settle;
mod slowness;
mod table;
#[cfg(test)]
mod tests;
mod touched;
mod unreadable;
mod worker;

pub use aside::Aside;
pub use columns::{NewJob, schema};
pub use notify::{CHANNEL, Notice};
pub use operation::Operation;
pub use recover::LeaseCursor;
pub use slowness::Slowness;
pub use table::Table;
pub use worker::Worker;
