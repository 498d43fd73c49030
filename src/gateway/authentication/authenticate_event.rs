//! The event `authenticate`: a client authenticates after it has connected.
//!
//! The events and their payloads are those of the helpers for Socket.IO servers that people come from: the client
//! emits `authenticate` with `{token}`; the server answers `authenticated`, or `unauthenticated` with
//! `{message, time}` and disconnects.

use std::sync::Arc;

use serde_json::{Value as Json, json};

use super::{
    expiry::{emit_unauthenticated, set_identity},
    identify::{Admission, identify, identity_of_token, run_handshakes},
    initial_rooms::InitialRooms,
    policy::announce_if_allowed,
};
use crate::{
    config::Secret,
    gateway::{
        events::event::Event,
        namespaces::{active_socket::ActiveSocket, runtime::now_millis},
        replies::{
            refusal::{Refusal, codes},
            reply::Reply,
        },
        sockets::{handshake::Handshake, socket::Socket},
    },
};

/// The name of the event.
pub(in crate::gateway) const AUTHENTICATE: &str = "authenticate";

/// The event `authenticate`: a token, as `{token}` or as text. One at a time for each socket.
pub(in crate::gateway) fn authenticate(
    active: &Arc<ActiveSocket>,
    event: &Event<'_>,
) -> Result<Reply, Refusal> {
    let runtime = &active.runtime;
    let auth = match event.arguments().unwrap_or_default() {
        Json::String(token) => json!({ "token": token }),
        auth => auth,
    };
    let Some(token) = auth["token"].as_str() else {
        let refusal = Refusal::new(codes::BAD_REQUEST, "expected {\"token\": \"…\"}");
        return Err(reject(active, refusal));
    };
    let Some(checking) = active.begin_authentication() else {
        let message = "a token of this socket is being checked: wait for the answer";
        return Err(Refusal::new(codes::TOO_MANY_PENDING, message));
    };
    let socket = event.socket().clone();
    // At once where it can be: events that the client sends right behind it find it authenticated.
    if !runtime.namespace.decides_on_handshakes()
        && let Some(tokens) = &runtime.tokens
        && let Ok(claims) = tokens.check_now(token)
    {
        let identity = identity_of_token(runtime, token, claims);
        return accept(active, &socket, Admission { identity: Some(identity), rooms: Vec::new() });
    }
    let mut handshake = Handshake::of(&socket);
    handshake.token = Some(Secret::new(token));
    handshake.auth = auth;
    let active = active.clone();
    Ok(Reply::later(async move {
        let _checking = checking;
        let admission = async {
            let admission = identify(&active.runtime, &handshake).await?;
            run_handshakes(&active.runtime, handshake, admission).await
        };
        match admission.await {
            Ok(admission) => accept(&active, &socket, admission),
            // The client may send it again, as long as it need not be authenticated.
            Err(refusal) if !refusal.is_acked() => Err(refusal),
            Err(refusal) => Err(reject(&active, refusal)),
        }
    }))
}

/// Tells a client that it is not authenticated, and disconnects it when it has got the answer.
fn reject(active: &ActiveSocket, refusal: Refusal) -> Refusal {
    emit_unauthenticated(active, &refusal);
    active.dismissal.dismiss();
    refusal
}

/// Lets a client in that has authenticated after it connected.
fn accept(
    active: &Arc<ActiveSocket>,
    socket: &Socket,
    admission: Admission,
) -> Result<Reply, Refusal> {
    let mut granted = admission.rooms;
    granted.extend(active.take_deferred_rooms());
    // From now on its events are handled, whatever it waits for.
    set_identity(active, admission.identity);
    let initial = InitialRooms::new(active, granted);
    let rules = active.runtime.namespace.rules.as_ref();
    let rules = rules.filter(|_| active.progress.is_announced());
    if let Some(rules) = rules {
        rules.leave_denied_rooms(socket, &initial.rooms);
    }
    // Not before: the rooms that it has left make place for new ones.
    let rooms = initial.within_limit(active);
    if let Some(rules) = rules {
        rules.announce_joins(socket, &rooms);
    }
    let joined = socket.begin_to_join(rooms);
    active.state.handle.authenticated();
    let reply = Reply::json(json!({"authenticated": true}))?;
    let finish = |active: &ActiveSocket, socket: &Socket| {
        active.emit("authenticated", &json!({"time": now_millis()}));
        announce_if_allowed(active, socket);
    };
    if joined.is_settled() {
        finish(active, socket);
        return Ok(reply);
    }
    // A client that is told that it is authenticated must be reachable from all pods.
    let (active, socket) = (active.clone(), socket.clone());
    Ok(Reply::later(async move {
        joined.settled().await;
        finish(&active, &socket);
        Ok(reply)
    }))
}
