//! Who a client is: when it connects, later by the event `authenticate`, and when its token ends.
//!
//! The events and their payloads are those of the helpers for Socket.IO servers that people come from: the client
//! emits `authenticate` with `{token}`; the server answers `authenticated`, or `unauthenticated` with
//! `{message, time}` and disconnects.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Deserialize;
use serde_json::json;

use super::{
    Event, Refusal, Reply, Socket, TokenError,
    admission::Handshake,
    codes,
    member::{Identity, Member, Runtime},
};
use crate::config::{AuthPolicy, Secret};

/// The event with which a client authenticates after it has connected.
pub(super) const AUTHENTICATE: &str = "authenticate";
/// How long a client has to show a new token when its own has ended, where `auth_timeout` does not say.
const RENEWAL: Duration = Duration::from_secs(10);

/// Who a client is, and the rooms that this puts it in.
pub(super) struct Admitted {
    pub identity: Option<Identity>,
    pub rooms: Vec<String>,
}

/// Says who a client is when it connects.
pub(super) async fn at_connect(
    runtime: &Runtime,
    handshake: &mut Handshake,
) -> Result<Admitted, Refusal> {
    let nobody = Admitted { identity: None, rooms: Vec::new() };
    let namespace = &runtime.namespace;
    match namespace.policy {
        AuthPolicy::None => return Ok(nobody),
        AuthPolicy::Required if handshake.token.is_none() && namespace.authenticator.is_none() => {
            return match namespace.auth_timeout {
                Some(_) => Ok(nobody),
                None => Err(Refusal::authentication_required()),
            };
        }
        AuthPolicy::Optional if handshake.token.is_none() => return Ok(nobody),
        _ => {}
    }
    match identify(runtime, handshake).await {
        // It may yet show a token.
        Err(_) if handshake.token.is_none() && namespace.auth_timeout.is_some() => Ok(nobody),
        result => result,
    }
}

/// Says who the bearer of a token is, by a function of the program or by the keys of the pod.
async fn identify(runtime: &Runtime, handshake: &Handshake) -> Result<Admitted, Refusal> {
    if let Some(authenticator) = &runtime.namespace.authenticator {
        let grant = authenticator(handshake.clone()).await?;
        let claims = grant.claims.unwrap_or_default();
        let identity = Identity { until: None, token: None, claims };
        return Ok(Admitted { identity: Some(identity), rooms: grant.rooms.unwrap_or_default() });
    }
    let token = handshake.token.as_ref().map(Secret::expose).unwrap_or_default();
    let claims = match &runtime.tokens {
        Some(tokens) => tokens.check(token).await.map_err(refused)?,
        // Without a key no token is valid.
        None => return Err(invalid()),
    };
    Ok(Admitted { identity: Some(by_token(runtime, token, claims)), rooms: Vec::new() })
}

fn by_token(runtime: &Runtime, token: &str, claims: super::Claims) -> Identity {
    let left = runtime.tokens.as_ref().and_then(|tokens| tokens.valid_for(&claims));
    let again = runtime.namespace.checks_tokens_again;
    Identity {
        until: left.map(|left| Instant::now() + left),
        token: again.then(|| Secret::new(token)),
        claims,
    }
}

fn refused(error: TokenError) -> Refusal {
    tracing::debug!(%error, "token refused");
    invalid()
}

fn invalid() -> Refusal {
    Refusal::new(codes::TOKEN_INVALID, "the token is invalid or has expired")
}

/// A socket is somebody now, or has to be in time.
pub(super) fn settle(member: &Arc<Member>, identity: Option<Identity>) {
    let now = Instant::now();
    let namespace = &member.namespace;
    let until = match &identity {
        Some(identity) => identity.until,
        None if namespace.policy == AuthPolicy::Required => {
            namespace.auth_timeout.map(|timeout| now + timeout)
        }
        None => None,
    };
    member.identify(identity.map(Arc::new));
    member.runtime.deadlines.set(member, until);
}

/// The deadline of a socket has come: its token has ended, or it has not authenticated in time.
pub(super) fn over(member: &Arc<Member>) {
    let ended = member.identity();
    let refusal = match ended {
        Some(_) => Refusal::new(codes::TOKEN_INVALID, "the token has expired"),
        None => Refusal::new(codes::AUTHENTICATION_TIMEOUT, "authentication timed out"),
    };
    if ended.is_some() {
        member.identify(None);
        let renewal = member.namespace.auth_timeout.unwrap_or(RENEWAL);
        member.runtime.deadlines.set(member, Some(Instant::now() + renewal));
        tell(member, &refusal);
    } else {
        put_out(member, &refusal);
    }
}

/// Tells a client that it is not authenticated.
fn tell(member: &Member, refusal: &Refusal) {
    let time = super::now_millis();
    let (code, message) = (&refusal.code, &refusal.message);
    member.tell("unauthenticated", &json!({"message": message, "time": time, "code": code}));
}

fn put_out(member: &Member, refusal: &Refusal) {
    tell(member, refusal);
    if let Some(socket) = member.socket() {
        socket.disconnect(false);
    }
}

/// The event `authenticate`: a token, as `{token}` or as text.
pub(super) fn authenticate(event: &Event<'_>) -> Result<Reply, Refusal> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shown {
        Named { token: String },
        Bare(String),
    }

    let member = event.socket.member.clone();
    let Ok(Shown::Named { token } | Shown::Bare(token)) = event.arguments() else {
        let refusal = Refusal::new(codes::BAD_REQUEST, "expected {\"token\": \"…\"}");
        put_out(&member, &refusal);
        return Err(refusal);
    };
    let socket = event.socket().clone();
    // At once where it can be: events that the client sends right behind it find it authenticated.
    if member.namespace.authenticator.is_none()
        && let Some(tokens) = &member.tokens
        && let Ok(claims) = tokens.check_now(&token)
    {
        let identity = by_token(&member.runtime, &token, claims);
        return welcome(&socket, Admitted { identity: Some(identity), rooms: Vec::new() });
    }
    Ok(Reply::later(async move {
        let mut handshake = Handshake::of(&socket);
        handshake.token = Some(Secret::new(token));
        match identify(&member.runtime, &handshake).await {
            Ok(admitted) => welcome(&socket, admitted),
            Err(refusal) => {
                put_out(&member, &refusal);
                Err(refusal)
            }
        }
    }))
}

/// A client has authenticated after it connected.
fn welcome(socket: &Socket, admitted: Admitted) -> Result<Reply, Refusal> {
    let member = &socket.member;
    settle(member, admitted.identity);
    let joined = super::connect::rooms_of(member, admitted.rooms);
    // The other pods hear of it in time: it waits for its answer, not for them.
    socket.join(joined);
    member.tell("authenticated", &json!({"time": super::now_millis()}));
    super::connect::connected(socket);
    Reply::json(json!({"authenticated": true}))
}

/// Whether the token that a socket showed is valid now, by the keys of now.
pub(super) fn verify(socket: &Socket) -> Result<(), Refusal> {
    let member = &socket.member;
    let Some(identity) = member.identity() else {
        return Err(Refusal::authentication_required());
    };
    match (&identity.token, &member.tokens) {
        (Some(token), Some(tokens)) => tokens.check_now(token.expose()).map(drop).map_err(refused),
        // Who it is was said by a function of the program.
        _ => Ok(()),
    }
}
