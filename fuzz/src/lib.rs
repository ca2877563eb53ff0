//! The files of the package that read what comes from outside, in the tree that they expect around
//! them, without Node-API and without a database.

// The targets use parts of these files.
#![allow(dead_code)]

#[path = "../../src/error.rs"]
pub mod error;

#[path = "../../src/connect"]
pub mod connect {
    mod copy_text;
    pub mod migration_file;
    pub mod statement;

    pub use copy_text::CopyText;
    pub use statement::{Schema, Statement, Value};
}

#[path = "../../src/processor"]
pub mod processor {
    mod job;

    pub use job::*;
}

#[path = "../../src/node"]
pub mod node {
    pub mod outcome;
}

#[path = "../../src/store"]
pub mod store {
    mod cancel;
    mod cleanup;
    mod complete;
    mod enqueue;
    mod find;
    mod history;
    mod lane;
    mod notify;
    mod operation;
    mod reclaim;
    mod retry;

    pub use notify::Notice;
    pub use operation::Operation;
}

/// Reads SQL as Postgres's lexer does, as far as `quote` goes: what was quoted, and what follows it.
///
/// `prefix` is `E'` for literals, in which a backslash escapes, or `"` for identifiers.
pub fn unquote<'a>(sql: &'a str, prefix: &str) -> Option<(String, &'a str)> {
    let (quote, escapes) = (prefix.chars().last()?, prefix.starts_with('E'));
    let mut text = String::new();
    let mut rest = sql.strip_prefix(prefix)?.chars();
    loop {
        match rest.next()? {
            '\\' if escapes => text.push(rest.next()?),
            c if c == quote => {
                let mut after = rest.clone();
                if after.next() != Some(quote) {
                    return Some((text, rest.as_str()));
                }
                rest = after;
                text.push(quote);
            }
            c => text.push(c),
        }
    }
}

/// Reads an element of an array of texts, as Postgres does: what it is, and what follows it.
pub fn unquote_element(array: &str) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut rest = array.strip_prefix('"')?.chars();
    loop {
        match rest.next()? {
            '\\' => text.push(rest.next()?),
            '"' => return Some((text, rest.as_str())),
            c => text.push(c),
        }
    }
}
