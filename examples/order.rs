//! The order in which a namespace looks at an event, shown by a namespace whose every step tells the client.
//!
//!     cargo run --example order -- --listen 127.0.0.1:3000
//!
//! `docs/gateway.md` has the order in words; tests/js/execution.test.mjs compares. Steps that are asked to, by the query
//! `?panic=`, panic: that harms nobody else.

use std::{process::ExitCode, time::Duration};

use roomcast::{
    Ack, Args, Bearer, Event, Grant, Handshake, Name, Namespace, Refusal, Socket, cli,
    config::Config,
};
use serde_json::json;
use tokio::sync::Notify;

/// What the event `slow` waits for.
static GO: Notify = Notify::const_new();

fn main() -> ExitCode {
    cli::run_with([order()])
}

fn order() -> Namespace {
    let mut limits = Config::defaults().limits;
    limits.max_payload = 1000;
    Namespace::new("/order")
        .limits(limits)
        .auth_timeout(Duration::from_secs(20))
        .authenticator(|handshake: Handshake| async move { who(&handshake) })
        .handshake(|handshake: Handshake| async move { may_come(&handshake) })
        .default_rooms(["all"])
        .on_connect(|socket: &Socket| {
            socket.set_data(json!({"visits": 1}));
            step(socket, "connect");
            panic_if(socket, "connect");
        })
        .on_reconnect(|socket: &Socket, previous: &str| {
            step(socket, &format!("reconnect {previous}"))
        })
        .on_disconnect(|socket: &Socket, reason: &str| {
            let _ = socket.to("all").emit("gone", &(socket.id(), reason));
            panic_if(socket, "disconnect");
        })
        .use_packet(|event: &Event<'_>| {
            step(event.socket(), "packet");
            match event.name() {
                "forbidden" => Err(Refusal::new("forbidden", "by the packet middleware")),
                "panic:packet" => panic!("as asked"),
                _ => Ok(()),
            }
        })
        .on_any(|event: &Event<'_>| step(event.socket(), &format!("any {}", event.name())))
        .on("add", |socket: Socket, Args((a, b)): Args<(i64, i64)>| {
            step(&socket, "handler");
            Ack(a + b)
        })
        .on("slow", async |socket: Socket, Name(name): Name, Args(text): Args<String>| {
            step(&socket, "handler");
            GO.notified().await;
            Ok::<_, Refusal>(Ack(format!("{name} {text}")))
        })
        .on("go", |_: Socket| {
            GO.notify_one();
            Ack(())
        })
        .auth("who", |Bearer(claims): Bearer| Ack(claims))
        .on("nothing", |_: Socket| ())
        .on("fail", |_: Socket| Err::<(), _>(Refusal::new("failed", "by the handler")))
        .on("panic", |_: Socket| -> () { panic!("as asked") })
        .on("panic:later", async |_: Socket| -> () { panic!("as asked") })
        .on("data", |socket: Socket| Ack(socket.data()))
}

/// Tells the client of a step.
fn step(socket: &Socket, name: &str) {
    let _ = socket.emit("step", name);
}

fn who(handshake: &Handshake) -> Result<Grant, Refusal> {
    panic_at(&handshake.details, "authenticator");
    match handshake.token.as_ref().map(|token| token.expose()) {
        Some(name @ ("ada" | "bob")) => {
            let claims = json!({"sub": name}).as_object().cloned();
            Ok(Grant { claims, rooms: None })
        }
        _ => Err(Refusal::new("stranger", "nobody knows you")),
    }
}

fn may_come(handshake: &Handshake) -> Result<Grant, Refusal> {
    panic_at(&handshake.details, "handshake");
    match handshake.auth["refuse"].as_bool() {
        Some(true) => Err(Refusal::new("closed", "by the handshake")),
        _ => Ok(Grant::default()),
    }
}

fn panic_if(socket: &Socket, step: &str) {
    panic_at(&socket.handshake(), step);
}

fn panic_at(handshake: &serde_json::Value, step: &str) {
    assert!(handshake["query"]["panic"] != step, "as asked");
}
