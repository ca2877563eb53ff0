//! Applies and reverts the files in `migrations/`, which are embedded here.
//!
//! The files are in the format that node-pg-migrate reads, so that its users can run them with it;
//! migrations that it has applied are recognised from its table `pgmigrations`. Statements are sent over the
//! simple protocol, with quoted literals: they work behind every pooler. As in every statement, no
//! function that somebody created in the schema is called in place of Postgres's own: see [`crate::store`].

use serde::Serialize;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Connection, Executor, Row};

use super::adoption::recognise;
use super::migration_file::sections;
use super::refusal::{connect_failed, statement_failed};
use super::settings::Settings;
use super::statement::{Schema, block, identifier, literal};
use crate::error::{Code, Error, Result};

struct Migration {
    name: &'static str,
    file: &'static str,
}

/// In the order in which they are applied: that of their names. `build.rs` lists the files.
const MIGRATIONS: &[Migration] = include!(concat!(env!("OUT_DIR"), "/migrations.rs"));

/// The migration that makes a function, whose text names its schema.
const ADD_JOB: &str = "1795392000000_add_job";

/// Where applied migrations are recorded, in the schema of the queue.
const RECORD: &str = "job_queue_migrations";
/// Where node-pg-migrate records them, by default.
const NODE_PG_MIGRATE_RECORD: &str = "pgmigrations";

impl Migration {
    fn sections(&self) -> (&'static str, &'static str) {
        sections(self.file)
    }

    fn is_among(&self, records: &[Record]) -> bool {
        records.iter().any(|record| record.name == self.name)
    }

    /// Runs one of the sections.
    async fn run(
        &self,
        connection: &mut PgConnection,
        section: &str,
        settings: &Settings,
    ) -> Result<()> {
        let Err(error) = run_as_told(connection, section, settings).await else {
            return Ok(());
        };
        let message = format!(
            "the migration {} failed and was undone: {}",
            self.name, error.message
        );
        Err(Error {
            code: Code::DatabaseError,
            message,
            cause: Some(error.message),
            ..error
        })
    }
}

struct Record {
    name: String,
    /// Milliseconds since the Unix epoch.
    applied_at: f64,
}

impl Record {
    /// Whether a newer version of this package must have written it.
    fn is_unknown(&self) -> bool {
        MIGRATIONS.iter().all(|known| known.name != self.name)
    }
}

#[derive(Debug, Default, Serialize)]
pub struct Migrated {
    pub applied: Vec<String>,
    /// Applied earlier, by node-pg-migrate.
    pub recognised: Vec<String>,
    /// Applied earlier, and applied again, because the schema was renamed since, or another version of this package
    /// had applied it.
    pub renewed: Vec<String>,
    pub reverted: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationStatus {
    pub name: String,
    /// Milliseconds since the Unix epoch.
    pub applied_at: Option<f64>,
    /// Applied by a newer version of this package.
    pub unknown: bool,
}

/// Brings the tables of one schema to the state that this version needs, or back.
pub struct Migrator {
    settings: Settings,
    schema: Schema,
}

impl Migrator {
    pub fn new(settings: Settings, schema: Schema) -> Self {
        Self { settings, schema }
    }

    /// Applies the missing migrations, all in one transaction. Several migrators at once wait for each other, and
    /// the later ones find nothing left to do.
    pub async fn up(&self) -> Result<Migrated> {
        let mut connection = self.connect().await?;
        let mut transaction = self.begin(&mut connection).await?;
        let mut report = Migrated::default();
        {
            let connection = &mut *transaction;
            self.create_record(connection).await?;
            let recorded = self.recorded(connection).await?;
            refuse_newer(&recorded)?;
            let missing: Vec<_> = (MIGRATIONS.iter())
                .filter(|migration| !migration.is_among(&recorded))
                .collect();
            if !missing.is_empty() {
                run_as_told(connection, &recognise(&self.schema), &self.settings).await?;
            }
            let elsewhere = self.recorded_by_node_pg_migrate(connection).await?;
            for migration in missing {
                if migration.is_among(&elsewhere) {
                    report.recognised.push(migration.name.to_owned());
                } else {
                    migration
                        .run(connection, migration.sections().0, &self.settings)
                        .await?;
                    report.applied.push(migration.name.to_owned());
                }
                self.run(connection, &record(&self.schema, migration))
                    .await?;
            }
            for migration in MIGRATIONS {
                if migration.name == ADD_JOB && !self.is_current(connection, migration).await? {
                    migration
                        .run(connection, migration.sections().0, &self.settings)
                        .await?;
                    report.renewed.push(migration.name.to_owned());
                }
            }
        }
        transaction
            .commit()
            .await
            .map_err(|error| self.failed(error))?;
        close(connection).await;
        Ok(report)
    }

