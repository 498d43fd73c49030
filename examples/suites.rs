//! The servers that Socket.IO's own test suites talk to, with handlers in Rust.
//!
//!     cargo run --example suites -- --listen 127.0.0.1:3000 --set engine.ping_interval=300ms --set engine.ping_timeout=200ms
//!
//! `/` and `/custom` are for the suites of the protocols, and all of them for the tests of `socket.io-client`.
//! tests/js/suites.test.mjs asks the same of this and of Node.

use std::{process::ExitCode, time::Duration};

use bytes::Bytes;
use roomcast::{
    Ack, Args, Grant, Handshake, Namespace, Refusal, Socket, Spread, cli, config::AuthPolicy,
};
use serde::Deserialize;
// Any value of a client, binary among it.
use rmpv::Value as Any;
use serde_json::json;

/// How long clients have to ack.
const PATIENCE: Duration = Duration::from_secs(5);
/// A time, as JavaScript writes one.
const DATE: &str = "2026-01-31T12:00:00.000Z";

fn main() -> ExitCode {
    cli::run_builder(|pod| {
        let all = [
            binary(texts(echoes(main_namespace()))),
            open("/custom").on_connect(|socket: &Socket| drop(socket.emit("auth", &socket.auth()))),
            open("/abc")
                .on_connect(|socket: &Socket| drop(socket.emit("handshake", &socket.handshake()))),
            open("/foo").on("getId", |socket: Socket| Ack(socket.id())),
            open("/no").handshake(async |_: Handshake| {
                Err(Refusal::new("failed", "Auth failed (custom namespace)"))
            }),
            open("/timeout_socket"),
            open("/valid"),
            open("/asd"),
        ];
        pod.namespaces(all).allow_request(async |_| {
            // As if somebody had to be asked: a client with `timeout: 0` has given up by then.
            tokio::time::sleep(Duration::from_millis(10)).await;
            Ok::<_, String>(())
        })
    })
}

/// A namespace that everybody may enter, and whose sockets know what they were let in with.
fn open(name: &str) -> Namespace {
    Namespace::new(name).authentication(AuthPolicy::None).keep_auth()
}

fn main_namespace() -> Namespace {
    open("/")
        .handshake(async |handshake: Handshake| match handshake.details["query"].get("fail") {
            Some(_) => Err(Refusal::new("failed", "Auth failed (main namespace)")),
            None => Ok(Grant::default()),
        })
        .on_connect(|socket: &Socket| drop(socket.emit("auth", &socket.auth())))
}

fn echoes(namespace: Namespace) -> Namespace {
    namespace
        .on("message", |socket: Socket, Args(all): Args<Spread<Any>>| {
            let _ = socket.emit("message-back", &all);
        })
        .on("message-with-ack", |Args(all): Args<Spread<Any>>| Ack(all))
        .on("echo", |Args(value): Args<Any>| Ack(value))
        .on("hi", |socket: Socket| drop(socket.emit("hi", &())))
        .on("ack", async |socket: Socket| {
            // socket.emit("ack", (a, b) => { … })
            let Ok(asked) = socket.emit_with_ack::<_, (u32, Test)>("ack", &(), PATIENCE) else {
                return;
            };
            if let Ok((5, Test { test: true })) = asked.await {
                let _ = socket.emit("got it", &());
            }
        })
        .on("getHandshake", |socket: Socket| Ack(socket.handshake()))
        .on("getId", |socket: Socket| Ack(socket.id()))
}

#[derive(Deserialize)]
struct Test {
    test: bool,
}

fn texts(namespace: Namespace) -> Namespace {
    namespace
        .on("getAckDate", |_: Socket| Ack(DATE))
        .on("getDate", |socket: Socket| drop(socket.emit("takeDate", DATE)))
        .on("getDateObj", |socket: Socket| drop(socket.emit("takeDateObj", &json!({"date": DATE}))))
        .on("getUtf8", |socket: Socket| {
            for text in ["てすと", "Я Б Г Д Ж Й", "Ä ä Ü ü ß", "utf8 — string", "utf8 — string"]
            {
                let _ = socket.emit("takeUtf8", text);
            }
        })
        .on("false", |socket: Socket| drop(socket.emit("false", &false)))
}

/// An object with binary in it.
#[derive(Deserialize)]
struct Mixed {
    hello: String,
    message: Bytes,
    goodbye: String,
}

fn binary(namespace: Namespace) -> Namespace {
    const DOGE: Bytes = Bytes::from_static(b"asdfasdf");
    namespace
        .on("doge", |socket: Socket| drop(socket.emit("doge", &DOGE)))
        .on("getbin", |socket: Socket| drop(socket.emit("takebin", &DOGE)))
        .on("buffa", |socket: Socket, Args(_): Args<Bytes>| drop(socket.emit("buffack", &())))
        .on("jsonbuff", |socket: Socket, Args(mixed): Args<Mixed>| {
            if mixed.hello == "lol" && mixed.goodbye == "gotcha" && !mixed.message.is_empty() {
                let _ = socket.emit("jsonbuff-ack", &());
            }
        })
        .on("abuff1", |socket: Socket, Args(_): Args<Bytes>| socket.set_data(json!("abuff1")))
        .on("abuff2", |socket: Socket, Args(_): Args<String>| {
            if socket.data() == "abuff1" {
                let _ = socket.emit("abuff2-ack", &());
            }
        })
}
