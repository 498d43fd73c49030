//! Namespaces that are made when a client asks for them, and who may open a session at all.
//!
//!     cargo run --example dynamic -- --listen 127.0.0.1:3000
//!
//! `io("/room-7")` connects to a room that nobody was in before; `tests/js/dynamic.test.mjs` does all of it.

use std::{process::ExitCode, sync::Mutex, time::Duration};

use axum::{
    extract::Request,
    http::{HeaderValue, header},
    middleware::{Next, from_fn},
    response::Response,
};
use roomcast::{
    Ack, Args, ConnectionError, Event, Grant, Handshake, Namespace, Refusal, Regex, RequestHead,
    Socket, cli, config::AuthPolicy,
};
use serde_json::{Value, json};

/// The last requests that were refused.
static REFUSED: Mutex<Vec<Value>> = Mutex::new(Vec::new());

fn main() -> ExitCode {
    cli::run_builder(|pod| {
        pod.namespaces([lobby(), rooms(), tenants(), games()])
            .allow_request(async |request| ticket(&request).await)
            .on_connection_error(note)
            .engine_layer(|engine| engine.layer(from_fn(headers)))
    })
}

/// Node's `io.engine.use`, and its events `initial_headers` and `headers`.
async fn headers(mut request: Request, next: Next) -> Response {
    // What the client says of it does not count.
    request.headers_mut().insert("x-layer", HeaderValue::from_static("seen"));
    let new = !request.uri().query().unwrap_or_default().contains("sid=");
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert("x-every", HeaderValue::from_static("1"));
    if new {
        headers.append(header::SET_COOKIE, HeaderValue::from_static("first=1"));
    }
    response
}

/// Node's `allowRequest`: nothing of a client is there yet but its request. What takes longer than
/// `admission.allow_request_timeout` is answered for it.
async fn ticket(request: &RequestHead) -> Result<(), String> {
    match request.query("ticket").as_deref() {
        Some("unknown") => std::future::pending().await,
        Some("bad") => Err(format!("no ticket, {}", request.header("x-name").unwrap_or("nobody"))),
        _ => Ok(()),
    }
}

/// Node's `io.engine.on("connection_error")`.
fn note(error: &ConnectionError) {
    let ConnectionError { code, message, label, request } = error;
    let path = request.uri.path();
    let mut refused = REFUSED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    refused.truncate(9);
    refused.insert(0, json!({"code": code, "message": message, "label": label, "path": path}));
}

fn lobby() -> Namespace {
    Namespace::new("/")
        .authentication(AuthPolicy::None)
        .on("refused", |_: &Event<'_>| {
            let refused = REFUSED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            roomcast::Reply::json(&*refused)
        })
        // Who is in a room of which this pod may have nobody.
        .on("look", async |socket: Socket, Args(path): Args<String>| {
            let room = socket.of(path);
            let sockets = room.clone().fetch_sockets().await.map_err(failed)?;
            let rooms = room.clone().rooms().await.map_err(failed)?.answer;
            let wait = Duration::from_secs(2);
            let acks = room.clone().emit_with_ack("ping", &1, wait).await.map_err(failed)?;
            let servers =
                room.server_side_emit_with_ack("who", Vec::new()).await.map_err(failed)?;
            let acks: Vec<Value> =
                acks.answer.answers.iter().filter_map(|ack| ack.arguments().ok()).collect();
            let ids: Vec<_> = sockets.answer.into_iter().map(|socket| socket.id).collect();
            let pods = [sockets.pods, servers.pods];
            Ok::<_, Refusal>(Ack(json!({
                "ids": ids, "rooms": rooms, "acks": acks, "servers": servers.answer, "pods": pods,
            })))
        })
}

fn failed(error: impl std::fmt::Display) -> Refusal {
    Refusal::new("failed", error.to_string())
}

/// One for each room: all have these handlers, and each its own sockets.
fn rooms() -> Namespace {
    Namespace::pattern("/room-{id}")
        .authentication(AuthPolicy::None)
        .keep_auth()
        .on_connect(|socket: &Socket| {
            // Whoever else is in this room; `auth` is what the client sent with CONNECT.
            let _ = socket.broadcast().emit("came", &socket.auth());
        })
        .on_upgrade(|socket: &Socket| drop(socket.emit("upgraded", socket.transport())))
        .on_disconnect(|socket: &Socket, reason: &str| {
            let _ = socket.broadcast().emit("went", reason);
        })
        .on_server_side(|event, _| json!({ "heard": event }))
        .on("chat", async |socket: Socket, Args(text): Args<String>| {
            socket
                .nsp()
                .emit("chat", &text)
                .await
                .map(|()| Ack(()))
                .map_err(|e| Refusal::new("unsent", e.to_string()))
        })
        .on("shout", async |socket: Socket, Args((_, text)): Args<(String, String)>| {
            socket
                .broadcast()
                .emit("chat", &text)
                .map(|()| Ack(()))
                .map_err(|e| Refusal::new("unsent", e.to_string()))
        })
        .on("me", |socket: Socket| {
            let (namespace, transport) = (socket.namespace().to_owned(), socket.transport());
            let handshake = socket.handshake();
            let number: Option<u32> = socket.parameter("id"); // 7 in `/room-7`
            Ack(json!({
                "namespace": namespace, "transport": transport, "handshake": handshake,
                "number": number, "parameters": socket.parameters(),
            }))
        })
}

/// One for each number; a middleware that says why not, with data.
fn tenants() -> Namespace {
    // Without `Regex::new(…)?`, as it is known to be one.
    let numbered =
        Regex::new("^/tenant-(?<number>[0-9]+)$").unwrap_or_else(|error| panic!("{error}"));
    Namespace::regex(&numbered).authentication(AuthPolicy::None).handshake(
        async |handshake: Handshake| {
            // Nobody is in number 0.
            let number: Option<u64> = handshake.parameter("number");
            if number != Some(0) && handshake.auth["name"].is_string() {
                return Ok(Grant::default());
            }
            let refusal = Refusal::new("no_name", "who are you?");
            Err(refusal.with_data(json!({"namespace": handshake.namespace})))
        },
    )
}

/// A function says which there may be: the first client of each must be its host.
fn games() -> Namespace {
    Namespace::dynamic("games", async |name: String, auth: Value| {
        name.starts_with("/game/") && auth["host"] == true
    })
    .authentication(AuthPolicy::None)
}
