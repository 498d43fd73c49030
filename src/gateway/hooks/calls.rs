//! Calls of hooks for handshakes, sockets and events, with their answers as grants, replies and refusals.

use serde_json::Value;

use super::{Caller, Down, Hook, HookError, SocketInfo};
use crate::{
    config::{OnFailure, Secret},
    gateway::{
        events::event::Event,
        replies::{
            refusal::{Refusal, codes},
            reply::Reply,
        },
        sockets::{
            handshake::{Grant, Handshake},
            socket::Socket,
        },
        tokens::Claims,
    },
};

/// Says who a client is. A hook that is down knows nobody, whatever the settings say.
pub(in crate::gateway) async fn authenticate(
    hook: Hook,
    handshake: Handshake,
) -> Result<Grant, Refusal> {
    let mut details = handshake.details.clone();
    // As on Node, `{}` if the client sent nothing.
    if !handshake.auth.is_null() {
        details["auth"] = handshake.auth.clone();
    }
    let caller = caller(&handshake, &details);
    let token = handshake.token.as_ref().map(Secret::expose);
    hook.authenticate(&caller, token).await.map_err(refusal)
}

/// Says whether a socket may connect.
pub(in crate::gateway) async fn connect(
    hook: Hook,
    handshake: Handshake,
    on_failure: OnFailure,
) -> Result<Grant, Refusal> {
    let caller = caller(&handshake, &handshake.details);
    apply_on_failure(hook.connect(&caller).await, on_failure)
}

fn caller<'a>(handshake: &'a Handshake, details: &'a Value) -> Caller<'a> {
    Caller {
        namespace: &handshake.namespace,
        socket: SocketInfo {
            id: &handshake.id,
            rooms: &[],
            handshake: details,
            claims: handshake.claims.as_ref(),
        },
    }
}

/// Says which of these rooms a socket may join; nothing: all of them.
pub(in crate::gateway) async fn join(
    hook: &Hook,
    socket: &Socket,
    rooms: &[String],
    on_failure: OnFailure,
) -> Result<Option<Vec<String>>, Refusal> {
    let snapshot = SocketSnapshot::of(socket);
    apply_on_failure(hook.join(&snapshot.caller(), rooms).await, on_failure)
        .map(|grant| grant.rooms)
}

/// Answers an event. There is no answer to take the place of one that did not come.
pub(in crate::gateway) fn event(hook: &Hook, event: &Event<'_>) -> Result<Reply, Refusal> {
    let (hook, snapshot) = (hook.clone(), SocketSnapshot::of(event.socket()));
    let (name, args) = (event.name().to_owned(), event.arguments_text()?);
    Ok(Reply::of_hook(async move {
        let answer = hook.event(&snapshot.caller(), &name, &args).await.map_err(refusal)?;
        Reply::json(answer)
    }))
}

/// Tells a hook of each socket that has gone.
pub(in crate::gateway) fn disconnect(hook: &Hook, socket: &Socket, reason: &str) {
    hook.disconnect(&SocketSnapshot::of(socket).caller(), reason);
}

/// What a hook is told of a socket. A copy, because a call may outlive what it was made for.
struct SocketSnapshot {
    namespace: String,
    id: String,
    rooms: Vec<String>,
    handshake: Value,
    claims: Option<Claims>,
}

impl SocketSnapshot {
    fn of(socket: &Socket) -> Self {
        Self {
            namespace: socket.namespace().to_owned(),
            id: socket.id(),
            rooms: socket.rooms(),
            handshake: socket.handshake(),
            claims: socket.claims(),
        }
    }

    fn caller(&self) -> Caller<'_> {
        Caller {
            namespace: &self.namespace,
            socket: SocketInfo {
                id: &self.id,
                rooms: &self.rooms,
                handshake: &self.handshake,
                claims: self.claims.as_ref(),
            },
        }
    }
}

fn refusal(error: HookError) -> Refusal {
    match error {
        HookError::Refused { code, message } => Refusal::new(code, message),
        down @ HookError::Down(_) => {
            tracing::debug!(error = %down, "a hook did not decide");
            Refusal::new(codes::HOOK_UNAVAILABLE, down.message().to_owned())
        }
    }
}

/// Applies the setting `on_failure` when the hook is down. A hook with too many calls in flight is not down: clients can bring
/// that about, so nothing is allowed then.
fn apply_on_failure(
    decided: Result<Grant, HookError>,
    on_failure: OnFailure,
) -> Result<Grant, Refusal> {
    match decided {
        Err(HookError::Down(Down::InFlightLimit)) => decided.map_err(refusal),
        Err(HookError::Down(_)) if on_failure == OnFailure::Allow => Ok(Grant::default()),
        decided => decided.map_err(refusal),
    }
}
