//! The migrations, for the CLI. Reports cross as JSON.

use napi_derive::napi;

use super::error::{Result, to_json, to_napi};
use super::settings::ConnectionSettings;
use crate::connect::{Migrator, Schema};

fn migrator(settings: ConnectionSettings, schema: String) -> Result<Migrator> {
    let settings = settings.for_schema(&schema)?;
    Ok(Migrator::new(settings, Schema::new(schema)))
}

/// Applies the missing migrations. JSON: `{ applied: string[], recognised: string[], renewed: string[] }`.
#[napi]
pub async fn migrate(settings: ConnectionSettings, schema: String) -> Result<String> {
    let report = migrator(settings, schema)?.up().await;
    report.map(|report| to_json(&report)).map_err(to_napi)
}

/// Reverts the last `count` migrations. JSON: `{ reverted: string[] }`.
#[napi]
pub async fn migrate_down(
    settings: ConnectionSettings,
    schema: String,
    count: u32,
) -> Result<String> {
    let report = migrator(settings, schema)?.down(count as usize).await;
    report.map(|report| to_json(&report)).map_err(to_napi)
}

/// JSON: `{ name: string, appliedAt: number | null, unknown: boolean }[]`, times in milliseconds
/// since the Unix epoch.
#[napi]
pub async fn migration_status(settings: ConnectionSettings, schema: String) -> Result<String> {
    let status = migrator(settings, schema)?.status().await;
    status.map(|status| to_json(&status)).map_err(to_napi)
}

/// All migrations as one SQL script.
#[napi]
pub fn migration_sql(schema: String) -> String {
    Migrator::script(&Schema::new(schema))
}
