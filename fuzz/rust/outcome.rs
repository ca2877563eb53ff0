//! Whatever outcome arrives, its entry is JSON as it was given, and JSON in plain ASCII when it has
//! been simplified.

#![no_main]

use fuzz::node::outcome::OutcomeMessage;
use fuzz::processor::{End, Outcome};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &str| {
    let Ok(messages) = serde_json::from_str::<Vec<OutcomeMessage<'_>>>(json) else {
        return;
    };
    for outcome in messages.into_iter().map(Outcome::from) {
        if let End::Failed { entry, .. } = &outcome.end {
            assert!(json.contains(entry.as_str()));
            serde_json::from_str::<&serde_json::value::RawValue>(entry).expect("JSON");
        }
        let mut simple = outcome.clone();
        simple.simplify();
        assert_eq!(simple.run, outcome.run);
        match (&simple.end, &outcome.end) {
            (
                End::Failed {
                    entry,
                    pending_reason,
                },
                End::Failed {
                    pending_reason: given,
                    ..
                },
            ) => {
                let printable = |text: &str| text.chars().all(|c| matches!(c, ' '..='~'));
                assert!(printable(entry));
                assert!(pending_reason.as_deref().is_none_or(printable));
                assert_eq!(pending_reason.is_some(), given.is_some());
                let read: serde_json::Value = serde_json::from_str(entry).expect("JSON");
                assert!(read["message"].as_str().is_some_and(printable));
            }
            (simple, given) => assert_eq!(simple, given),
        }
        let mut again = simple.clone();
        again.simplify();
        assert_eq!(again, simple);
    }
});
