//! Writes an event with its arguments as the parser of the pod does.

use serde::Serialize;
use socketioxide::adapter::Emitter;
use socketioxide_core::{
    Value,
    adapter::CoreLocalAdapter,
    parser::{Parse, ParserError},
};

use super::UnknownNamespace;

/// An event could not be written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Its namespace does not exist.
    #[error(transparent)]
    UnknownNamespace(#[from] UnknownNamespace),
    /// The parser refuses an argument.
    #[error("the arguments cannot be written: {0}")]
    Parser(#[from] ParserError),
}

pub(super) fn encode<T: Serialize + ?Sized>(
    local: &CoreLocalAdapter<Emitter>,
    event: &str,
    arguments: &T,
) -> Result<Value, EncodeError> {
    Ok(local.parser().encode_value(arguments, Some(event))?)
}
