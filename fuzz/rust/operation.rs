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
    if let (
        Operation::Enqueue { .. },
        [
            Value::Texts(types),
            Value::Texts(payloads),
            Value::BigInts(attempts),
            Value::BigInts(priorities),
            Value::OptionalBigInts(times),
            Value::OptionalBigInts(timeouts),
        ],
    ) = (&operation, &statement.values[..])
    {
        // The jobs that Postgres will read are those that were given.
        let json = |text: &Option<String>| serde_json::to_string(text).expect("a text");
        let number = |number: Option<i64>| number.map_or("null".into(), |number| number.to_string());
        let jobs: Vec<_> = (0..types.len())
            .map(|at| {
                format!(
                    r#"{{"jobType":{},"payload":{},"maxAttempts":{},"priority":{},"runAt":{},"timeoutMs":{}}}"#,
                    json(&types[at]),
                    payloads[at].as_deref().expect("a payload"),
                    attempts[at],
                    priorities[at],
                    number(times[at]),
                    number(timeouts[at]),
                )
            })
            .collect();
        let again = format!(r#"{{"enqueue":{{"jobs":[{}]}}}}"#, jobs.join(","));
        let again: Operation = serde_json::from_str(&again).expect("the same jobs");
        assert_eq!(
            again.statement(&Schema::new("public")).values,
            statement.values
        );
    }
    let count = statement.values.len();
    let (sql, texts) = statement.with_texts();
    assert_eq!(texts.len(), count);
    for number in 1..=count {
        assert!(sql.contains(&format!("${number}::text")), "{number}");
    }
});

thread_local! {
    /// Whether a text is one of those that there are.
    static KNOWN: Box<dyn Fn(&str) -> bool> = {
        let samples = [
            r#"{"enqueue":{"jobs":[]}}"#,
            r#"{"enqueue":{"jobs":[{"jobType":"","payload":1,"maxAttempts":1,"priority":1}]}}"#,
            r#"{"enqueue":{"jobs":[{"jobType":"","payload":1,"maxAttempts":1,"priority":1,"runAt":9000000000000000}]}}"#,
            r#"{"enqueue":{"jobs":[{"jobType":"","payload":1,"maxAttempts":1,"priority":1},{"jobType":"","payload":1,"maxAttempts":1,"priority":1}]}}"#,
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
