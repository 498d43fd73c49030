//! Finds out who a client is: by its token, by a function of the program, or by a hook.

use std::time::Instant;

use crate::{
    config::{AuthPolicy, Secret},
    gateway::{
        namespaces::runtime::NamespaceRuntime,
        replies::{
            catch_panic::catch_panic_async,
            refusal::{Refusal, codes},
        },
        sockets::{
            handshake::Handshake,
            state::{Identity, SocketState},
        },
        tokens::{Claims, TokenError},
    },
    telemetry::traces,
};

/// Who a client is, and the rooms that this puts it in.
pub(in crate::gateway) struct Admission {
    pub identity: Option<Identity>,
    pub rooms: Vec<String>,
}

/// Finds out who a client is when it connects.
pub(in crate::gateway) async fn identify_at_connect(
    runtime: &NamespaceRuntime,
    handshake: &Handshake,
) -> Result<Admission, Refusal> {
    let nobody = Admission { identity: None, rooms: Vec::new() };
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
        // The client may still send a token.
        Err(_) if handshake.token.is_none() && namespace.auth_timeout.is_some() => Ok(nobody),
        result => result,
    }
}

/// Asks the authenticator who a client is, or checks its token if there is no authenticator.
pub(in crate::gateway) async fn identify(
    runtime: &NamespaceRuntime,
    handshake: &Handshake,
) -> Result<Admission, Refusal> {
    let span = traces::authenticate(&runtime.context.label);
    let admission = span.scope().within(identify_in_span(runtime, handshake)).await;
    admission.inspect_err(|refusal| span.failed(refusal.label()))
}

async fn identify_in_span(
    runtime: &NamespaceRuntime,
    handshake: &Handshake,
) -> Result<Admission, Refusal> {
    if let Some(authenticator) = &runtime.namespace.authenticator {
        let asked = async { authenticator(handshake.clone()).await };
        let grant = catch_panic_async("authenticator", asked).await??;
        let identity = Identity::without_token(grant.claims.unwrap_or_default(), true);
        return Ok(Admission { identity: Some(identity), rooms: grant.rooms.unwrap_or_default() });
    }
    let token = handshake.token.as_ref().map(Secret::expose).unwrap_or_default();
    let claims = match &runtime.tokens {
        Some(tokens) => tokens.check(token).await.map_err(refuse_token)?,
        // Without a key no token is valid.
        None => return Err(invalid_token()),
    };
    Ok(Admission { identity: Some(identity_of_token(runtime, token, claims)), rooms: Vec::new() })
}

/// Runs the handshake functions of the namespace in turn. Each may refuse the client, grant it rooms, and replace its claims.
/// They run when a client connects, and again when it authenticates later.
pub(in crate::gateway) async fn run_handshakes(
    runtime: &NamespaceRuntime,
    mut handshake: Handshake,
    admission: Admission,
) -> Result<Admission, Refusal> {
    let Admission { mut identity, mut rooms } = admission;
    for decide in &runtime.namespace.handshakes {
        handshake.claims = identity.as_ref().map(|identity| identity.claims.clone());
        let asked = async { decide(handshake.clone()).await };
        let grant = catch_panic_async("handshake", asked).await??;
        rooms.extend(grant.rooms.unwrap_or_default());
        if let Some(claims) = grant.claims {
            match &mut identity {
                Some(identity) => identity.claims = claims,
                None => identity = Some(Identity::without_token(claims, false)),
            }
        }
    }
    Ok(Admission { identity, rooms })
}

pub(in crate::gateway) fn identity_of_token(
    runtime: &NamespaceRuntime,
    token: &str,
    claims: Claims,
) -> Identity {
    let valid_for = runtime.tokens.as_ref().and_then(|tokens| tokens.valid_for(&claims));
    Identity {
        authenticated: true,
        expires: valid_for.map(|valid_for| Instant::now() + valid_for),
        token: runtime.namespace.keeps_tokens.then(|| Secret::new(token)),
        claims,
    }
}

fn refuse_token(error: TokenError) -> Refusal {
    tracing::debug!(%error, "token refused");
    invalid_token()
}

fn invalid_token() -> Refusal {
    Refusal::new(codes::TOKEN_INVALID, "the token is invalid or has expired")
}

/// Checks the token of a socket again, with the keys that are valid now.
pub(in crate::gateway) fn verify(
    runtime: &NamespaceRuntime,
    state: &SocketState,
) -> Result<(), Refusal> {
    let Some(identity) = state.authenticated_identity() else {
        return Err(Refusal::authentication_required());
    };
    match (&identity.token, &runtime.tokens) {
        (Some(token), Some(tokens)) => {
            tokens.check_now(token.expose()).map(drop).map_err(refuse_token)
        }
        // A function of the program, or a hook, has authenticated the client.
        _ => Ok(()),
    }
}
