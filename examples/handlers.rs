//! A pod with handlers written in Rust.
//!
//!     cargo run --example handlers -- --listen 127.0.0.1:3000
//!
//! It takes the options of `roomcast serve`, and adds the namespace `/handlers`.

// The rule of this repository for tasks of pods, not of programs.
#![allow(clippy::disallowed_methods)]

use std::{process::ExitCode, time::Duration};

use roomcast::{Event, Namespace, Refusal, Reply, cli, config::AuthPolicy};

fn main() -> ExitCode {
    cli::run_with([handlers()])
}

fn handlers() -> Namespace {
    Namespace::new("/handlers")
        .authentication(AuthPolicy::None)
        .default_rooms(["all"])
        .on("echo", |event: &Event<'_>| Reply::json(event.arguments::<serde_json::Value>()?))
        .on("add", |event: &Event<'_>| {
            let (a, b): (i64, i64) = event.arguments()?;
            // A part of the event's trace, where it is traced (docs/traces.md).
            let _adding = tracing::info_span!("adding").entered();
            let sum = a.checked_add(b).ok_or(Refusal::new("too_large", "the sum is too large"))?;
            Reply::json(sum)
        })
        // The first of each client; the others are for the next handler.
        .once("vote", |event: &Event<'_>| Reply::json(event.arguments::<String>()?))
        .on("vote", |_: &Event<'_>| Reply::json("you have voted"))
        .once("hello", |_: &Event<'_>| Ok(Reply::accepted()))
        .on("ask-me", ask)
}

/// Asks the client back, and tells all in the room what it said.
fn ask(event: &Event<'_>) -> Result<Reply, Refusal> {
    let question: String = event.arguments()?;
    let answer = event
        .socket()
        .emit_with_ack::<_, String>("question", &question, Duration::from_secs(5))
        .map_err(|error| Refusal::new("cannot_ask", error.to_string()))?;
    let room = event.socket().to("all");
    // Handlers do not wait: what takes time goes on beside them.
    tokio::spawn(async move {
        match answer.await {
            Ok(answer) => room.emit("answered", &(question, answer)),
            Err(error) => room.emit("unanswered", &error.to_string()),
        }
    });
    Ok(Reply::accepted())
}
