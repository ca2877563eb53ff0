//! Errors cross as the JSON text of [`Error`], in the message of a native error. TypeScript makes a
//! `JobQueueError` from it, in the realm and with the stack of the caller.

use crate::error::{Code, Error};

pub type Result<T> = napi::Result<T>;

pub fn to_napi(error: Error) -> napi::Error {
    napi::Error::from_reason(to_json(&error))
}

pub fn to_json(value: &impl serde::Serialize) -> String {
    // Serializing strings and numbers into memory has no way to fail.
    serde_json::to_string(value).unwrap_or_default()
}

pub fn invalid(error: impl std::fmt::Display) -> napi::Error {
    let message = "the addon was called with arguments that it does not understand: this is a bug of \
                   pg-bg-job-queue, please report it";
    to_napi(Error::new(Code::InvalidArgument, message).caused_by(error))
}
