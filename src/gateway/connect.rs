//! A client connects to a namespace.
//!
//! All is done in a connect *middleware*, which runs before CONNECT is answered: socketioxide drops
//! an event that comes before its handler is there, and runs connect handlers after the answer.

use std::{
    collections::HashSet,
    convert::Infallible,
    fmt::Display,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use metrics::counter;
use serde_json::{Value as Json, json};
use socketioxide::{
    ProtocolVersion,
    extract::TryData,
    handler::{ConnectHandler, FromConnectParts},
    socket::Socket as IoSocket,
};
use socketioxide_core::Value;

use super::{
    Children, Namespace, Refusal, Socket, Tokens,
    admission::Handshake,
    auth,
    authentication::{self, Admitted},
    codes,
    deadlines::Deadlines,
    decide::is_no_id,
    dispatch::Dispatcher,
    guarded::guarded,
    leaving::Leaving,
    member::{Member, Runtime},
    now_millis, rejected,
};
use crate::{
    backplane::{Adapter, Backplane, Io, Joined},
    config::{AuthPolicy, Limits, Secret},
    edge::{CloseReason, Connection, Sessions, refusal_text},
    telemetry::{
        metrics::{CONNECTS_REFUSED, EVENTS},
        traces::{self, Span},
    },
};

/// Bytes of an id that a client says its socket had before; Node's have 20.
const LONGEST_ID: usize = 64;
/// Bytes of an `auth` that is kept, as JSON.
const LONGEST_AUTH: usize = 16 * 1024;

/// What the sockets of all namespaces share.
#[derive(Clone)]
pub struct Shared {
    /// What carries emits.
    pub backplane: Backplane,
    /// Where connections are.
    pub sessions: Arc<Sessions>,
    /// What a client can send at most.
    pub limits: Limits,
    /// What tokens are checked with.
    pub tokens: Option<Tokens>,
}

/// The namespace that there is when nothing is configured: clients connect, and may do nothing.
pub fn open() -> Namespace {
    Namespace::new("/").authentication(AuthPolicy::None)
}

/// Lets clients connect to a namespace. What is given back keeps its time, and is to run as long as the pod.
pub fn attach(
    io: &Io,
    mut namespace: Namespace,
    shared: Shared,
) -> impl Future<Output = Infallible> + Send + 'static {
    let path = namespace.path.clone();
    let server_side = namespace.server_side.take();
    let backplane = shared.backplane.clone();
    let runtime = runtime(path.clone(), Arc::new(namespace), shared, None);
    io.ns(path.clone(), Entrance(runtime.clone()));
    if let Some(handler) = server_side {
        // The namespace exists now.
        let _ = backplane.on_server_side(&path, Box::new(handler));
    }
    runtime.namespace.hear_rooms(&backplane, &path);
    keep_time(runtime)
}

/// What the sockets of a namespace share.
pub(super) fn runtime(
    path: String,
    namespace: Arc<Namespace>,
    shared: Shared,
    children: Option<Children>,
) -> Arc<Runtime> {
    let Shared { backplane, sessions, limits, tokens } = shared;
    Arc::new(Runtime {
        handled: counter!(EVENTS.name, "nsp" => namespace.path.clone(), "result" => "ok"),
        limits: namespace.limits.clone().unwrap_or(limits),
        path,
        namespace,
        children,
        backplane,
        sessions,
        tokens,
        deadlines: Deadlines::default(),
        rooms_left_out: AtomicBool::new(false),
    })
}

/// Watches the deadlines of a namespace, and sends its heartbeats.
pub(super) async fn keep_time(runtime: Arc<Runtime>) -> Infallible {
    let beats = async {
        let Some(interval) = runtime.namespace.heartbeat else {
            return std::future::pending().await;
        };
        loop {
            tokio::time::sleep(interval).await;
            for occupant in runtime.backplane.occupants(&runtime.path) {
                occupant.heartbeat(now_millis());
            }
        }
    };
    tokio::select! {
        never = runtime.deadlines.watch(authentication::over) => never,
        never = beats => never,
    }
}

/// Lets the clients of a namespace in.
#[derive(Clone)]
struct Entrance(Arc<Runtime>);

pub(super) type Entered = Result<(), Box<dyn Display + Send>>;

