//! What hooks decide, as functions that a namespace takes.

use serde_json::Value;

use super::{
    Event, Namespace, Refusal, Reply, Socket,
    admission::Handshake,
    codes,
    hooks::{Caller, Down, Grant, Hook, HookError, SocketInfo},
};
use crate::config::{OnFailure, Secret};

/// Says who a client is. A hook that is down knows nobody, whatever the settings say.
pub(super) async fn authenticate(hook: Hook, handshake: Handshake) -> Result<Grant, Refusal> {
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
pub(super) async fn connect(
    hook: Hook,
    handshake: Handshake,
    on_failure: OnFailure,
) -> Result<Grant, Refusal> {
    let caller = caller(&handshake, &handshake.details);
    or_else(hook.connect(&caller).await, on_failure)
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
pub(super) async fn join(
    hook: &Hook,
    socket: &Socket,
    rooms: &[String],
    on_failure: OnFailure,
) -> Result<Option<Vec<String>>, Refusal> {
    let known = Known::of(socket);
    or_else(hook.join(&known.caller(), rooms).await, on_failure).map(|grant| grant.rooms)
}

/// Answers an event. There is no answer to take the place of one that did not come.
pub(super) fn event(hook: &Hook, event: &Event<'_>) -> Result<Reply, Refusal> {
    let (hook, known) = (hook.clone(), Known::of(event.socket()));
    let (name, args) = (event.name().to_owned(), event.arguments_text()?);
    Ok(Reply::of_hook(async move {
        let answer = hook.event(&known.caller(), &name, &args).await.map_err(refusal)?;
        Reply::json(answer)
    }))
}

/// Tells a hook of each socket that has gone.
pub(super) fn disconnect(hook: &Hook, socket: &Socket, reason: &str) {
    hook.disconnect(&Known::of(socket).caller(), reason);
}

/// What is known of a socket, for as long as a call takes.
struct Known {
    namespace: String,
    id: String,
    rooms: Vec<String>,
    handshake: Value,
    claims: Option<super::Claims>,
}

impl Known {
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

/// What a hook that is down means is a setting. One that has too many calls under way is not down, and clients bring
/// that about: it decided nothing, so nothing is allowed.
fn or_else(decided: Result<Grant, HookError>, on_failure: OnFailure) -> Result<Grant, Refusal> {
    match decided {
        Err(HookError::Down(Down::InFlightLimit)) => decided.map_err(refusal),
        Err(HookError::Down(_)) if on_failure == OnFailure::Allow => Ok(Grant::default()),
        decided => decided.map_err(refusal),
    }
}

/// Adds the hooks that a namespace names.
pub(super) fn with_hooks(
    mut namespace: Namespace,
    authenticator: Option<Hook>,
    connecting: Option<Hook>,
    on_failure: OnFailure,
) -> Namespace {
    if let Some(hook) = authenticator {
        namespace = namespace.authenticator(move |handshake| authenticate(hook.clone(), handshake));
    }
    if let Some(hook) = connecting {
        namespace =
            namespace.handshake(move |handshake| connect(hook.clone(), handshake, on_failure));
    }
    namespace
}
