//! What comes before a statement can be sent: settings, connections, migrations, and the words for
//! what the server refuses.

mod migration_file;
mod migrations;
mod pool;
mod refusal;
mod settings;
mod statement;

pub use migrations::Migrator;
pub use pool::{AskPassword, Pool};
pub use refusal::refusal;
pub use settings::{Settings, Tls};
pub use statement::{Schema, Statement, Value};