    /// Reverts the last `count` applied migrations, newest first, all in one transaction.
    pub async fn down(&self, count: usize) -> Result<Migrated> {
        let mut connection = self.connect().await?;
        let mut transaction = self.begin(&mut connection).await?;
        let mut report = Migrated::default();
        {
            let connection = &mut *transaction;
            refuse_newer(&self.recorded(connection).await?)?;
            let applied = self.applied(connection).await?;
            let is_applied = |migration: &&Migration| applied.contains(&migration.name.to_owned());
            for migration in MIGRATIONS.iter().rev().filter(is_applied).take(count) {
                migration
                    .run(connection, migration.sections().1, &self.settings)
                    .await?;
                self.forget(connection, migration).await?;
                report.reverted.push(migration.name.to_owned());
            }
        }
        transaction
            .commit()
            .await
            .map_err(|error| self.failed(error))?;
        close(connection).await;
        Ok(report)
    }

    pub async fn status(&self) -> Result<Vec<MigrationStatus>> {
        let mut connection = self.connect().await?;
        let recorded = self.recorded(&mut connection).await?;
        let elsewhere = self.recorded_by_node_pg_migrate(&mut connection).await?;
        close(connection).await;
        let ours = MIGRATIONS.iter().map(|migration| {
            let mut records = recorded.iter().chain(&elsewhere);
            let record = records.find(|record| record.name == migration.name);
            MigrationStatus {
                name: migration.name.to_owned(),
                applied_at: record.map(|record| record.applied_at),
                unknown: false,
            }
        });
        let unknown = recorded.iter().filter(|record| record.is_unknown());
        let unknown = unknown.map(|record| MigrationStatus {
            name: record.name.clone(),
            applied_at: Some(record.applied_at),
            unknown: true,
        });
        Ok(ours.chain(unknown).collect())
    }

    /// All migrations as SQL for `psql`, for users who run no tools against their database.
    pub fn script(schema: &Schema) -> String {
        let mut sql = format!(
            "begin;\n{schema}{path};\n{table};\n{recognise};\n\n",
            schema = create_schema(schema),
            path = search_path(schema),
            table = record_table(schema),
            recognise = recognise(schema),
        );
        for migration in MIGRATIONS {
            sql += &format!(
                "-- {name}\n{up}\n\n{record};\n\n",
                name = migration.name,
                up = migration.sections().0,
                record = record(schema, migration),
            );
        }
        sql + "commit;\n"
    }

    async fn run(&self, connection: &mut PgConnection, sql: &str) -> Result<()> {
        self.fetch(connection, sql).await.map(drop)
    }

