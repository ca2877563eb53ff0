//! The statements that a caller's own client runs.

use napi_derive::napi;

use super::error::{Result, invalid};
use crate::connect::{Schema, Value};
use crate::store::Operation;

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
    let statement = operation.statement(&Schema::new(schema));
    let values = statement.values.into_iter().map(|value| match value {
        Value::Text(text) => Ok(text),
        _ => Err(invalid("an operation takes text alone")),
    });
    Ok(OperationStatement {
        text: statement.sql.to_string(),
        values: values.collect::<Result<_>>()?,
    })
}
