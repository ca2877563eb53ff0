//! Every statement that is sent to Postgres once the tables exist: one verb a file, its SQL beside
//! the function that gives it its values.
//!
//! An [`Operation`] is a user's request: it can be given its values as text alone and answers rows of one text
//! column named `result`, so that the same statement can run on the queue's own connections, for [`Table`], and on the
//! client of a caller's transaction. All else runs on the queue's own connections only: [`enqueue`] for jobs that were
//! gathered, [`AddMany`], a transaction that copies many jobs, and [`Worker`], the engine's statements.
//!
//! Another role may be allowed to create functions and operators where a statement looks for them: in `public`,
//! every role was before Postgres 15. A function that fits the arguments better than Postgres's own is called in place
//! of it, with the rights of the role that runs the statement. So each function is named with its schema,
//! `pg_catalog.now()`, and each operator stands between two types for which Postgres has it, so that no other can fit
//! better: varchar is compared as text, an interval is multiplied by a float8, a numeric by a numeric.
//! `__test__/planted-functions.test.ts` checks that. Syntax (`coalesce`, `greatest`,
//! `extract`, a cast, an `unnest` of several lists) is Postgres's own in any case.

mod add_many;
mod answers;
mod aside;
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
pub mod enqueue;
mod extend;
mod fence;
mod find;
mod history;
mod key;
mod lane;
mod notify;
mod operation;
mod reclaim;
mod recover;
mod refuse;
mod retry;
mod retry_policy;
mod settle;
mod slowness;
mod table;
#[cfg(test)]
mod tests;
mod touched;
mod unreadable;
mod worker;

pub use add_many::{AddMany, AddedMany};
pub use columns::schema;
pub use notify::{CHANNEL, Notice, announcement};
pub use operation::Operation;
pub use table::Table;
pub use worker::{Shared, Worker};
