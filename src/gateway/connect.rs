//! A client connects to a namespace.
//!
//! All is done in a connect *middleware*, which runs before CONNECT is answered: socketioxide drops
//! an event that comes before its handler is there, and runs connect handlers after the answer.

use std::{
    convert::Infallible,
    sync::{Arc, Weak},
};

use metrics::{Counter, counter, gauge};
use serde::Deserialize;
use socketioxide::{
    extract::{SocketRef, TryData},
    handler::{ConnectHandler, FromConnectParts},
    socket::{DisconnectReason, Socket as IoSocket},
};
use socketioxide_core::{Sid, Value};

use super::{
    Namespace, Refusal,
    auth::{self, Claims, Tokens},
    codes,
    dispatch::Dispatched,
};
use crate::{
    backplane::{Adapter, Backplane, Io, Joined, Occupant},
    config::{AuthPolicy, Limits},
    edge::{CloseReason, InNamespace, Sessions},
    telemetry::metrics::{CONNECTS_REFUSED, EVENTS, SOCKETS},
};

/// What is shared by the sockets of one namespace.
pub(super) struct Runtime {
    pub namespace: Namespace,
    pub backplane: Backplane,
    pub limits: Limits,
    /// Where the connections of sockets are.
    sessions: Arc<Sessions>,
    /// Events that were handled, looked up once: it is on the way of every message.
    pub handled: Counter,
    tokens: Option<Tokens>,
}

/// What the gateway knows of a socket. It lives in the socket's extensions, and dies with it.
pub(super) struct Member {
    pub(super) runtime: Arc<Runtime>,
    pub(super) claims: Option<Claims>,
    pub(super) connection: InNamespace,
    id: Sid,
    /// The socket that this belongs to.
    socket: Weak<IoSocket<Adapter>>,
    /// Itself, as the backplane knows it.
    occupant: Weak<Member>,
}

impl std::ops::Deref for Member {
    type Target = Runtime;

    fn deref(&self) -> &Runtime {
        &self.runtime
    }
}

impl Member {
    /// The backplane need not know it any longer.
    fn depart(&self) {
        let occupant: Weak<dyn Occupant> = self.occupant.clone();
        self.backplane.depart(&self.namespace.path, self.id, &occupant);
    }
}

impl Occupant for Member {
    fn handshake(&self) -> serde_json::Value {
        let socket = self.socket.upgrade();
        let uri = socket.as_ref().map(|socket| &socket.req_parts().uri);
        self.connection.handshake(uri)
    }

    fn data(&self) -> serde_json::Value {
        match &self.claims {
            Some(claims) => serde_json::json!({ "claims": claims }),
            None => serde_json::json!({}),
        }
    }

    fn close_connection(&self) {
        self.connection.close();
    }

    fn overflowed(&self) {
        self.connection.overflowed();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Also for a socket whose connection ended before it was let in.
        self.depart();
        gauge!(SOCKETS.name, "namespace" => self.namespace.path.clone()).decrement(1);
    }
}

/// The namespace that there is when nothing is configured: clients connect, and may do nothing.
pub fn open() -> Namespace {
    Namespace::new("/").auth(AuthPolicy::None)
}

/// Lets clients connect to a namespace.
pub fn attach(
    io: &Io,
    namespace: Namespace,
    backplane: Backplane,
    sessions: Arc<Sessions>,
    limits: Limits,
    tokens: Option<Tokens>,
) {
    let path = namespace.path.clone();
    let mut namespace = namespace;
    let server_side = namespace.server_side.take();
    let handled = counter!(EVENTS.name, "namespace" => path.clone(), "result" => "ok");
    let runtime = Arc::new(Runtime {
        handled,
        namespace,
        backplane: backplane.clone(),
        sessions,
        limits,
        tokens,
    });
    let middleware = move |Entering(socket): Entering, auth: TryData<Auth>| {
        let runtime = runtime.clone();
        async move {
            let entered = enter(&runtime, &socket, auth.0.ok()).await.inspect_err(|refusal| {
                let path = runtime.namespace.path.clone();
                counter!(CONNECTS_REFUSED.name, "namespace" => path, "code" => refusal.code)
                    .increment(1);
                tracing::debug!(socket = %socket.id, code = refusal.code, "connect refused");
            });
            // A client that is told it is connected is reached from all pods.
            entered.map_err(|refusal| refusal.message)?.settled().await;
            Ok::<_, std::borrow::Cow<'static, str>>(())
        }
    };
    io.ns(path.clone(), (async || {}).with(middleware));
    if let Some(handler) = server_side {
        // The namespace exists now.
        let _ = backplane.on_server_side(&path, handler);
    }
}

