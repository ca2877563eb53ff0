//! A run's outcome, as JavaScript reports it.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::job::{End, FailureReason, Outcome, Run};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutcomeMessage<'a> {
    id: i64,
    run_no: i64,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    pending_reason: Option<String>,
    #[serde(borrow)]
    retry: Option<&'a RawValue>,
    #[serde(borrow)]
    snooze: Option<&'a RawValue>,
    #[serde(default)]
    cancelled: bool,
    #[serde(default)]
    not_begun: bool,
}

impl From<OutcomeMessage<'_>> for Outcome {
    fn from(message: OutcomeMessage<'_>) -> Self {
        let run = Run {
            id: message.id,
            run_no: message.run_no,
        };
        let end = match message.error {
            _ if message.cancelled => End::Cancelled,
            _ if message.not_begun => End::released(None),
            None => match message.snooze {
                Some(until) => End::Snoozed {
                    until: until.get().into(),
                },
                None => End::Completed,
            },
            Some(entry) => End::Failed {
                entry: entry.get().to_owned(),
                reason: Some(match message.pending_reason {
                    // Only a type without a handler is said here.
                    Some(_) => FailureReason::NoHandler,
                    None => FailureReason::Error,
                }),
                pending_reason: message.pending_reason,
                retry: message.retry.map(|retry| retry.get().into()),
            },
        };
        Self::new(run, end)
    }
}
