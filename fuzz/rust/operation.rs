//! Whatever an operation holds, all of it is bound: the SQL is the same for every value, and has a
//! parameter for each.

#![no_main]

use fuzz::connect::{Schema, Value};
use fuzz::store::Operation;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    let Ok(operation) = serde_json::from_str::<Operation>(json) else {
        return;
    };
    let _ = operation.notice();
    let statement = operation.statement(&Schema::new("public"));
    assert!(statement.sql.is_ascii() && KNOWN.with(|known| known(&statement.sql)));
    for number in 1..=statement.values.len() {
        assert!(statement.sql.contains(&format!("${number}::")), "{number}");
    }
    assert!(
        !statement
            .sql
            .contains(&format!("${}", statement.values.len() + 1))
    );
    assert!(
        statement
            .values
            .iter()
            .all(|value| matches!(value, Value::Text(_)))
    );
    if let (Operation::Enqueue { .. }, [Value::Text(Some(jobs))]) =
        (&operation, &statement.values[..])
    {
        // The jobs that Postgres will read are those that were given.
        let again = format!(r#"{{"enqueue":{{"jobs":{jobs}}}}}"#);
        let again: Operation = serde_json::from_str(&again).expect("the same jobs");
        assert_eq!(
            again.statement(&Schema::new("public")).values,
            statement.values
        );
    }
});

thread_local! {
    /// Whether a text is one of those that there are.
    static KNOWN: Box<dyn Fn(&str) -> bool> = {
        let samples = [
            r#"{"enqueue":{"jobs":[]}}"#,
            r#"{"findJob":{"id":1}}"#,
            r#"{"findJobsByStatus":{"status":"","limit":1,"offset":0}}"#,
            r#"{"findAllJobs":{"limit":1,"offset":0}}"#,
            r#"{"retry":{"id":1}}"#,
            r#"{"cancel":{"id":1}}"#,
            r#"{"cancelUpcoming":{}}"#,
            r#"{"complete":{"id":1,"runNo":1,"remove":true}}"#,
            r#"{"complete":{"id":1,"runNo":1,"remove":false}}"#,
            r#"{"reclaim":{"maxProcessingMinutes":1}}"#,
            r#"{"cleanup":{"daysToKeep":1}}"#,
        ];
        let texts = samples.map(|sample| {
            let operation: Operation = serde_json::from_str(sample).expect(sample);
            operation.statement(&Schema::new("public")).sql
        });
        Box::new(move |sql| texts.iter().any(|known| **known == *sql))
    };
}
