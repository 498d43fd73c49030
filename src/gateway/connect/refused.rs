//! A CONNECT that is refused, and what the client is told.

use std::{fmt::Display, sync::Arc};

use metrics::counter;
use serde_json::{Value as Json, json};
use socketioxide::{ProtocolVersion, socket::Socket as IoSocket};

use crate::{
    backplane::Adapter,
    edge::{Connection, Sessions, refusal_text},
    gateway::{namespaces::namespace::Namespace, replies::refusal::Refusal},
    telemetry::metrics::CONNECTS_REFUSED,
};

/// Refuses a CONNECT. Returns what the client is told.
pub(in crate::gateway) fn refuse_connect(
    sessions: &Sessions,
    namespace: &Namespace,
    socket: &IoSocket<Adapter>,
    refusal: &Refusal,
) -> Box<dyn Display + Send> {
    let (path, code) = (namespace.path.clone(), refusal.label());
    counter!(CONNECTS_REFUSED.name, "nsp" => path, "code" => code).increment(1);
    tracing::debug!(socket = %socket.id, code, "connect refused");
    if let Some(connection) = connection_of(sessions, socket) {
        connection.connects().refuse();
    }
    Box::new(refusal_text(&connect_error(socket, refusal)))
}

/// The `connect_error` as Node sends it: the message for people, and data for programs. Clients of Engine.IO 3 get data alone,
/// so it has both. Data of a program that is no object stands alone, as on Node.
fn connect_error(socket: &IoSocket<Adapter>, refusal: &Refusal) -> Json {
    let Refusal { code, message, data } = refusal;
    let mut data = data.clone().unwrap_or_else(|| json!({}));
    let mut add = |name: &str, text: &str| {
        if let Some(fields) = data.as_object_mut() {
            fields.entry(name).or_insert_with(|| json!(text));
        }
    };
    add("code", code);
    match socket.protocol() {
        ProtocolVersion::V5 => json!({ "message": message, "data": data }),
        ProtocolVersion::V4 => {
            add("message", message);
            data
        }
    }
}

/// A CONNECT has been refused: packets that the client sent behind it are handled once it has been told so.
pub(in crate::gateway) fn release_packets(sessions: &Sessions, socket: &Arc<IoSocket<Adapter>>) {
    if let Some(connection) = connection_of(sessions, socket) {
        connection.connects().refused(socket.ns(), Arc::downgrade(socket));
    }
}

pub(in crate::gateway) fn connection_of(
    sessions: &Sessions,
    socket: &IoSocket<Adapter>,
) -> Option<Arc<Connection>> {
    // A client that polls, or that is connected at once (Engine.IO 3), has it in its request. Others are known by their id.
    let connection = socket.req_parts().extensions.get::<Arc<Connection>>().cloned();
    connection.or_else(|| sessions.find(socket.id))
}
