//! What is quoted is read back as it was, and nothing of it is read as SQL.

#![no_main]

use fuzz::connect::statement::{identifier, literal};
use fuzz::connect::{Schema, Value};
use fuzz::{unquote, unquote_element};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let read = unquote(&literal(text), "E'").map(|(read, rest)| (read, rest.is_empty()));
    assert_eq!(read, Some((text.to_owned(), true)));

    let read = unquote(&identifier(text), "\"").map(|(read, rest)| (read, rest.is_empty()));
    assert_eq!(read, Some((text.to_owned(), true)));

    let schema = Schema::new(text);
    let statement = schema.statement(
        "select $1, '$2', {schema}, $2, $9 from {jobs}",
        vec![text.into(), Value::Texts(vec![Some(text.into()), None])],
    );
    match statement.with_literals() {
        None => assert!(text.contains('\0')),
        Some(sql) => {
            let rest = sql
                .strip_prefix("select ")
                .and_then(|sql| expect_text(sql, "E'", text));
            let rest = rest.and_then(|rest| rest.strip_prefix(", '$2', "));
            let rest = rest.and_then(|rest| expect_text(rest, "E'", text));
            let rest = rest.and_then(|rest| unquote(rest.strip_prefix(", ")?, "E'"));
            let (array, rest) = rest.expect("an array");
            let array = array.strip_prefix('{').and_then(|array| {
                let (element, rest) = unquote_element(array)?;
                Some((element, rest == ",NULL}"))
            });
            assert_eq!(array, Some((text.to_owned(), true)));
            let rest = rest.strip_prefix(", $9 from ");
            let rest = rest.and_then(|rest| expect_text(rest, "\"", text));
            assert_eq!(rest, Some(".\"job_queue\""));
        }
    }

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

/// What follows `text`, quoted.
fn expect_text<'a>(sql: &'a str, prefix: &str, text: &str) -> Option<&'a str> {
    unquote(sql, prefix).and_then(|(read, rest)| (read == text).then_some(rest))
}
