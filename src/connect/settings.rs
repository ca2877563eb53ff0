//! How to reach the server. TypeScript has resolved the configuration as node-postgres would;
//! the settings that arrive here are complete.

use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use super::patience::Limits;
use super::session;
use super::whereabouts::Whereabouts;

/// How much of the server's identity is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    Disable,
    /// Encrypted, with nothing verified.
    Encrypt,
    /// The certificate is signed by a known authority.
    VerifyCa,
    /// The certificate is also for this host.
    VerifyFull,
}

/// The kind of pooler between this process and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooler {
    /// No pooler, or one that keeps a server connection for each client.
    None,
    /// A pooler that hands a server connection on after each transaction. Nothing that belongs to a session can
    /// be relied on: no setting, no prepared statement, and no parsed one either, since another client may run a
    /// statement that this one has parsed. So each statement is one message of the simple query protocol.
    Transaction,
}

#[derive(Clone)]
pub struct Settings {
    /// A host name, an address, or the directory of a Unix socket.
    pub host: String,
    pub port: u16,
    pub user: String,
    pub database: String,
    pub password: Option<String>,
    pub tls: Tls,
    /// PEM.
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
    pub application_name: Option<String>,
    /// Command-line options for the server, as in `PGOPTIONS`.
    pub options: Option<String>,
    pub pooler: Pooler,
    pub statement_timeout: Option<Duration>,
    /// The longest wait for an answer.
    pub query_timeout: Option<Duration>,
    /// The longest wait for a connection, queueing included.
    pub connect_timeout: Option<Duration>,
    pub max_connections: usize,
    pub idle_timeout: Option<Duration>,
    pub max_lifetime: Option<Duration>,
    /// Which schema holds the tables, for messages.
    pub schema: String,
}

impl Settings {
    /// `host:port/database`, for messages.
    pub fn target(&self) -> String {
        format!(
            "{}:{}, database \"{}\"",
            self.host, self.port, self.database
        )
    }

    pub(super) fn whereabouts(&self) -> Whereabouts<'_> {
        Whereabouts {
            schema: &self.schema,
            database: Some(&self.database),
        }
    }

    pub(super) fn connect_options(
        &self,
        password: Option<&str>,
    ) -> Result<PgConnectOptions, sqlx::Error> {
        let tls = match self.tls {
            Tls::Disable => PgSslMode::Disable,
            Tls::Encrypt => PgSslMode::Require,
            Tls::VerifyCa => PgSslMode::VerifyCa,
            Tls::VerifyFull => PgSslMode::VerifyFull,
        };
        // `options` can only be set as they are through a URL, every byte of which is escaped.
        let raw: String = (self.options.iter())
            .flat_map(|options| options.bytes())
            .map(|byte| format!("%{byte:02X}"))
            .collect();
        let query = if raw.is_empty() {
            raw
        } else {
            format!("?options={raw}")
        };
        // The constructor reads the process's environment; every field that it may have set from
        // there is set again from the values that TypeScript resolved.
        let mut options = PgConnectOptions::from_str(&format!("postgresql://localhost{query}"))?
            .port(self.port)
            .username(&self.user)
            .database(&self.database)
            .password(password.unwrap_or_default())
            .ssl_mode(tls)
            .application_name(
                self.application_name
                    .as_deref()
                    .unwrap_or("pg-bg-job-queue"),
            )
            // Poolers refuse this start-up parameter, and no statement here depends on it.
            .extra_float_digits(None)
            .disable_statement_logging();
        options = if self.host.starts_with('/') {
            options.socket(&self.host)
        } else {
            options.host(&self.host)
        };
        options = options.ssl_root_cert_from_pem(self.ca.clone().unwrap_or_default().into_bytes());
        if let (Some(cert), Some(key)) = (&self.cert, &self.key) {
            options = options
                .ssl_client_cert_from_pem(cert)
                .ssl_client_key_from_pem(key);
        }
        Ok(options)
    }

    /// The user's limits for a statement, as far as the configuration has them: a role may have settings of its own.
    pub(super) fn own_limits(&self) -> Limits {
        Limits {
            statement: self.statement_timeout,
            lock: None,
        }
    }

    /// Sent once to each new connection. Answers a row: see [`super::session`].
    pub(super) fn for_session(&self, limits: Limits) -> String {
        let set = self.set("set");
        format!("{set}; {}", session::introduction(limits))
    }

    /// Sent with each statement, where no session belongs to this client.
    pub(super) fn for_transaction(&self, limits: Limits) -> String {
        let set = self.set("set local");
        format!("{set}; {}", limits.assignments("set local"))
    }

    /// The statements are made for "read committed": above that level, a row that another transaction has
    /// changed meanwhile is an error, in place of being passed over.
    ///
    /// Settings of the role that give the same text another meaning are set back.
    ///
    /// The planner settings belong to connections that run this package's statements and nothing
    /// else. Each of these statements is made to be served by one index, at every size of the table;
    /// but a queue's statistics are always wrong (it is empty at one moment and huge at the next),
    /// and a plan that was cached while the table was small would be kept after it has grown.
    fn set(&self, set: &str) -> String {
        let isolation = match self.pooler {
            Pooler::None => "default_transaction_isolation",
            Pooler::Transaction => "transaction_isolation",
        };
        let mut settings = vec![
            format!("{isolation} = 'read committed'"),
            "array_nulls = on".into(),
            "transform_null_equals = off".into(),
            "standard_conforming_strings = on".into(),
            "enable_seqscan = off".into(),
            "enable_bitmapscan = off".into(),
            "enable_hashjoin = off".into(),
            "enable_mergejoin = off".into(),
            "jit = off".into(),
        ];
        if self.pooler == Pooler::None {
            // No value calls for a different plan, and planning takes longer than most claims.
            settings.push("plan_cache_mode = force_generic_plan".into());
        }
        if let (Pooler::None, Some(timeout)) = (self.pooler, self.statement_timeout) {
            settings.push(format!("statement_timeout = {}", timeout.as_millis()));
        }
        let statements: Vec<_> = (settings.iter())
            .map(|setting| format!("{set} {setting}"))
            .collect();
        statements.join("; ")
    }
}
