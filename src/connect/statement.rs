//! A statement and its values, and the one place where identifiers and literals are quoted.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// A value bound to a statement, which casts it: a statement that may also run on a caller's own client gets
/// its values there as text.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    Text(Option<String>),
    Bool(bool),
    BigInt(i64),
    BigInts(Vec<i64>),
    OptionalBigInts(Vec<Option<i64>>),
    Texts(Vec<Option<String>>),
}

impl Value {
    fn literal(&self) -> String {
        match self {
            Self::Bool(truth) => truth.to_string(),
            Self::BigInt(number) => format!("({number})"),
            other => other.text().map_or("null".into(), |text| literal(&text)),
        }
    }

    /// The text that Postgres reads as this value.
    fn text(&self) -> Option<Cow<'_, str>> {
        let text = match self {
            Self::Text(text) => return text.as_deref().map(Cow::Borrowed),
            Self::Bool(truth) => truth.to_string(),
            Self::BigInt(number) => number.to_string(),
            Self::BigInts(numbers) => array(numbers.iter().map(i64::to_string)),
            Self::OptionalBigInts(numbers) => {
                let number = |number: &Option<i64>| number.map(|number| number.to_string());
                array(
                    numbers
                        .iter()
                        .map(|each| number(each).unwrap_or("NULL".into())),
                )
            }
            Self::Texts(texts) => array(texts.iter().map(|text| array_element(text.as_deref()))),
        };
        Some(text.into())
    }
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
    /// The template's names for them.
    #[cfg(test)]
    pub names: Arc<[&'static str]>,
}

impl Statement {
    /// The statement with its values as literals, or `None` if one of them cannot be a literal:
    /// a literal can hold every character but NUL, which Postgres cannot store either.
    pub fn with_literals(&self) -> Option<String> {
        let literals: Vec<_> = self.values.iter().map(Value::literal).collect();
        if literals.iter().any(|literal| literal.contains('\0')) {
            return None;
        }
        Some(self.with_placeholders(&literals))
    }

    /// SQL that takes text alone, which every client sends alike, and its values.
    pub fn with_texts(&self) -> (String, Vec<Option<String>>) {
        let placeholders: Vec<_> = (1..)
            .zip(&self.values)
            .map(|(number, value)| match value {
                Value::Text(_) => format!("${number}"),
                _ => format!("(${number}::text)"),
            })
            .collect();
        let texts = self.values.iter().map(Value::text);
        (
            self.with_placeholders(&placeholders),
            texts.map(|text| text.map(Cow::into_owned)).collect(),
        )
    }

    /// The SQL with another text in place of each `$1, $2, ...`.
    fn with_placeholders(&self, others: &[String]) -> String {
        let size = others.iter().map(String::len).sum::<usize>();
        let mut whole = String::with_capacity(self.sql.len() + size);
        let mut rest = &*self.sql;
        while let Some(at) = rest.find(['$', '\'', '"']) {
            whole += &rest[..at];
            let (sign, after) = rest[at..].split_at(1);
            if sign == "$" {
                let (other, digits) = parameter(after, others);
                whole += other.unwrap_or(sign);
                rest = &after[digits..];
            } else {
                // Quoted text, such as a schema's name, has no parameters. A doubled quote ends
                // one quoted part and begins the next.
                let end = after.find(sign).map_or(after.len(), |end| end + 1);
                whole += sign;
                whole += &after[..end];
                rest = &after[end..];
            }
        }
        whole += rest;
        whole
    }
}

/// The replacement of the parameter whose number is at the start of `text`, and the number's digits.
fn parameter<'a>(text: &str, others: &'a [String]) -> (Option<&'a str>, usize) {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let at = (text[..digits].parse().ok()).and_then(|number: usize| number.checked_sub(1));
    match at.and_then(|at| others.get(at)) {
        Some(other) => (Some(other), digits),
        None => (None, 0),
    }
}

/// The schema that holds the tables, and the statements made for it. Each statement is made once, so
/// that a connection prepares one text once.
#[derive(Debug)]
pub struct Schema {
    name: String,
    parts: &'static [Part],
    statements: Mutex<HashMap<&'static str, Made>>,
}

