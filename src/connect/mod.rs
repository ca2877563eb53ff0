//! The preparation for statements: settings, connections, migrations, and the messages for the server's
//! errors.

mod adoption;
mod copy_text;
mod fetch;
mod listener;
mod migration_file;
mod migrations;
mod patience;
mod places;
mod pool;
mod refusal;
mod send;
mod session;
mod settings;
mod statement;
mod transaction;
mod whereabouts;

pub use copy_text::CopyText;
pub use fetch::Terms;
pub use listener::{Attendance, Heard, Listener};
pub use migrations::Migrator;
pub use patience::{HeldLease, Limits, Patience};
pub use places::Turn;
pub use pool::{AskPassword, Pool};
pub use refusal::{kept_out, passed_over, refusal};
pub use send::{Deferred, Undone};
pub use settings::{Pooler, Settings, Tls};
pub use statement::{Named, Schema, Statement, Value};
pub use transaction::{CopyIn, Transaction};
pub use whereabouts::Whereabouts;
