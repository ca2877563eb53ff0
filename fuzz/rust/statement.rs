//! What is quoted is read back as it was, and nothing of it is read as SQL.

#![no_main]

use fuzz::connect::Schema;
use fuzz::connect::statement::{identifier, literal};
use fuzz::unquote;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = unquote(&literal(text), "E'").map(|(read, rest)| (read, rest.is_empty()));
    assert_eq!(read, Some((text.to_owned(), true)));

    let read = unquote(&identifier(text), "\"").map(|(read, rest)| (read, rest.is_empty()));
    assert_eq!(read, Some((text.to_owned(), true)));

    let schema = Schema::new(text);
    let sql = schema
        .statement("select from {jobs} where id = $1", vec![])
        .sql;
    let after = sql
        .strip_prefix("select from ")
        .and_then(|sql| unquote(sql, "\""));
    assert_eq!(
        after,
        Some((text.to_owned(), ".\"job_queue\" where id = $1"))
    );
});