/// The socket that asks to be let in.
struct Entering(Arc<IoSocket<Adapter>>);

impl FromConnectParts<Adapter> for Entering {
    type Error = Infallible;

    fn from_connect_parts(
        socket: &Arc<IoSocket<Adapter>>,
        _: &Option<Value>,
    ) -> Result<Self, Infallible> {
        Ok(Self(socket.clone()))
    }
}

/// The `auth` of the stock client: `io(url, { auth: { token } })`.
#[derive(Default, Deserialize)]
struct Auth {
    #[serde(default)]
    token: Option<String>,
}

async fn enter(
    runtime: &Arc<Runtime>,
    socket: &Arc<IoSocket<Adapter>>,
    auth: Option<Auth>,
) -> Result<Joined, Refusal> {
    let Some(connection) = runtime.sessions.find(socket.id) else {
        tracing::error!(socket = %socket.id, "bug: a socket whose connection the edge does not know");
        return Err(Refusal::new(codes::BAD_REQUEST, "this connection cannot be served"));
    };
    let auth = auth.unwrap_or_default();
    let token = auth::find(auth.token.as_deref(), connection.credential());
    let claims = authenticate(runtime, token).await?;
    let connection = connection.enter_namespace();
    gauge!(SOCKETS.name, "namespace" => runtime.namespace.path.clone()).increment(1);
    let member = Arc::new_cyclic(|occupant| Member {
        runtime: runtime.clone(),
        claims,
        connection,
        id: socket.id,
        socket: Arc::downgrade(socket),
        occupant: occupant.clone(),
    });
    let (path, occupant) = (&runtime.namespace.path, member.occupant.clone());
    socket.extensions.insert(member);
    // As on Node: the room of its own id is how a socket is addressed.
    runtime.backplane.enter(path, socket.id, occupant);
    let own = socket.id.to_string();
    let rooms = runtime.namespace.default_rooms.iter().cloned().chain([own]).collect();
    let joined = runtime.backplane.join(path, socket.id, rooms);

    socket.on_fallback(async |_: Dispatched| {});
    socket.on_disconnect(async |socket: SocketRef<Adapter>, reason: DisconnectReason| {
        if let Some(member) = socket.extensions.get::<Arc<Member>>() {
            member.connection.ended(CloseReason::from(reason));
            member.depart();
        }
    });
    Ok(joined)
}

async fn authenticate(runtime: &Runtime, token: Option<&str>) -> Result<Option<Claims>, Refusal> {
    let token = match (runtime.namespace.auth, token) {
        (AuthPolicy::None, _) | (AuthPolicy::Optional, None) => return Ok(None),
        (AuthPolicy::Required, None) => {
            let message = "authentication required: send a token in `auth.token`";
            return Err(Refusal::new(codes::AUTHENTICATION_REQUIRED, message));
        }
        (_, Some(token)) => token,
    };
    let checked = match &runtime.tokens {
        Some(tokens) => tokens.check(token).await.ok(),
        // Without a key no token is valid.
        None => None,
    };
    match checked {
        Some(claims) => Ok(Some(claims)),
        None => Err(Refusal::new(codes::TOKEN_INVALID, "the token is invalid or has expired")),
    }
}