    async fn fetch(&self, connection: &mut PgConnection, sql: &str) -> Result<Vec<PgRow>> {
        connection
            .fetch_all(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())))
            .await
            .map_err(|error| self.failed(error))
    }

    fn failed(&self, error: sqlx::Error) -> Error {
        statement_failed(error, &self.settings)
    }

    async fn connect(&self) -> Result<PgConnection> {
        let password = self.settings.password.as_deref();
        let failed = |error| connect_failed(error, &self.settings);
        let options = self.settings.connect_options(password).map_err(failed)?;
        let connecting = PgConnection::connect_with(&options);
        let connected = match self.settings.connect_timeout {
            Some(limit) => tokio::time::timeout(limit, connecting)
                .await
                .unwrap_or_else(|elapsed| Err(sqlx::Error::Io(elapsed.into()))),
            None => connecting.await,
        };
        connected.map_err(failed)
    }

    /// Begins a transaction that no other migrator of this schema runs beside. The lock ends with
    /// the transaction, whether that commits or not.
    async fn begin<'c>(
        &self,
        connection: &'c mut PgConnection,
    ) -> Result<sqlx::Transaction<'c, sqlx::Postgres>> {
        // Set here, since the default may be another level: each statement has to see the changes that another migrator
        // made before this one got the lock.
        let begun = connection.begin_with("begin isolation level read committed");
        let mut transaction = begun.await.map_err(|error| self.failed(error))?;
        let lock = format!(
            "select pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended({}, 0))",
            literal(&format!("pg-bg-job-queue {}", self.schema.name()))
        );
        self.run(&mut transaction, &lock).await?;
        // A session that waits for a table's lock makes all later ones wait behind it: rather fail than stop
        // the application for longer.
        self.run(&mut transaction, "set local lock_timeout = '60s'")
            .await?;
        Ok(transaction)
    }

    async fn create_record(&self, connection: &mut PgConnection) -> Result<()> {
        self.run(connection, &create_schema(&self.schema)).await?;
        self.run(connection, &search_path(&self.schema)).await?;
        self.run(connection, &record_table(&self.schema)).await
    }

    /// Whether the schema's functions are those that the migration makes. Their texts name the schema, so that the
    /// caller's `search_path` does not matter: after the schema was renamed, the texts differ.
    async fn is_current(
        &self,
        connection: &mut PgConnection,
        migration: &Migration,
    ) -> Result<bool> {
        let made = migration.file.split("$function$").skip(1).step_by(2);
        let texts = made.map(|text| {
            format!(
                "pg_catalog.format({}, {}::text)",
                literal(text),
                literal(self.schema.name())
            )
        });
        let texts: Vec<_> = texts.collect();
        let sql = format!(
            "select from pg_catalog.pg_proc function
            where function.pronamespace = pg_catalog.to_regnamespace({})::oid
                and function.proname::text in ('add_job', 'job_queue_add')
                and function.prosrc in ({})",
            literal(&identifier(self.schema.name())),
            texts.join(", ")
        );
        Ok(self.fetch(connection, &sql).await?.len() == texts.len())
    }

    /// The migrations that this package has recorded as applied.
    async fn recorded(&self, connection: &mut PgConnection) -> Result<Vec<Record>> {
        self.read_records(connection, RECORD, "applied_at").await
    }

    async fn recorded_by_node_pg_migrate(
        &self,
        connection: &mut PgConnection,
    ) -> Result<Vec<Record>> {
        self.read_records(connection, NODE_PG_MIGRATE_RECORD, "run_on")
            .await
    }

    async fn read_records(
        &self,
        connection: &mut PgConnection,
        table: &str,
        time: &str,
    ) -> Result<Vec<Record>> {
        if !self.exists(connection, table).await? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "select name::text, (extract(epoch from {time}) * 1000::numeric)::float8 as applied_at \
             from {table} order by name",
            table = self.schema.qualified(table)
        );
        let read = |row: &PgRow| -> std::result::Result<_, sqlx::Error> {
            Ok(Record {
                name: row.try_get("name")?,
                applied_at: row.try_get("applied_at")?,
            })
        };
        let rows = self.fetch(connection, &sql).await?;
        let records: std::result::Result<_, _> = rows.iter().map(read).collect();
        records.map_err(|error| self.failed(error))
    }

    /// The migrations that were applied, by this package or by node-pg-migrate.
    async fn applied(&self, connection: &mut PgConnection) -> Result<Vec<String>> {
        let mut records = self.recorded(connection).await?;
        records.extend(self.recorded_by_node_pg_migrate(connection).await?);
        self.run(connection, &search_path(&self.schema)).await?;
        Ok(records.into_iter().map(|record| record.name).collect())
    }

    /// Removes the records of a migration, and the table of records with the last of them.
    async fn forget(&self, connection: &mut PgConnection, migration: &Migration) -> Result<()> {
        for table in [RECORD, NODE_PG_MIGRATE_RECORD] {
            if self.exists(connection, table).await? {
                let table = self.schema.qualified(table);
                let name = literal(migration.name);
                self.run(
                    connection,
                    &format!("delete from {table} where name::text = {name}"),
                )
                .await?;
            }
        }
        if self.recorded(connection).await?.is_empty() {
            let table = self.schema.qualified(RECORD);
            self.run(connection, &format!("drop table if exists {table}"))
                .await?;
        }
        Ok(())
    }

    async fn exists(&self, connection: &mut PgConnection, table: &str) -> Result<bool> {
        let sql = format!(
            "select from pg_catalog.pg_tables where schemaname = {} and tablename = {}",
            literal(self.schema.name()),
            literal(table)
        );
        Ok(!self.fetch(connection, &sql).await?.is_empty())
    }
}

