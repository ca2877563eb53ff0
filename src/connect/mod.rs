//! What comes before a statement can be sent: settings, connections, migrations, and the words for
//! what the server refuses.

mod listener;
mod migration_file;
mod migrations;
mod pool;
mod refusal;
mod settings;
mod statement;

pub use listener::{Attendance, Heard, Listener};
pub use migrations::Migrator;
pub use pool::{AskPassword, Pool};
pub use refusal::refusal;
pub use settings::{Pooler, Settings, Tls};
pub use statement::{Schema, Statement, Value};
