//! The statements that a caller's own client runs.

use napi_derive::napi;

use super::error::{Result, invalid};
use crate::store::{self, Operation};

/// SQL and its values, every one of them text.
#[napi(object, use_nullable = true, object_from_js = false)]
pub struct OperationStatement {
    pub text: String,
    pub values: Vec<Option<String>>,
}

/// The statement of an operation (JSON), for a client that is not this queue's own.
#[napi]
pub fn operation_statement(schema: String, operation: String) -> Result<OperationStatement> {
    let operation: Operation = serde_json::from_str(&operation).map_err(invalid)?;
    let (text, values) = operation.statement(&store::schema(schema)).with_texts();
    Ok(OperationStatement { text, values })
}
