//! Handles events in the order in which a client sent them.
//!
//! Gap: socketioxide spawns a task for each event, so that handlers of one client overtake each
//! other (most of 5000 events in batches of 10 did). Way round: extractors run in the loop that
//! reads the client, one after another, so the handler is called by an extractor. It then fails on
//! purpose, which spares the task. No upstream issue asks for ordered handlers yet; when there is
//! such an option, this file becomes an ordinary handler.

use std::sync::Arc;

use metrics::counter;
use socketioxide::{extract::AckSender, handler::FromMessageParts, socket::Socket as IoSocket};
use socketioxide_core::Value;

use super::{
    Refusal, Reply, codes,
    connect::Member,
    event::{Event, Socket, unsent},
    payload::{Malformed, inspect},
    reply::When,
};
use crate::{backplane::Adapter, telemetry::metrics::EVENTS};

/// Handles an event while it is extracted.
pub(super) struct Dispatched(std::convert::Infallible);

/// There is nothing left to do for the event.
#[derive(Debug, thiserror::Error)]
#[error("handled")]
pub(super) struct Handled;

impl FromMessageParts<Adapter> for Dispatched {
    type Error = Handled;

    fn from_message_parts(
        socket: &Arc<IoSocket<Adapter>>,
        payload: &mut Value,
        ack: &Option<i64>,
    ) -> Result<Self, Handled> {
        let Some(member) = socket.extensions.get::<Arc<Member>>() else {
            tracing::error!(socket = %socket.id, "bug: a socket without its member");
            return Err(Handled);
        };
        let result = match inspect(payload) {
            Ok(head) if head.name.len() > member.limits.name_length => {
                Err(Refusal::new(codes::BAD_EVENT, "the name of the event is too long"))
            }
            Ok(head) => {
                let socket = Socket { socket: socket.clone(), member: &member };
                handle(&Event { socket, payload, head })
            }
            Err(malformed) => Err(refuse_malformed(socket, &malformed)),
        };
        finish(socket, &member, payload, ack, result);
        Err(Handled)
    }
}

fn handle(event: &Event<'_>) -> Result<Reply, Refusal> {
    let mut handlers = event.socket.member.namespace.handlers.iter();
    match handlers.find(|(pattern, _)| pattern.matches(event.name())) {
        Some((_, handler)) => handler.handle(event),
        None => Err(event_denied()),
    }
}

/// No rule allows an event.
pub(super) fn event_denied() -> Refusal {
    Refusal::new(codes::EVENT_DENIED, "no rule allows this event")
}

/// A stock client never sends such a packet: as on Node, it ends there.
fn refuse_malformed(socket: &Arc<IoSocket<Adapter>>, malformed: &Malformed) -> Refusal {
    tracing::debug!(socket = %socket.id, error = %malformed, "malformed event: disconnecting");
    let _ = socket.clone().disconnect();
    Refusal::new(codes::BAD_EVENT, malformed.to_string())
}

fn finish(
    socket: &Arc<IoSocket<Adapter>>,
    member: &Arc<Member>,
    payload: &mut Value,
    ack: &Option<i64>,
    result: Result<Reply, Refusal>,
) {
    let sender = ack.is_some().then(|| {
        let Ok(sender) = AckSender::<Adapter>::from_message_parts(socket, payload, ack);
        sender
    });
    match result {
        Ok(Reply(When::Now(value))) => answer(member, sender, Ok(value)),
        Ok(reply) => {
            let member = member.clone();
            let pending = sender.is_some().then(|| member.connection.await_ack());
            tokio::spawn(async move {
                answer(&member, sender, reply.value().await);
                drop(pending);
            });
        }
        Err(refusal) => answer(member, sender, Err(refusal)),
    }
}

fn answer(
    member: &Member,
    sender: Option<AckSender<Adapter>>,
    result: Result<serde_json::Value, Refusal>,
) {
    let reply = match result {
        Ok(reply) => {
            member.handled.increment(1);
            reply
        }
        Err(Refusal { code, message }) => {
            tracing::debug!(namespace = member.namespace.path, code, "event refused");
            let path = member.namespace.path.clone();
            counter!(EVENTS.name, "namespace" => path, "result" => code).increment(1);
            crate::error_body(code, &message)
        }
    };
    if let Some(sender) = sender
        && let Err(error) = sender.send(&reply).inspect_err(|error| unsent(member, error))
    {
        tracing::debug!(%error, "the ack cannot be sent");
    }
}
