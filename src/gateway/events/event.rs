//! An event that a client sent.

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use socketioxide::{extract::Data, handler::FromMessageParts};
use socketioxide_core::{Value, parser::is_de_tuple};
use wildmatch::WildMatchPattern;

use super::parser::EventHead;
use crate::{
    backplane::{Emit, Source, Target, all_of},
    config::OWN_EVENTS,
    gateway::{
        replies::refusal::{Refusal, codes},
        sockets::socket::Socket,
    },
};

/// A pattern of the names of events: `*` stands for any characters.
pub(in crate::gateway) type EventPattern = WildMatchPattern<'*', '\0'>;

/// Whether Roomcast itself sends events of this name. Clients must not forge them.
pub(in crate::gateway) fn is_own_event(name: &str) -> bool {
    OWN_EVENTS.contains(&name)
}

/// An event that a client sent.
pub struct Event<'a> {
    pub(in crate::gateway) socket: Socket,
    pub(in crate::gateway) payload: &'a Value,
    pub(in crate::gateway) head: EventHead<'a>,
}

impl Event<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.head.name
    }

    /// Its first argument, if that is text: for a relayed event, the room.
    pub fn first_text(&self) -> Option<&str> {
        self.head.first.as_deref()
    }

    /// The socket it came from.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Its arguments: the first one as any type, several as a tuple, or any number as [`Spread`](crate::Spread). Use
    /// `bytes::Bytes` for binary.
    ///
    /// # Errors
    /// A refusal with `bad_request` if they have another form.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        // Reading takes attachments out of the value, and a relay may still need them.
        let mut payload = self.payload.clone();
        Data::<T>::from_message_parts(&self.socket.io, &mut payload, &None)
            .map(|Data(arguments)| arguments)
            .or_else(|error| {
                // As on Node, the first of none is nothing: `()`, or `None`.
                let none = !is_de_tuple::<T>() && self.all_arguments()?.is_empty();
                let nothing = none.then(|| T::deserialize(serde_json::Value::Null).ok());
                let refusal = || Refusal::new(codes::BAD_REQUEST, error.to_string());
                nothing.flatten().ok_or_else(refusal)
            })
    }

    /// Its arguments, however many they are, as JSON; binary as Node's `JSON.stringify` writes a
    /// `Buffer`.
    ///
    /// # Errors
    /// A refusal with `bad_request` if they cannot be read.
    pub fn all_arguments(&self) -> Result<Vec<serde_json::Value>, Refusal> {
        let mut all = all_of(self.payload)
            .map_err(|error| Refusal::new(codes::BAD_REQUEST, error.to_string()))?;
        // The name of the event comes first.
        Ok(all.split_off(all.len().min(1)))
    }

    /// The same as the text of an array.
    pub(in crate::gateway) fn arguments_text(&self) -> Result<Box<RawValue>, Refusal> {
        serde_json::value::to_raw_value(&self.all_arguments()?)
            .map_err(|error| Refusal::new(codes::BAD_REQUEST, error.to_string()))
    }

    /// Bytes of the event, its attachments included.
    pub(in crate::gateway) fn size(&self) -> usize {
        match self.payload {
            Value::Str(text, attachments) => {
                let attachments = attachments.iter().flatten().map(|bytes| bytes.len());
                text.len() + attachments.sum::<usize>()
            }
            Value::Bytes(bytes) => bytes.len(),
        }
    }

    /// Sends the event on as it came to the other sockets of a room; of the namespace, if `None`.
    ///
    /// An event that Roomcast sends itself, such as `authenticated` or `presence:join`, goes nowhere: the others would
    /// believe it.
    pub fn relay(&self, room: Option<&str>) {
        if is_own_event(self.name()) {
            tracing::debug!(event = self.name(), "an event of Roomcast's own is not relayed");
            return;
        }
        let emit = Emit {
            payload: self.payload.clone(),
            target: Target {
                rooms: room.map(str::to_owned).into_iter().collect(),
                except: Vec::new(),
            },
            from: Some(self.socket.io.id),
            volatile: false,
            source: Source::Client,
            traceparent: None,
        };
        // The namespace exists: this socket is in it.
        if let Ok(namespace) =
            self.socket.state.namespace.backplane.namespace(self.socket.namespace())
        {
            namespace.emit(emit);
        }
    }
}
