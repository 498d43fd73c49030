//! Events between the servers of a cluster (`serverSideEmit` on Node).
//!
//!     cargo run --example cluster -- --set backplane.url=redis://127.0.0.1
//!
//! It takes the options of `roomcast serve`, and adds the namespace `/cluster`, whose clients may send
//! events to the other servers, and see those that came in.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use roomcast::{Event, Namespace, Refusal, Reply, cli, config::AuthPolicy};
use serde_json::{Value, json};

fn main() -> ExitCode {
    cli::run_with([cluster()])
}

fn cluster() -> Namespace {
    let seen = Arc::new(Mutex::new(Vec::<Value>::new()));
    let heard = seen.clone();
    Namespace::new("/cluster")
        .authentication(AuthPolicy::None)
        .on_server_side(move |event: String, arguments: Vec<Value>| {
            let mut seen = heard.lock().unwrap_or_else(PoisonError::into_inner);
            seen.push([json!(event)].into_iter().chain(arguments.iter().cloned()).collect());
            drop(seen);
            async move {
                match event.as_str() {
                    // A handler on Node that never calls its callback.
                    "silent" => return None,
                    "never" => std::future::pending().await,
                    // What takes time: others are heard meanwhile.
                    "slow" => tokio::time::sleep(Duration::from_millis(300)).await,
                    _ => {}
                }
                Some(json!({"pod": std::process::id(), "echo": arguments}))
            }
        })
        .on("server-side-seen", move |_: &Event<'_>| {
            Reply::json(&*seen.lock().unwrap_or_else(PoisonError::into_inner))
        })
        .on("server-side-emit", |event: &Event<'_>| {
            let (name, arguments) = split(event)?;
            let cluster = event.socket().cluster();
            cluster.server_side_emit(&name, arguments).map_err(cut_off)?;
            Ok(Reply::accepted())
        })
        .on("server-side-ask", |event: &Event<'_>| {
            let (name, arguments) = split(event)?;
            let cluster = event.socket().cluster();
            // Handlers do not wait: the ack comes when the others have answered.
            Ok(Reply::later(async move {
                let answered = cluster.server_side_emit_with_ack(&name, arguments).await;
                let answered = answered.map_err(cut_off)?;
                Reply::json(json!({"answers": answered.answer, "pods": answered.pods}))
            }))
        })
}

/// The name of the event to send, and its arguments.
fn split(event: &Event<'_>) -> Result<(String, Vec<Value>), Refusal> {
    let mut arguments: Vec<Value> = event.all_arguments()?;
    match arguments.first() {
        Some(Value::String(name)) => {
            let name = name.clone();
            arguments.remove(0);
            Ok((name, arguments))
        }
        _ => Err(Refusal::new("bad_request", "expected the name of an event")),
    }
}

fn cut_off(error: impl std::fmt::Display) -> Refusal {
    Refusal::new("cut_off", error.to_string())
}
