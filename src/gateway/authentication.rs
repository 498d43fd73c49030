//! Who a client is: when it connects, later by the event `authenticate`, and when its token ends.
//!
//! The events and their payloads are those of the helpers for Socket.IO servers that people come from: the client
//! emits `authenticate` with `{token}`; the server answers `authenticated`, or `unauthenticated` with
//! `{message, time}` and disconnects.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value as Json, json};

use super::{
    Event, Refusal, Reply, Socket, TokenError,
    admission::Handshake,
    codes,
    guarded::guarded_later,
    member::{Identity, Member, Runtime},
};
use crate::{
    config::{AuthPolicy, Secret},
    telemetry::traces,
};

/// The event with which a client authenticates after it has connected.
pub(super) const AUTHENTICATE: &str = "authenticate";
/// When a socket whose deadline comes before it is connected is looked at again.
const NOT_YET: Duration = Duration::from_millis(100);
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
    handshake: &Handshake,
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
    let span = traces::authenticate(&runtime.namespace.path);
    let identified = span.scope().within(identified(runtime, handshake)).await;
    identified.inspect_err(|refusal| span.failed(refusal.label()))
}

async fn identified(runtime: &Runtime, handshake: &Handshake) -> Result<Admitted, Refusal> {
    if let Some(authenticator) = &runtime.namespace.authenticator {
        let asked = async { authenticator(handshake.clone()).await };
        let grant = guarded_later("authenticator", asked).await??;
        let identity = Identity::without_token(grant.claims.unwrap_or_default(), true);
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

/// Asks the functions of the namespace in turn what they make of a client: they may refuse it, grant it rooms, and change
/// what it is known by. It makes no difference whether it shows who it is when it connects or later.
pub(super) async fn through_handshakes(
    runtime: &Runtime,
    mut handshake: Handshake,
    admitted: Admitted,
) -> Result<Admitted, Refusal> {
    let Admitted { mut identity, mut rooms } = admitted;
    for decide in &runtime.namespace.handshakes {
        handshake.claims = identity.as_ref().map(|identity| identity.claims.clone());
        let asked = async { decide(handshake.clone()).await };
        let grant = guarded_later("handshake", asked).await??;
        rooms.extend(grant.rooms.unwrap_or_default());
        if let Some(claims) = grant.claims {
            match &mut identity {
                Some(identity) => identity.claims = claims,
                None => identity = Some(Identity::without_token(claims, false)),
            }
        }
    }
    Ok(Admitted { identity, rooms })
}

fn by_token(runtime: &Runtime, token: &str, claims: super::Claims) -> Identity {
    let left = runtime.tokens.as_ref().and_then(|tokens| tokens.valid_for(&claims));
    let again = runtime.namespace.checks_tokens_again;
    Identity {
        shown: true,
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
        Some(identity) if identity.shown => identity.until,
        _ if namespace.policy == AuthPolicy::Required => {
            namespace.auth_timeout.map(|timeout| now + timeout)
        }
        _ => None,
    };
    member.identify(identity.map(Arc::new));
    member.runtime.deadlines.set(member, until);
}

/// The deadline of a socket has come: its token has ended, or it has not authenticated in time.
pub(super) fn over(member: &Arc<Member>) {
    let now = Instant::now();
    let Some(socket) = member.socket() else { return };
    // Its CONNECT waits for other pods: it can be neither told nor put out.
    if !socket.is_connected() {
        member.runtime.deadlines.set(member, Some(now + NOT_YET));
        return;
    }
    let Some(identity) = member.shown() else {
        let refusal = Refusal::new(codes::AUTHENTICATION_TIMEOUT, "authentication timed out");
        tell(member, &refusal);
        socket.disconnect(false);
        return;
    };
    // It has shown another one at this moment.
    if identity.until.is_none_or(|until| until > now) {
        return;
    }
    member.identify(None);
    let renewal = member.namespace.auth_timeout.unwrap_or(RENEWAL);
    member.runtime.deadlines.set(member, Some(now + renewal));
    tell(member, &Refusal::new(codes::TOKEN_INVALID, "the token has expired"));
}

/// Tells a client that it is not authenticated.
fn tell(member: &Member, refusal: &Refusal) {
    let time = super::now_millis();
    let (code, message) = (&refusal.code, &refusal.message);
    member.tell("unauthenticated", &json!({"message": message, "time": time, "code": code}));
}

/// Tells a client that it is not authenticated; it goes when it has its answer.
fn put_out(member: &Member, refusal: Refusal) -> Refusal {
    tell(member, &refusal);
    member.dismiss();
    refusal
}

/// The event `authenticate`: a token, as `{token}` or as text. One at a time for each socket.
pub(super) fn authenticate(event: &Event<'_>) -> Result<Reply, Refusal> {
    let member = event.socket.member.clone();
    let auth = match event.arguments().unwrap_or_default() {
        Json::String(token) => json!({ "token": token }),
        auth => auth,
    };
    let Some(token) = auth["token"].as_str() else {
        let refusal = Refusal::new(codes::BAD_REQUEST, "expected {\"token\": \"…\"}");
        return Err(put_out(&member, refusal));
    };
    let Some(checking) = member.begin_authenticating() else {
        let message = "a token of this socket is being checked: wait for the answer";
        return Err(Refusal::new(codes::TOO_MANY_PENDING, message));
    };
    let socket = event.socket().clone();
    // At once where it can be: events that the client sends right behind it find it authenticated.
    if !member.namespace.asks()
        && let Some(tokens) = &member.tokens
        && let Ok(claims) = tokens.check_now(token)
    {
        let identity = by_token(&member.runtime, token, claims);
        return welcome(&socket, Admitted { identity: Some(identity), rooms: Vec::new() });
    }
    let mut handshake = Handshake::of(&socket);
    handshake.token = Some(Secret::new(token));
    handshake.auth = auth;
    Ok(Reply::later(async move {
        let _checking = checking;
        let admitted = async {
            let admitted = identify(&member.runtime, &handshake).await?;
            through_handshakes(&member.runtime, handshake, admitted).await
        };
        match admitted.await {
            Ok(admitted) => welcome(&socket, admitted),
            // It may send it again, as long as it may be without.
            Err(refusal) if !refusal.is_acked() => Err(refusal),
            Err(refusal) => Err(put_out(&member, refusal)),
        }
    }))
}

/// A client has authenticated after it connected.
fn welcome(socket: &Socket, admitted: Admitted) -> Result<Reply, Refusal> {
    let member = &socket.member;
    let mut rooms = admitted.rooms;
    rooms.extend(member.take_owed());
    // From now on its events are handled, whatever it waits for.
    settle(member, admitted.identity);
    let rooms = super::connect::rooms_of(member, rooms);
    if member.is_announced()
        && let Some(rules) = &member.namespace.rules
    {
        rules.reconsider(socket, &rooms);
    }
    let joined = socket.begin_to_join(rooms);
    member.backplane.release(&member.path, member.id);
    let reply = Reply::json(json!({"authenticated": true}))?;
    let finish = |socket: &Socket| {
        socket.member.tell("authenticated", &json!({"time": super::now_millis()}));
        super::connect::connected(socket);
    };
    if joined.is_settled() {
        finish(socket);
        return Ok(reply);
    }
    // A client that is told it is authenticated is reached from all pods.
    let socket = socket.clone();
    Ok(Reply::later(async move {
        joined.settled().await;
        finish(&socket);
        Ok(reply)
    }))
}

/// Whether the token that a socket showed is valid now, by the keys of now.
pub(super) fn verify(socket: &Socket) -> Result<(), Refusal> {
    let member = &socket.member;
    let Some(identity) = member.shown() else {
        return Err(Refusal::authentication_required());
    };
    match (&identity.token, &member.tokens) {
        (Some(token), Some(tokens)) => tokens.check_now(token.expose()).map(drop).map_err(refused),
        // Who it is was said by a function of the program.
        _ => Ok(()),
    }
}
