//! The only room that knows Node-API: classes and data objects at the boundary. They convert; they
//! decide nothing.
//!
//! The binding is internal to the package and always of its version. Text that has structure
//! (payloads, records, outcomes, errors) crosses as JSON: V8 parses it several times faster than
//! Node-API builds objects, and only `JSON.stringify` behaves exactly like `JSON.stringify`.
//! JavaScript callbacks are called through weak threadsafe functions that never keep the process
//! alive and are never awaited: their results come back as calls of their own.

pub mod add_many;
pub mod error;
pub mod migrations;
pub mod outcome;
pub mod password;
pub mod processor;
pub mod queue;
pub mod runtime;
pub mod settings;
