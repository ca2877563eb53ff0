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

impl TryFrom<ConnectionSettings> for Settings {
    type Error = napi::Error;

    fn try_from(from: ConnectionSettings) -> Result<Self> {
        let tls = match from.tls.as_str() {
            "disable" => Tls::Disable,
            "encrypt" => Tls::Encrypt,
            "verify-ca" => Tls::VerifyCa,
            "verify-full" => Tls::VerifyFull,
            _ => return Err(invalid("tls")),
        };
        let pooler = match from.pooler.as_str() {
            "none" => Pooler::None,
            "transaction" => Pooler::Transaction,
            _ => return Err(invalid("pooler")),
        };
        Ok(Self {
            host: from.host,
            port: from.port.try_into().map_err(invalid)?,
            user: from.user,
            database: from.database,
            password: from.password,
            tls,
            ca: from.ca,
            cert: from.cert,
            key: from.key,
            application_name: from.application_name,
            options: from.options,
            pooler,
            query_timeout: limit(from.query_timeout_ms),
            statement_timeout: limit(from.statement_timeout_ms),
            connect_timeout: limit(from.connect_timeout_ms),
            max_connections: from.max as usize,
            idle_timeout: limit(from.idle_timeout_ms),
            max_lifetime: limit(from.max_lifetime_ms),
        })
    }
}

/// Milliseconds, of which 0 means no limit.
fn limit(ms: f64) -> Option<Duration> {
    // A cast from a float saturates.
    (ms > 0.0).then(|| Duration::from_millis(ms as u64))
}