fn create_schema(schema: &Schema) -> String {
    match schema.name() {
        "public" => String::new(),
        // `if not exists` asks for the right to create schemas even where the schema exists.
        name => {
            let created = block(&format!(
                "begin
  if pg_catalog.to_regnamespace({}) is null then
    create schema {};
  end if;
end",
                literal(&identifier(name)),
                identifier(name)
            ));
            format!("{created};\n")
        }
    }
}

fn search_path(schema: &Schema) -> String {
    format!("set local search_path to {}", identifier(schema.name()))
}

/// Only its owner may write to it, even against grants: where each new table is open to all roles by default, as in
/// Supabase's `public`, another role could make every migration fail.
fn record_table(schema: &Schema) -> String {
    let table = schema.qualified(RECORD);
    block(&format!(
        "begin
  if pg_catalog.to_regclass({}) is null then
    create table {table} (
      name text primary key, applied_at timestamptz not null default pg_catalog.now()
    );
    alter table {table} enable row level security;
    create policy readable on {table} for select using (true);
  end if;
end",
        literal(&table)
    ))
}

fn record(schema: &Schema, migration: &Migration) -> String {
    format!(
        "insert into {} (name) values ({}) on conflict do nothing",
        schema.qualified(RECORD),
        literal(migration.name)
    )
}

fn refuse_newer(recorded: &[Record]) -> Result<()> {
    match recorded.iter().find(|record| record.is_unknown()) {
        None => Ok(()),
        Some(newer) => Err(Error::new(
            Code::NotMigrated,
            format!(
                "a newer version of pg-bg-job-queue has migrated this database ({}): update the package",
                newer.name
            ),
        )),
    }
}

/// Runs SQL, and reports the server's own message if it fails: a missing table means something else here than in a
/// statement of the queue's, and no job is quoted.
async fn run_as_told(connection: &mut PgConnection, sql: &str, settings: &Settings) -> Result<()> {
    let sent = connection.execute(sqlx::raw_sql(AssertSqlSafe(sql.to_owned())));
    match sent.await {
        Ok(_) => Ok(()),
        Err(sqlx::Error::Database(error)) => Err(Error {
            sql_state: error.code().map(|code| code.into_owned()),
            ..Error::new(Code::DatabaseError, error.message())
        }),
        Err(error) => Err(statement_failed(error, settings)),
    }
}

async fn close(connection: PgConnection) {
    // The work is committed; an error while closing changes nothing.
    let _ = connection.close().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn migrations_are_in_order_and_have_both_sections() {
        assert!(MIGRATIONS.is_sorted_by_key(|migration| migration.name));
        for migration in MIGRATIONS {
            let (up, down) = migration.sections();
            assert!(!up.is_empty() && !down.is_empty(), "{}", migration.name);
            assert!(!up.contains("Migration"), "{}", migration.name);
        }
    }
}
