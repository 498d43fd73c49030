//! Does the heavy work of `chat.rs`, away from the pods, and pushes the results to the clients.
//!
//!     cargo run --example chat-worker
//!
//! It reads the stream `chat:jobs` of the Redis in `CHAT_REDIS` (default `redis://127.0.0.1:6379`) as one of the group
//! `workers`: run as many as you like, each job is done by one of them. A result is
//!
//!     XADD roomcast:publish * emit '{"namespace":"/chat","rooms":["user:ada"],"event":"summary","args":[…]}'
//!
//! which any pod emits, whichever pods the sockets of that user are on. A worker needs no connection to a pod, and no
//! Roomcast: any language that has Redis can do this. Results wait in the stream while no pod is there.
//!
//! A job is acknowledged after its result was pushed. One whose worker died is taken over a minute later, so that a
//! result may come twice, and is never lost: its `job` tells.
//!
//! A worker that has begun goes on for ever: when Redis is away it waits, and when Redis comes back empty it makes the
//! group again. What Redis lost is lost.

// The rule of this repository for tasks of pods, not of programs.
#![allow(clippy::disallowed_methods)]

use std::{
    collections::HashMap,
    env,
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike, StreamsInterface},
    types::{
        Builder, Value as Answer,
        config::{Config, ReconnectPolicy},
        streams::{XReadResponse, XReadValue},
    },
};
use serde::Deserialize;
use serde_json::{Value, json};

const JOBS: &str = "chat:jobs";
const GROUP: &str = "workers";
/// Where pods look for what to emit.
const PUBLISH: &str = "roomcast:publish";
/// How long one wait for a job takes, and after how long a job counts as left by its worker, in milliseconds.
const BLOCK: u64 = 1_000;
const LEFT_AFTER: u64 = 60_000;
/// How long it waits after an error of Redis.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct Job {
    /// The room that gets the result.
    reply_to: String,
    text: String,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let url = env::var("CHAT_REDIS").unwrap_or_else(|_| "redis://127.0.0.1:6379".into());
    let mut builder = Builder::from_config(Config::from_url(&url)?);
    // The connection comes back by itself: for ever, after 100 ms at first and 5 s at most.
    builder.set_policy(ReconnectPolicy::new_exponential(0, 100, 5_000, 2));
    let redis = builder.build()?;
    redis.init().await?;
    make_group(&redis).await?;
    let me = format!("worker-{}", std::process::id());
    println!("{me} waits for jobs");
    let mut look_back = Instant::now();
    loop {
        let Err(error) = do_one(&redis, &me, &mut look_back).await else { continue };
        eprintln!("{me} goes on after an error: {error}");
        tokio::time::sleep(PAUSE).await;
        // A Redis that came back empty has no group (`NOGROUP`).
        if let Err(error) = make_group(&redis).await {
            eprintln!("{me} cannot make the group {GROUP} of {JOBS}: {error}");
        }
    }
}

/// Makes the group, and the stream, unless they are there. It begins with the oldest job.
async fn make_group(redis: &Client) -> Result<(), Error> {
    match redis.xgroup_create::<(), _, _, _>(JOBS, GROUP, "0", true).await {
        Err(error) if !error.details().starts_with("BUSYGROUP") => Err(error),
        _ => Ok(()),
    }
}

/// Does a job, if one comes in time.
async fn do_one(redis: &Client, me: &str, look_back: &mut Instant) -> Result<(), Error> {
    let entry = if *look_back <= Instant::now() {
        *look_back = Instant::now() + Duration::from_millis(LEFT_AFTER / 4);
        left_by_others(redis, me).await?
    } else {
        next(redis, me).await?
    };
    let Some((id, fields)) = entry else { return Ok(()) };
    // A job that makes no sense is acknowledged too: it would come back for ever.
    if let Some(result) = work(&id, fields).await {
        let _: String = redis.xadd(PUBLISH, false, None, "*", ("emit", result)).await?;
        println!("{me} did job {id}");
    }
    let _: u64 = redis.xack(JOBS, GROUP, id.as_str()).await?;
    let _: u64 = redis.xdel(JOBS, id.as_str()).await?;
    Ok(())
}

type Entry = XReadValue<String, String, String>;

/// A job that nobody has taken, if one comes in time.
async fn next(redis: &Client, me: &str) -> Result<Option<Entry>, Error> {
    let answer: Answer =
        redis.xreadgroup(GROUP, me, Some(1), Some(BLOCK), false, JOBS, ">").await?;
    if answer.is_null() {
        return Ok(None);
    }
    let jobs: XReadResponse<String, String, String, String> = answer.into_xread_response()?;
    Ok(jobs.into_values().flatten().next())
}

/// A job that a worker took and did not end with.
async fn left_by_others(redis: &Client, me: &str) -> Result<Option<Entry>, Error> {
    let (_, jobs): (String, Vec<Entry>) =
        redis.xautoclaim_values(JOBS, GROUP, me, LEFT_AFTER, "0", Some(1), false).await?;
    Ok(jobs.into_iter().next())
}

/// Does a job, and writes what pods are to emit: what `POST /api/v1/emit` takes.
async fn work(id: &str, fields: HashMap<String, String>) -> Option<String> {
    let job: Job = match serde_json::from_str(fields.get("job")?) {
        Ok(job) => job,
        Err(error) => {
            eprintln!("job {id} cannot be read: {error}");
            return None;
        }
    };
    // What keeps a processor busy must not keep the connections waiting.
    let summary = tokio::task::spawn_blocking(move || summary(&job.text)).await.ok()?;
    let result = json!({"job": id, "summary": summary});
    let emit = json!({
        "namespace": "/chat",
        "rooms": [job.reply_to],
        "event": "summary",
        "args": [result],
    });
    Some(emit.to_string())
}

/// The heavy work: how many words, and which of them are the most.
fn summary(text: &str) -> Value {
    let mut words = HashMap::<String, usize>::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        *words.entry(word.to_lowercase()).or_default() += 1;
    }
    let total: usize = words.values().sum();
    let mut most: Vec<_> = words.into_iter().collect();
    most.sort_by(|(a, m), (b, n)| n.cmp(m).then(a.cmp(b)));
    most.truncate(3);
    json!({"words": total, "most": most})
}