/// A part that templates share, and its name in the templates.
pub type Part = (&'static str, String);

/// A value, and its name in a template.
pub type Named = (&'static str, Value);

/// The statement that was made from a template.
#[derive(Debug, Clone)]
struct Made {
    sql: Arc<str>,
    /// The names of `$1, $2, ...`.
    names: Arc<[&'static str]>,
}

impl Made {
    fn from(template: &str, schema: &Schema, values: &[Named]) -> Self {
        let mut made = Making {
            schema,
            values,
            sql: String::with_capacity(template.len()),
            names: Vec::new(),
        };
        made.fill(template);
        Self {
            sql: made.sql.into(),
            names: made.names.into(),
        }
    }
}

struct Making<'a> {
    schema: &'a Schema,
    values: &'a [Named],
    sql: String,
    names: Vec<&'static str>,
}

impl Making<'_> {
    /// Appends a template and fills its holes: in one pass, since the name of a schema may itself look like a
    /// hole.
    fn fill(&mut self, template: &str) {
        let mut rest = template;
        while let Some(at) = rest.find('{') {
            self.sql += &rest[..at];
            let inside = &rest[at + 1..];
            let word = inside.split_once('}').map_or("", |(word, _)| word);
            rest = if self.put(word) {
                &inside[word.len() + 1..]
            } else {
                self.sql.push('{');
                inside
            };
        }
        self.sql += rest;
    }

    /// Appends the text for `{word}`; returns whether there is one.
    fn put(&mut self, word: &str) -> bool {
        let schema = self.schema;
        let object = match word {
            "jobs" => Some("job_queue"),
            "windows" => Some("job_queue_windows"),
            "job_queue_add" => Some("job_queue_add"),
            _ => None,
        };
        if let Some(object) = object {
            self.sql += &schema.qualified(object);
        } else if word == "schema" {
            self.sql += &literal(&schema.name);
        } else if let Some((_, part)) = schema.parts.iter().find(|(name, _)| *name == word) {
            self.fill(part);
        } else if let Some((name, _)) = self.values.iter().find(|(name, _)| *name == word) {
            let known = self.names.iter().position(|known| known == name);
            let at = known.unwrap_or_else(|| {
                self.names.push(name);
                self.names.len() - 1
            });
            self.sql += &format!("${}", at + 1);
        } else {
            return false;
        }
        true
    }
}

impl Schema {
    pub fn new(name: impl Into<String>) -> Self {
        Self::with_parts(name, &[])
    }

    pub fn with_parts(name: impl Into<String>, parts: &'static [Part]) -> Self {
        Self {
            name: name.into(),
            parts,
            statements: Mutex::default(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The qualified, quoted name of a table or a function of this schema.
    pub fn qualified(&self, object: &str) -> String {
        format!("{}.{}", identifier(&self.name), identifier(object))
    }

    /// Makes a statement of `template`, in which `{jobs}`, `{windows}` and `{job_queue_add}` stand for the qualified tables
    /// and the function, `{schema}` for a literal of the schema's name, the names of its parts for those, and the names of
    /// `values` for a parameter each. Values that it does not name are left out.
    pub fn statement(&self, template: &'static str, values: Vec<Named>) -> Statement {
        let mut statements = self
            .statements
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let made = statements
            .entry(template)
            .or_insert_with(|| Made::from(template, self, &values))
            .clone();
        drop(statements);
        let mut values: Vec<_> = values.into_iter().map(Some).collect();
        let mut value_of = |name: &&str| {
            let named =
                |value: &&mut Option<Named>| value.as_ref().is_some_and(|(known, _)| known == name);
            let (_, value) = values.iter_mut().find(named)?.take()?;
            Some(value)
        };
        let values: Vec<_> = made.names.iter().filter_map(&mut value_of).collect();
        debug_assert_eq!(values.len(), made.names.len(), "{template}");
        Statement {
            sql: made.sql,
            values,
            #[cfg(test)]
            names: made.names,
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

/// A block of PL/pgSQL as a statement, quoted so that it may hold any name.
pub fn block(body: &str) -> String {
    let mut quote = String::from("$block$");
    while body.contains(&quote) {
        quote.insert(1, '_');
    }
    format!("do {quote}\n{body}\n{quote}")
}

/// An array of these elements, as Postgres reads it.
fn array(elements: impl Iterator<Item = String>) -> String {
    format!("{{{}}}", elements.collect::<Vec<_>>().join(","))
}

/// An element of an array of texts, as Postgres reads it.
fn array_element(text: Option<&str>) -> String {
    match text {
        None => "NULL".into(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_its_values_in_as_literals() {
        let statement = Statement {
            sql: "select $1::text, '$[last]', $2::bigint[], $3::text[], $4, $10, $11".into(),
            values: vec![
                "it's $2".into(),
                Value::BigInts(vec![1, -2]),
                Value::Texts(vec![None, Some(r#"a"b\c'd"#.into())]),
                Value::Text(None),
                Value::Bool(true),
                Value::BigInt(1),
                Value::BigInt(2),
                Value::BigInt(3),
                Value::BigInt(4),
                Value::BigInt(-5),
            ],
            names: [].into(),
        };
        assert_eq!(
            statement.with_literals().as_deref(),
            Some(
                r#"select E'it''s $2'::text, '$[last]', E'{1,-2}'::bigint[], E'{NULL,"a\\"b\\\\c''d"}'::text[], null, (-5), $11"#
            )
        );
    }

    #[test]
    fn gives_its_values_as_texts() {
        let statement = Statement {
            sql: "select $1::text, '$2', $2::bigint[], $3::bigint[], $4::text[], $5::bool".into(),
            values: vec![
                Value::Text(None),
                Value::BigInts(vec![1, -2]),
                Value::OptionalBigInts(vec![None, Some(3)]),
                Value::Texts(vec![None, Some(r#"a"b\c'd"#.into())]),
                Value::Bool(true),
            ],
            names: [].into(),
        };
        let (sql, values) = statement.with_texts();
        assert_eq!(
            sql,
            "select $1::text, '$2', ($2::text)::bigint[], ($3::text)::bigint[], ($4::text)::text[], \
             ($5::text)::bool"
        );
        let values: Vec<_> = values.iter().map(Option::as_deref).collect();
        let expected = ["{1,-2}", "{NULL,3}", r#"{NULL,"a\"b\\c'd"}"#, "true"];
        assert_eq!(values[0], None);
        assert_eq!(values[1..], expected.map(Some));
    }

    #[test]
    fn what_is_quoted_has_no_parameters() {
        let schema = Schema::new(r#"a$1"b'$1\"#);
        let template = "select '$1', '', {a} from {jobs} where schema = {schema} and {a}";
        let statement = schema.statement(template, vec![("a", "\"'".into())]);
        assert_eq!(
            statement.with_literals().as_deref(),
            Some(
                r#"select '$1', '', E'"''' from "a$1""b'$1\"."job_queue" where schema = E'a$1"b''$1\\' and E'"'''"#
            )
        );
    }

    #[test]
    fn a_schema_may_be_named_as_what_stands_for_it() {
        let schema = Schema::new("{jobs}{schema}");
        assert_eq!(
            &*schema.statement("select {schema} from {jobs}", vec![]).sql,
            r#"select E'{jobs}{schema}' from "{jobs}{schema}"."job_queue""#
        );
    }

    #[test]
    fn numbers_the_values_that_a_template_names_in_its_order() {
        let schema = Schema::new("public");
        let values = || {
            vec![
                ("a", Value::BigInt(1)),
                ("unused", Value::BigInt(2)),
                ("b", Value::BigInt(3)),
            ]
        };
        for _ in 0..2 {
            let statement = schema.statement("select {b}, '{}', {a}, {b}", values());
            assert_eq!(&*statement.sql, "select $1, '{}', $2, $1");
            assert_eq!(statement.values, [Value::BigInt(3), Value::BigInt(1)]);
        }
    }

    #[test]
    fn no_literal_holds_a_nul() {
        let statement = Statement {
            sql: "select $1".into(),
            values: vec!["a\0b".into()],
            names: [].into(),
        };
        assert_eq!(statement.with_literals(), None);
    }

    #[test]
    fn quotes_difficult_names() {
        assert_eq!(identifier(r#"a"b.c"#), r#""a""b.c""#);
        assert_eq!(
            Schema::new("my schema").qualified("job_queue"),
            r#""my schema"."job_queue""#
        );
    }

    #[test]
    fn quotes_difficult_literals() {
        assert_eq!(literal(r"it's a \ test"), r"E'it''s a \\ test'");
    }

    #[test]
    fn quotes_difficult_blocks() {
        assert_eq!(block("begin end"), "do $block$\nbegin end\n$block$");
        assert_eq!(block("$block$"), "do $_block$\n$block$\n$_block$");
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
