//! Writes an event with its arguments as the parser of the pod does.

use serde::{Serialize, Serializer, ser::SerializeTuple};
use socketioxide::adapter::Emitter;
use socketioxide_core::{Value, adapter::CoreLocalAdapter, parser::{Parse, ParserError}};

use super::UnknownNamespace;

/// Most arguments that one event may have.
pub const MAX_ARGUMENTS: usize = 1024;

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

pub(super) fn encode(
    local: &CoreLocalAdapter<Emitter>,
    event: &str,
    arguments: &[serde_json::Value],
) -> Result<Value, EncodeError> {
    Ok(local.parser().encode_value(&Arguments(arguments), Some(event))?)
}

/// The parser writes a tuple as the arguments of an event, and a list as its one argument.
struct Arguments<'a>(&'a [serde_json::Value]);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|argument| tuple.serialize_element(argument))?;
        tuple.end()
    }
}