impl ConnectHandler<Adapter, Self> for Entrance {
    fn call_middleware<'a>(
        &'a self,
        socket: Arc<IoSocket<Adapter>>,
        auth: &'a Option<Value>,
    ) -> Pin<Box<dyn Future<Output = Entered> + Send + 'a>> {
        let Self(runtime) = self;
        Box::pin(async move {
            let entered = admit(runtime, socket.clone(), auth).await;
            if entered.is_err() {
                stays_out(&runtime.sessions, &socket);
            }
            entered
        })
    }

    /// What a program is told of a socket, it is told once that is connected: then it can emit to it.
    fn call(&self, socket: Arc<IoSocket<Adapter>>, _: Option<Value>) {
        let Self(runtime) = self;
        if let Some(occupant) = runtime.backplane.occupant(&runtime.path, socket.id) {
            occupant.connected();
        }
    }
}

/// Lets a client in, or says why not.
pub(super) async fn admit(
    runtime: &Arc<Runtime>,
    socket: Arc<IoSocket<Adapter>>,
    auth: &Option<Value>,
) -> Entered {
    let Ok(TryData(auth)) = TryData::<Json>::from_connect_parts(&socket, auth);
    // As on Node: who sends nothing has sent an empty object.
    let auth = auth.ok().filter(|auth| !auth.is_null()).unwrap_or_else(|| json!({}));
    let span = traced(runtime, &socket);
    let entered = async {
        let entered = enter(runtime, &socket, auth).await;
        let refused = |refusal: Refusal| {
            span.failed(refusal.label());
            refused(&runtime.sessions, &runtime.namespace, &socket, &refusal)
        };
        let joined = entered.map_err(refused)?;
        // A client that is told it is connected is reached from all pods.
        joined.settled().await;
        Ok(())
    };
    span.scope().within(entered).await
}

/// The span of a client that is let in. The first of a connection begins with its first request.
fn traced(runtime: &Runtime, socket: &IoSocket<Adapter>) -> Span {
    if !traces::is_on() {
        return Span::default();
    }
    let connection = connection_of(&runtime.sessions, socket);
    let began = connection.as_ref().and_then(|connection| connection.connects().began_before());
    let caused_by = connection.and_then(|connection| connection.request().caused_by());
    traces::connect(&runtime.namespace.path, began, caused_by.as_ref())
}

/// What a client is told that is not let in.
pub(super) fn refused(
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
    Box::new(refusal_text(&said(socket, refusal)))
}

