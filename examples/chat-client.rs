//! A client of `chat.rs`: joins a room, shows its token, talks, and waits for the result of a worker.
//!
//!     cargo run --example chat-client                      # as a guest: it may listen
//!     TOKEN=$(cargo run --bin roomcast -- token --config examples/chat.toml --sub ada)
//!     cargo run --example chat-client -- "$TOKEN" "some text to be summarized"
//!
//! `CHAT_URL` says where the chat is, by default `http://127.0.0.1:3000/chat`: the path is the namespace. A browser does the
//! same with the stock `socket.io-client`.

use std::{env, error::Error, time::Duration};

use roomcast::client::Client;
use serde_json::Value;
use tokio::time::timeout;

const ROOM: &str = "public-lobby";
const TEXT: &str = "a rose is a rose is a rose";

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (token, text) = (arguments.next(), arguments.next().unwrap_or_else(|| TEXT.into()));
    let url = env::var("CHAT_URL").unwrap_or_else(|_| "http://127.0.0.1:3000/chat".into());

    // Subscribe before `connect`, so that nothing is missed.
    let client = Client::builder(url).build()?;
    client.subscribe("chat", |event| match event.arguments::<(String, String, String)>() {
        Ok((room, name, text)) => println!("{room}: {name} says {text}"),
        Err(error) => eprintln!("{error}"),
    })?;
    let mut summaries = client.events("summary", 10)?;
    client.on_disconnected(|reason| println!("disconnected: {reason}"));
    client.connect().await?;

    // After a lost connection the client comes back by itself, shows its token again, and joins its rooms again.
    let joined = client.join_rooms([ROOM]).await?;
    println!("joined {:?}", joined.joined);
    if let Some(token) = token {
        client.authenticate(token).await?;
        println!("authenticated");
    }

    let answer: Value = client.emit_with_ack("chat", &(ROOM, "hello")).await?;
    println!("chat: {answer}");
    let answer: Value = client.emit_with_ack("summarize", &text).await?;
    println!("summarize: {answer}");
    if let Some(job) = answer["job"].as_str() {
        // Other tabs of the user get the result, too, and this one gets theirs: `job` tells which it is.
        let ours = async {
            while let Some(event) = summaries.next().await {
                let result: Value = event?.arguments()?;
                if result["job"] == job {
                    println!("summary: {}", result["summary"]);
                    return Ok(());
                }
            }
            Err("the client was closed".into())
        };
        let result: Result<(), Box<dyn Error>> = timeout(Duration::from_secs(30), ours).await?;
        result?;
    }
    client.shutdown().await;
    Ok(())
}
