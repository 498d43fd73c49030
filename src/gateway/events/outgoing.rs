//! An event that a socket is sent, for those who listen to all of them.

use std::borrow::Cow;

use serde_json::Value as Json;
use socketioxide_core::Value;

use super::parser::parse_name;
use crate::{
    backplane::{MsgpackReader, all_of},
    gateway::{
        replies::refusal::{Refusal, codes},
        sockets::socket::Socket,
    },
};

/// An event that a socket is being sent: [`Namespace::on_any_outgoing`](crate::Namespace::on_any_outgoing).
pub struct Outgoing<'a> {
    socket: Socket,
    payload: &'a Value,
    name: Cow<'a, str>,
}

impl<'a> Outgoing<'a> {
    /// Nothing if it has no name.
    pub(in crate::gateway) fn new(socket: Socket, payload: &'a Value) -> Option<Self> {
        let name = match payload {
            Value::Str(text, _) => {
                let rest = serde_json::Deserializer::from_str(text.strip_prefix('[')?);
                // An emitter may name events by numbers: the name is their text.
                match rest.into_iter::<Json>().next()?.ok()? {
                    Json::String(name) => name.into(),
                    other => other.to_string().into(),
                }
            }
            Value::Bytes(bytes) => {
                let mut reader = MsgpackReader::new(bytes);
                reader.read_array_len().ok()?;
                parse_name(&mut reader).ok()?
            }
        };
        Some(Self { socket, payload, name })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The socket that it is for.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Its arguments, however many they are, as JSON; binary as Node's `JSON.stringify` writes a `Buffer`.
    ///
    /// # Errors
    /// A refusal with `bad_request` if they cannot be read.
    pub fn all_arguments(&self) -> Result<Vec<Json>, Refusal> {
        let mut all = all_of(self.payload)
            .map_err(|error| Refusal::new(codes::BAD_REQUEST, error.to_string()))?;
        // The name of the event comes first.
        Ok(all.split_off(all.len().min(1)))
    }
}