/// As Node says it: the message for people, and data for programs. Clients of Engine.IO 3 are told data alone, so it has
/// both. Data of a program that is no object stands alone, as on Node.
fn said(socket: &IoSocket<Adapter>, refusal: &Refusal) -> Json {
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

/// A client is not let in: what it sent behind goes on once it has been told so.
pub(super) fn stays_out(sessions: &Sessions, socket: &Arc<IoSocket<Adapter>>) {
    if let Some(connection) = connection_of(sessions, socket) {
        connection.connects().refused(socket.ns(), Arc::downgrade(socket));
    }
}

fn connection_of(sessions: &Sessions, socket: &IoSocket<Adapter>) -> Option<Arc<Connection>> {
    // In the request where it polls or is connected at once (Engine.IO v3); else known by its id by now.
    let connection = socket.req_parts().extensions.get::<Arc<Connection>>().cloned();
    connection.or_else(|| sessions.find(socket.id))
}

async fn enter(
    runtime: &Arc<Runtime>,
    socket: &Arc<IoSocket<Adapter>>,
    auth: Json,
) -> Result<Joined, Refusal> {
    let Some(connection) = connection_of(&runtime.sessions, socket) else {
        // What it sent with its last words was read after the edge had seen it go.
        tracing::debug!(socket = %socket.id, "a client asks to be let in, and has gone");
        return Err(Refusal::new(codes::BAD_REQUEST, "this connection has ended"));
    };
    // The `auth` of the stock client: `io(url, { auth: { token } })`.
    let shown = auth.get("token").and_then(Json::as_str);
    let token = auth::find(shown, connection.request().credential()).map(Secret::new);
    let handshake = Handshake {
        namespace: runtime.path.clone(),
        parameters: runtime.namespace.parameters(&runtime.path),
        id: socket.id.to_string(),
        // Nobody looks at it where nobody is asked, which is on the way of each connection.
        details: match runtime.namespace.asks() {
            true => connection.request().handshake(Some(&socket.req_parts().uri)),
            false => Json::Null,
        },
        token,
        auth,
        claims: None,
    };
    let kept = runtime.namespace.keeps_auth.then(|| handshake.auth.clone());
    if kept.as_ref().is_some_and(|auth| auth.to_string().len() > LONGEST_AUTH) {
        return Err(Refusal::new(codes::BAD_REQUEST, "`auth` is too large"));
    }
    let admitted = authentication::at_connect(runtime, &handshake).await?;
    let previous = handshake.previous().filter(|id| id.len() <= LONGEST_ID).map(str::to_owned);
    let Admitted { identity, rooms } =
        authentication::through_handshakes(runtime, handshake, admitted).await?;

    // Not before: a client that leaves while all this is found out has been in no namespace.
    let member = Member::new(runtime, socket, connection.enter_namespace());
    let path = &runtime.path;
    runtime.backplane.enter(path, socket.id, member.occupant());
    if !runtime.namespace.outgoing_listeners.is_empty() {
        // The namespace exists now.
        let _ = runtime.backplane.listen(path);
    }
    authentication::settle(&member, identity);
    if let Some(auth) = kept {
        member.keep_auth(auth);
    }
    let rooms = if may_act(&member) {
        rooms_of(&member, rooms)
    } else {
        // What goes to the whole namespace is not for it yet.
        runtime.backplane.hold(path, socket.id);
        member.owe(rooms);
        Vec::new()
    };
    // As on Node: the room of its own id is how a socket is addressed.
    let own = socket.id.to_string();
    let rooms = rooms.into_iter().chain([own]).collect();
    let joined = runtime.backplane.join(path, socket.id, rooms);

    socket.on_fallback(Dispatcher(member.clone()));
    socket.on_disconnect(Leaving(member.clone()));
    if runtime.namespace.on_reconnect.is_some()
        && let Some(previous) = previous
    {
        member.came_from(previous);
    }
    Ok(joined)
}

/// Whether a socket is in, and has not to authenticate first.
pub(super) fn may_act(member: &Member) -> bool {
    member.namespace.policy != AuthPolicy::Required || member.is_authenticated()
}

/// The rooms that a socket is put in, with those that it was granted.
pub(super) fn rooms_of(member: &Member, granted: Vec<String>) -> Vec<String> {
    let namespace = &member.namespace;
    let mut rooms = namespace.default_rooms.clone();
    let (own, bad) = member.as_who(|who| {
        let rules = namespace.rules.as_ref().map(|rules| rules.own_rooms(who));
        let (mut rooms, bad) = rules.unwrap_or_default();
        let own = namespace.own_rooms.iter().flat_map(|template| {
            let mut rooms = who.claims.map(|claims| template.fill(claims)).unwrap_or_default();
            // What a token says must not lead to what is sent to a socket of another server.
            rooms.retain(|room| is_no_id(template, room, who.ids));
            rooms
        });
        rooms.extend(own);
        (rooms, bad)
    });
    rooms.extend(own);
    rooms.extend(granted);
    let mut seen = HashSet::new();
    rooms.retain(|room| seen.insert(room.clone()));
    let asked = rooms.len() + bad;
    let longest = member.limits.name_length;
    // What a token says must not lead to what is sent to another socket by its id.
    let allowed = |room: &String| !member.backplane.is_socket(room) || room == member.id.as_str();
    rooms.retain(|room| !room.is_empty() && room.len() <= longest && allowed(room));
    let most = member.limits.rooms_per_socket;
    if rooms.len() > most {
        rejected::count_some(&namespace.path, codes::ROOM_LIMIT, rooms.len() - most);
        rooms.truncate(most);
    }
    let left_out = asked - rooms.len();
    if left_out > 0 {
        let (namespace, socket) = (&namespace.path, member.id);
        let remedy = "see limits.rooms_per_socket and limits.name_length";
        let message = "a socket is not put in all of its rooms";
        // One line is a hint, one for each client would be a flood.
        if member.rooms_left_out.swap(true, Ordering::Relaxed) {
            tracing::debug!(namespace, %socket, left_out, "{message}");
        } else {
            tracing::warn!(namespace, %socket, left_out, remedy, "{message}");
        }
    }
    rooms
}

/// A socket is connected, or has authenticated: if it may act now, the program hears of it.
pub(super) fn connected(socket: &Socket) {
    if may_act(&socket.member) {
        socket.member.announce(socket);
    }
}

/// A socket has gone.
pub(super) fn left(member: &Arc<Member>, reason: CloseReason) {
    // An event that waits for it to be connected need not wait any longer.
    member.note_connected();
    let reason = member.connection.ended(reason);
    member.withdraw();
    if let Some(handler) = &member.namespace.on_disconnect
        && let Some(socket) = member.socket()
    {
        let _ = guarded("on_disconnect", || handler(&socket, reason.name()));
    }
    member.depart();
}
