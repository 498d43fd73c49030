//! A client connects to a namespace.
//!
//! All is done in a connect *middleware*, which runs before CONNECT is answered: socketioxide drops
//! an event that comes before its handler is there, and runs connect handlers after the answer.

use std::{fmt::Display, sync::Arc};

use serde_json::{Value as Json, json};
use socketioxide::{extract::TryData, handler::FromConnectParts, socket::Socket as IoSocket};
use socketioxide_core::Value;

use super::{
    disconnect::Disconnector,
    refused::{connection_of, refuse_connect},
};
use crate::{
    backplane::{Adapter, Joined},
    config::Secret,
    gateway::{
        authentication::{
            expiry::set_identity,
            identify::{Admission, identify_at_connect, run_handshakes},
            initial_rooms::InitialRooms,
            policy::may_act,
        },
        dispatch::dispatcher::Dispatcher,
        namespaces::{active_socket::ActiveSocket, runtime::NamespaceRuntime},
        replies::refusal::{Refusal, codes},
        sockets::{handshake::Handshake, state::NamespaceContext},
    },
    telemetry::traces::{self, Span},
};

/// Bytes of an id that a client says its socket had before. Node's ids have 20.
const MAX_PREVIOUS_ID: usize = 64;
/// Bytes of an `auth` that is kept, as JSON.
const MAX_AUTH: usize = 16 * 1024;

/// What a connect middleware returns: the error is what the client is told.
pub(in crate::gateway) type ConnectResult = Result<(), Box<dyn Display + Send>>;

/// Lets a client in, or refuses it.
pub(in crate::gateway) async fn connect(
    runtime: &Arc<NamespaceRuntime>,
    socket: Arc<IoSocket<Adapter>>,
    auth: &Option<Value>,
) -> ConnectResult {
    let Ok(TryData(auth)) = TryData::<Json>::from_connect_parts(&socket, auth);
    // As on Node: who sends nothing has sent an empty object.
    let auth = auth.ok().filter(|auth| !auth.is_null()).unwrap_or_else(|| json!({}));
    let span = connect_span(runtime, &socket);
    let connected = async {
        let joined = let_in(runtime, &socket, auth).await;
        let refused = |refusal: Refusal| {
            span.failed(refusal.label());
            refuse_connect(&runtime.sessions, &runtime.namespace, &socket, &refusal)
        };
        let joined = joined.map_err(refused)?;
        // A client that is told that it is connected must be reachable from all pods.
        joined.settled().await;
        Ok(())
    };
    span.scope().within(connected).await
}

/// The span of a CONNECT. For the first CONNECT of a connection, it begins with the connection's first request.
fn connect_span(runtime: &NamespaceRuntime, socket: &IoSocket<Adapter>) -> Span {
    if !traces::is_on() {
        return Span::default();
    }
    let connection = connection_of(&runtime.sessions, socket);
    let began = connection.as_ref().and_then(|connection| connection.connects().began_before());
    let caused_by = connection.and_then(|connection| connection.request().caused_by());
    traces::connect(&runtime.context.label, began, caused_by.as_ref())
}

/// Finds out who the client is, and puts its socket in the namespace.
async fn let_in(
    runtime: &Arc<NamespaceRuntime>,
    socket: &Arc<IoSocket<Adapter>>,
    auth: Json,
) -> Result<Joined, Refusal> {
    let Some(connection) = connection_of(&runtime.sessions, socket) else {
        // Its CONNECT was read after the edge had closed the connection.
        tracing::debug!(socket = %socket.id, "a client asks to be let in, and has gone");
        return Err(Refusal::new(codes::BAD_REQUEST, "this connection has ended"));
    };
    // The `auth` of the stock client: `io(url, { auth: { token } })`. A token there counts even if it is invalid and the request
    // that opened the connection has another one.
    let sent = auth.get("token").and_then(Json::as_str);
    let token = sent.or(connection.request().credential()).map(Secret::new);
    let handshake = Handshake {
        namespace: runtime.context.path.clone(),
        parameters: runtime.context.parameters.clone(),
        id: socket.id.to_string(),
        // Only functions that decide look at it. Without any, each connection is spared the work.
        details: match runtime.namespace.decides_on_handshakes() {
            true => connection.request().handshake(Some(&socket.req_parts().uri)),
            false => Json::Null,
        },
        token,
        auth,
        claims: None,
    };
    let kept = runtime.context.keeps_auth.then(|| handshake.auth.clone());
    if kept.as_ref().is_some_and(|auth| auth.to_string().len() > MAX_AUTH) {
        return Err(Refusal::new(codes::BAD_REQUEST, "`auth` is too large"));
    }
    let admission = identify_at_connect(runtime, &handshake).await?;
    let previous = handshake.previous().filter(|id| id.len() <= MAX_PREVIOUS_ID);
    let previous = previous.filter(|_| runtime.namespace.on_reconnect.is_some()).map(str::to_owned);
    let Admission { identity, rooms } = run_handshakes(runtime, handshake, admission).await?;

    // Not before: a client that leaves while all this is found out has been in no namespace.
    let NamespaceContext { path, backplane, .. } = &*runtime.context;
    let Some(here) = backplane.local(path) else {
        return Err(Refusal::new(codes::BAD_REQUEST, "this namespace has ended"));
    };
    if !runtime.namespace.outgoing_listeners.is_empty() {
        here.listen();
    }
    let handle = here.socket(socket.id);
    let entered = connection.enter_namespace();
    let active = ActiveSocket::new(runtime, socket, handle.clone(), entered, previous);
    handle.enter(active.as_member());
    set_identity(&active, identity);
    if let Some(auth) = kept {
        active.state.set_auth(auth);
    }
    let rooms = if may_act(&active) {
        InitialRooms::new(&active, rooms).within_limit(&active)
    } else {
        // It gets nothing that is emitted to the whole namespace before it has authenticated.
        handle.unauthenticated();
        active.defer_rooms(rooms);
        Vec::new()
    };
    // As on Node: the room of its own id is how a socket is addressed.
    let own = socket.id.to_string();
    let rooms = rooms.into_iter().chain([own]).collect();
    let joined = handle.join(rooms);

    socket.on_fallback(Dispatcher(active.clone()));
    socket.on_disconnect(Disconnector(active));
    Ok(joined)
}
