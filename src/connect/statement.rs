//! A statement and its values, and the one place where identifiers and literals are quoted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A value bound to a statement. What may also run on a caller's own client takes text alone, which
/// every client sends alike; the statement casts it.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(Option<String>),
    Bool(bool),
    BigInt(i64),
    BigInts(Vec<i64>),
    Texts(Vec<Option<String>>),
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::Text(Some(text))
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::Text(Some(text.to_owned()))
    }
}

/// SQL with `$1, $2, ...` for its values.
#[derive(Debug, Clone)]
pub struct Statement {
    pub sql: Arc<str>,
    pub values: Vec<Value>,
}

/// The schema that holds the tables, and the statements made for it. Each statement is made once, so
/// that a connection prepares one text once.
#[derive(Debug)]
pub struct Schema {
    name: String,
    statements: Mutex<HashMap<&'static str, Arc<str>>>,
}

impl Schema {
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            statements: Mutex::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The qualified, quoted name of a table of this schema.
    pub fn table(&self, table: &str) -> String {
        format!("{}.{}", identifier(&self.name), identifier(table))
    }

    /// Makes a statement of `template`, in which `{jobs}` stands for the qualified table and `{schema}`
    /// for a literal of the schema's name.
    pub fn statement(&self, template: &'static str, values: Vec<Value>) -> Statement {
        let mut statements = self
            .statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let sql = statements.entry(template).or_insert_with(|| {
            template
                .replace("{jobs}", &self.table("job_queue"))
                .replace("{schema}", &literal(&self.name))
                .into()
        });
        Statement {
            sql: Arc::clone(sql),
            values,
        }
    }
}

/// Quotes an identifier. Its length and characters were checked when it was given.
pub fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Quotes a literal, independently of the server's `standard_conforming_strings`.
pub fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_difficult_names() {
        assert_eq!(identifier(r#"a"b.c"#), r#""a""b.c""#);
        assert_eq!(
            Schema::new("my schema").table("job_queue"),
            r#""my schema"."job_queue""#
        );
    }

    #[test]
    fn quotes_difficult_literals() {
        assert_eq!(literal(r"it's a \ test"), r"E'it''s a \\ test'");
    }

    #[test]
    fn makes_each_statement_once() {
        let schema = Schema::new("public");
        let first = schema.statement("select 1 from {jobs}", vec![]);
        let second = schema.statement("select 1 from {jobs}", vec![]);
        assert!(Arc::ptr_eq(&first.sql, &second.sql));
        assert_eq!(&*first.sql, r#"select 1 from "public"."job_queue""#);
    }
}
