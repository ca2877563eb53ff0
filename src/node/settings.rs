//! The connection settings as they cross the boundary: every field present, `null` for none.

use std::time::Duration;

use napi_derive::napi;

use super::error::{Result, invalid};
use crate::connect::{Pooler, Settings, Tls};

#[napi(object, use_nullable = true, object_to_js = false)]
pub struct ConnectionSettings {
    pub host: String,
    pub port: u32,
    pub user: String,
    pub database: String,
    pub password: Option<String>,
    #[napi(ts_type = "'disable' | 'encrypt' | 'verify-ca' | 'verify-full'")]
    pub tls: String,
    pub ca: Option<String>,
    pub cert: Option<String>,
    pub key: Option<String>,
    pub application_name: Option<String>,
    pub options: Option<String>,
    #[napi(ts_type = "'none' | 'transaction'")]
    pub pooler: String,
    pub statement_timeout_ms: f64,
    pub query_timeout_ms: f64,
    pub connect_timeout_ms: f64,
    pub max: u32,
    pub idle_timeout_ms: f64,
    pub max_lifetime_ms: f64,
}

impl ConnectionSettings {
    /// The settings for work on the tables in this schema.
    pub fn for_schema(self, schema: &str) -> Result<Settings> {
        let tls = match self.tls.as_str() {
            "disable" => Tls::Disable,
            "encrypt" => Tls::Encrypt,
            "verify-ca" => Tls::VerifyCa,
            "verify-full" => Tls::VerifyFull,
            _ => return Err(invalid("tls")),
        };
        let pooler = match self.pooler.as_str() {
            "none" => Pooler::None,
            "transaction" => Pooler::Transaction,
            _ => return Err(invalid("pooler")),
        };
        Ok(Settings {
            host: self.host,
            port: self.port.try_into().map_err(invalid)?,
            user: self.user,
            database: self.database,
            password: self.password,
            tls,
            ca: self.ca,
            cert: self.cert,
            key: self.key,
            application_name: self.application_name,
            options: self.options,
            pooler,
            query_timeout: limit(self.query_timeout_ms),
            statement_timeout: limit(self.statement_timeout_ms),
            connect_timeout: limit(self.connect_timeout_ms),
            max_connections: self.max as usize,
            idle_timeout: limit(self.idle_timeout_ms),
            max_lifetime: limit(self.max_lifetime_ms),
            schema: schema.to_owned(),
        })
    }
}

/// Milliseconds, of which 0 means no limit.
fn limit(ms: f64) -> Option<Duration> {
    // A cast from a float saturates.
    (ms > 0.0).then(|| Duration::from_millis(ms as u64))
}
