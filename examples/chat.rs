//! A chat written by hand: public events, events for those who have shown a token, and heavy work that a worker does.
//!
//!     redis-server --port 6379 &
//!     cargo run --example chat -- --config examples/chat.toml
//!     cargo run --example chat-worker                      # in a second terminal, or on another machine
//!     TOKEN=$(cargo run --bin roomcast -- token --config examples/chat.toml --sub ada)
//!     cargo run --example chat-client -- "$TOKEN"          # in a third
//!
//! It takes the options of `roomcast serve`, and adds the namespace `/chat`:
//!
//! | event | who | arguments | ack |
//! |---|---|---|---|
//! | `join` | anyone | `{rooms}` | `{joined, rejected: [{room, code}]}` |
//! | `typing` | members of the room | room | `{accepted}` |
//! | `chat` | members with a valid token | room, text | `{accepted}`; the others get `chat` room, name, text |
//! | `summarize` | those with a valid token | text | `{job}`; later the user's sockets get `summary` |
//!
//! A client sends its token when it connects, or later in the event `authenticate`. The token of `chat` and `summarize` is
//! verified before each call. `summarize` does no work here: it queues a job in the Redis stream `chat:jobs`. A worker
//! (`chat-worker.rs`) takes it and pushes its result to the room of the user, through whichever pod reads the stream.

use std::{env, process::ExitCode, sync::Arc, time::Duration};

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike, StreamsInterface},
    types::{
        Builder,
        config::{Config, ReconnectPolicy},
    },
};
use roomcast::{
    Ack, Args, Bearer, Namespace, Refusal, Reply, Socket, cli, codes, config::AuthPolicy,
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::OnceCell;

/// Most rooms of one socket, that of its user among them.
const MAX_ROOMS: usize = 10;
/// Bytes of a message, and of a text to be summarized.
const MAX_CHAT: usize = 1000;
const MAX_TEXT: usize = 100_000;
/// Jobs that wait for a worker. When there are more, the oldest are lost.
const MAX_JOBS: u64 = 10_000;

fn main() -> ExitCode {
    cli::run_with([chat(Jobs::default())])
}

fn chat(jobs: Jobs) -> Namespace {
    Namespace::new("/chat")
        .authentication(AuthPolicy::Optional)
        // All tabs of a user, once they have shown who it is.
        .own_room("user:{sub}")
        .on("join", join)
        .on("typing", typing)
        .auth("chat", say)
        .auth("summarize", move |bearer: Bearer, text: Args<String>| {
            summarize(jobs.clone(), bearer, text)
        })
}

#[derive(Deserialize)]
struct Join {
    rooms: Vec<String>,
}

/// Anyone may join rooms that are called `public-…`.
fn join(socket: Socket, Args(Join { rooms }): Args<Join>) -> Result<Reply, Refusal> {
    let free = MAX_ROOMS.saturating_sub(socket.rooms().len());
    let (public, others): (Vec<_>, Vec<_>) =
        rooms.into_iter().partition(|room| room.starts_with("public-") && room.len() <= 64);
    let (joined, too_many) = public.split_at(public.len().min(free));
    let rejected = |code: &'static str| move |room: &String| json!({"room": room, "code": code});
    let mut refused: Vec<_> = others.iter().map(rejected(codes::ROOM_DENIED)).collect();
    refused.extend(too_many.iter().map(rejected(codes::ROOM_LIMIT)));
    let reply = Reply::json(json!({"joined": joined, "rejected": refused}))?;
    // The client has its answer when all pods know where it is.
    socket.join_then(joined.to_vec(), reply)
}

/// Tells the others of a room that somebody writes: it may get lost.
fn typing(socket: Socket, Args(room): Args<String>) -> Result<Reply, Refusal> {
    members_only(&socket, &room)?;
    socket.to(&room).volatile().emit("typing", &room).map_err(unwritable)?;
    Ok(Reply::accepted())
}

/// Tells the others of a room what somebody says, under the name that the token has.
fn say(
    socket: Socket,
    Bearer(claims): Bearer,
    Args((room, text)): Args<(String, String)>,
) -> Result<Reply, Refusal> {
    members_only(&socket, &room)?;
    if text.is_empty() || text.len() > MAX_CHAT {
        return Err(Refusal::new("bad_text", format!("send 1 to {MAX_CHAT} bytes")));
    }
    let name = claims.get("sub").cloned().unwrap_or_default();
    socket.to(&room).emit("chat", &(&room, name, text)).map_err(unwritable)?;
    Ok(Reply::accepted())
}

/// Queues the work. A handler must not do it: it would hold up the client's next events, and a thread of the pod.
async fn summarize(
    jobs: Jobs,
    Bearer(claims): Bearer,
    Args(text): Args<String>,
) -> Result<Ack<serde_json::Value>, Refusal> {
    if text.len() > MAX_TEXT {
        return Err(Refusal::new("bad_text", format!("send {MAX_TEXT} bytes at most")));
    }
    let user = claims.get("sub").and_then(|sub| sub.as_str()).unwrap_or_default();
    let job = json!({"reply_to": format!("user:{user}"), "text": text});
    let queued = jobs.push(&job.to_string()).await;
    let id = queued.map_err(|error| {
        eprintln!("a job cannot be queued: {error}");
        Refusal::new("jobs_unavailable", "try again later")
    })?;
    Ok(Ack(json!({"job": id})))
}

fn members_only(socket: &Socket, room: &str) -> Result<(), Refusal> {
    if socket.is_in(room) {
        return Ok(());
    }
    Err(Refusal::new(codes::NOT_IN_ROOM, "join the room first"))
}

fn unwritable(error: impl std::fmt::Display) -> Refusal {
    Refusal::new(codes::BAD_REQUEST, error.to_string())
}

/// The queue of jobs: the stream `chat:jobs` in the Redis of `CHAT_REDIS`.
#[derive(Clone, Default)]
struct Jobs(Arc<OnceCell<Client>>);

impl Jobs {
    /// Adds a job, and gives its id.
    async fn push(&self, job: &str) -> Result<String, Error> {
        // With the first job: the chat itself works without the queue.
        let redis = self.0.get_or_try_init(connect).await?;
        redis.xadd("chat:jobs", false, ("MAXLEN", "~", MAX_JOBS), "*", ("job", job)).await
    }
}

async fn connect() -> Result<Client, Error> {
    let url = env::var("CHAT_REDIS").unwrap_or_else(|_| "redis://127.0.0.1:6379".into());
    let mut builder = Builder::from_config(Config::from_url(&url)?);
    builder.with_performance_config(|config| {
        config.default_command_timeout = Duration::from_secs(3);
    });
    // A lost connection is made again: for ever, after 100 ms at first and 5 s at most. Without a policy it is not.
    builder.set_policy(ReconnectPolicy::new_exponential(0, 100, 5_000, 2));
    let client = builder.build()?;
    client.init().await?;
    Ok(client)
}
