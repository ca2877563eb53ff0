//! Where the tables were looked for, and the advice for a user if they, or a right to them, are missing.

use super::statement::identifier;
use crate::job::{OF_EACH, OF_SOME};

/// A schema and its database.
#[derive(Debug, Clone, Copy)]
pub struct Whereabouts<'a> {
    pub schema: &'a str,
    /// Not known for a client of the caller's.
    pub database: Option<&'a str>,
}

impl Whereabouts<'_> {
    pub(super) fn database(&self) -> String {
        match self.database {
            Some(name) => format!("the database {}", shown(name)),
            None => String::from("this database"),
        }
    }

    /// The command that makes the tables there.
    pub(super) fn migrate(&self) -> String {
        let program = "npx pg-bg-job-queue-cli migrate";
        match self.schema {
            "public" => format!("`{program}`"),
            schema => format!("`{program} --schema {}`", shown(schema)),
        }
    }

    /// What to do about a privilege that the role lacks.
    pub(super) fn grants(&self, message: &str) -> String {
        let schema = shown(self.schema);
        if message.contains("for schema") {
            format!(
                "To use the queue, the role needs `grant usage on schema {schema} to ROLE`; to migrate, it needs \
                 `grant usage, create on schema {schema} to ROLE`"
            )
        } else if message.contains("for database") {
            let database = shown(self.database.unwrap_or("DATABASE"));
            format!(
                "To create the schema {schema}, the role needs `grant create on database {database} to ROLE`; or \
                 the database's owner creates it: `create schema {schema} authorization ROLE`"
            )
        } else if message.contains("job_queue_migrations") {
            format!(
                "To migrate, a role must own the tables; for `migrate status`, it needs `grant usage on schema {schema} \
                 to ROLE` and `grant select on {schema}.job_queue_migrations to ROLE`"
            )
        } else {
            let given: Vec<_> = OF_EACH.iter().chain(OF_SOME).map(|it| it.name).collect();
            let given = given.join(", ");
            format!(
                "To use the queue, the role needs `grant usage on schema {schema} to ROLE`, `grant usage on sequence \
                 {schema}.job_queue_id_seq to ROLE` and `grant select, insert, update, delete on \
                 {schema}.job_queue, {schema}.job_queue_windows to ROLE`. A role that only adds jobs, without keys, needs \
                 `grant insert ({given}), select (id) on {schema}.job_queue to ROLE` in place of the last grant. To migrate, a role must own the tables"
            )
        }
    }
}

/// A name as it is written in SQL, and in a command line.
fn shown(name: &str) -> String {
    let is_plain = |name: &str| {
        !name.starts_with(|c: char| c.is_ascii_digit())
            && (name.chars()).all(|c| matches!(c, 'a'..='z' | '0'..='9' | '_'))
    };
    if is_plain(name) {
        name.to_owned()
    } else {
        identifier(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JOBS: Whereabouts = Whereabouts {
        schema: "jobs",
        database: Some("my_app"),
    };

    #[test]
    fn the_command_names_a_schema_that_is_not_the_usual_one() {
        let of = |schema| Whereabouts { schema, ..JOBS }.migrate();
        assert_eq!(of("public"), "`npx pg-bg-job-queue-cli migrate`");
        assert_eq!(
            of("jobs"),
            "`npx pg-bg-job-queue-cli migrate --schema jobs`"
        );
        assert_eq!(
            of("My jobs"),
            r#"`npx pg-bg-job-queue-cli migrate --schema "My jobs"`"#
        );
    }

    #[test]
    fn the_grant_is_of_what_is_missing() {
        let schema = JOBS.grants("permission denied for schema jobs");
        assert!(
            schema.contains("`grant usage, create on schema jobs to ROLE`"),
            "{schema}"
        );
        let database = JOBS.grants("permission denied for database my_app");
        assert!(
            database.contains("`grant create on database my_app to ROLE`"),
            "{database}"
        );
        let table = JOBS.grants("permission denied for table job_queue");
        assert!(
            table.contains("delete on jobs.job_queue, jobs.job_queue_windows to ROLE`"),
            "{table}"
        );
    }
}
