//! The driver of `rust_socketio`: tests/js/stock/driver.mjs says what it reads and writes.

use std::{
    collections::{HashMap, HashSet},
    error::Error,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::FutureExt;
use rust_socketio::{
    Event, Payload, TransportType,
    asynchronous::{Client, ClientBuilder},
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader, stdin},
    runtime,
    sync::mpsc,
};

/// How long it waits for an answer.
const PATIENCE: Duration = Duration::from_secs(15);

type Failure = Box<dyn Error + Send + Sync>;
/// What a command is answered with.
type Outcome = Result<Value, Failure>;

/// A client has one namespace, and a connection for it.
struct Socket {
    client: Client,
    /// It takes listeners only before it connects: it hears everything, and reports what is listened to.
    listened: Arc<Mutex<HashSet<String>>>,
}

type Sockets = HashMap<(String, String), Socket>;

fn main() -> Result<(), Failure> {
    runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let mut lines = BufReader::new(stdin()).lines();
        let mut sockets = Sockets::new();
        while let Some(line) = lines.next_line().await? {
            let command: Value = serde_json::from_str(&line)?;
            let said = match carry_out(&command, &mut sockets).await {
                Ok(value) => json!({ "id": command["id"], "value": value }),
                Err(error) => json!({ "id": command["id"], "error": error.to_string() }),
            };
            println!("{said}");
        }
        Ok(())
    })
}

fn text<'a>(command: &'a Value, key: &str) -> &'a str {
    command[key].as_str().unwrap_or_default()
}

async fn carry_out(command: &Value, sockets: &mut Sockets) -> Outcome {
    let (name, event) = (text(command, "socket"), text(command, "event"));
    match text(command, "do") {
        "connect" => {
            for namespace in command["namespaces"].as_array().into_iter().flatten() {
                let namespace = namespace.as_str().unwrap_or_default();
                let socket = connect(command, namespace).await?;
                sockets.insert((name.to_owned(), namespace.to_owned()), socket);
            }
            return Ok(Value::Null);
        }
        "disconnect" => {
            for ((owner, _), socket) in sockets.iter() {
                if owner == name {
                    socket.client.disconnect().await?;
                }
            }
            sockets.retain(|(owner, _), _| owner != name);
            return Ok(Value::Null);
        }
        _ => {}
    }
    let at = (name.to_owned(), text(command, "namespace").to_owned());
    let socket = sockets.get(&at).ok_or("no such socket")?;
    match text(command, "do") {
        "listen" => {
            lock(&socket.listened).insert(event.to_owned());
            Ok(Value::Null)
        }
        "emit" => {
            socket.client.emit(event, payload(&command["args"])?).await?;
            Ok(Value::Null)
        }
        "ask" => ask(&socket.client, event, payload(&command["args"])?).await,
        other => Err(format!("an unknown command: {other}").into()),
    }
}

async fn connect(command: &Value, namespace: &str) -> Result<Socket, Failure> {
    let transports = command["transports"].as_array().map(Vec::as_slice).unwrap_or_default();
    let transport = match transports {
        [only] if only == "polling" => TransportType::Polling,
        [only] if only == "websocket" => TransportType::Websocket,
        _ => TransportType::WebsocketUpgrade,
    };
    let listened = Arc::new(Mutex::new(HashSet::<String>::new()));
    let (connected, mut answers) = mpsc::unbounded_channel::<Result<(), String>>();
    let refused = connected.clone();
    let about = json!({ "socket": command["socket"], "namespace": namespace });
    let (come, gone, heard) = (about.clone(), about.clone(), about);
    let wanted = listened.clone();
    let client = ClientBuilder::new(text(command, "url"))
        .namespace(namespace)
        .transport_type(transport)
        .auth(json!({ "token": command["token"] }))
        .reconnect(true)
        .reconnect_delay(50, 200)
        .on(Event::Connect, move |_, _| {
            report("connect", &come, json!({}));
            let _ = connected.send(Ok(()));
            async {}.boxed()
        })
        .on(Event::Close, move |_, _| {
            report("disconnect", &gone, json!({ "reason": "close" }));
            async {}.boxed()
        })
        .on(Event::Error, move |error, _| {
            let _ = refused.send(Err(format!("{error:?}")));
            async {}.boxed()
        })
        .on_any(move |event, payload, _| {
            let event = String::from(event);
            if lock(&wanted).contains(&event) {
                report("event", &heard, json!({ "event": event, "args": values(payload) }));
            }
            async {}.boxed()
        })
        .connect()
        .await?;
    let answer = tokio::time::timeout(PATIENCE, answers.recv()).await;
    match answer.ok().flatten() {
        Some(Ok(())) => Ok(Socket { client, listened }),
        other => {
            let _ = client.disconnect().await;
            let error = other.and_then(Result::err);
            Err(error.unwrap_or_else(|| "no answer to CONNECT".to_owned()).into())
        }
    }
}

/// Emits, and waits for the values of the ack.
async fn ask(client: &Client, event: &str, payload: Payload) -> Outcome {
    let (acked, mut acks) = mpsc::unbounded_channel();
    let callback = move |payload: Payload, _: Client| {
        let _ = acked.send(values(payload));
        async {}.boxed()
    };
    client.emit_with_ack(event, payload, PATIENCE, callback).await?;
    let answer = tokio::time::timeout(PATIENCE, acks.recv()).await?.ok_or("no ack")?;
    // An ack comes as one value: the list.
    Ok(match answer {
        Value::Array(mut all) if all.len() == 1 && all[0].is_array() => all.remove(0),
        other => other,
    })
}

/// Arguments as the client takes them: one of binary, or any number of others.
fn payload(args: &Value) -> Result<Payload, Failure> {
    let args = args.as_array().cloned().unwrap_or_default();
    if let [Value::Object(only)] = &args[..]
        && let Some(binary) = only.get("$binary").and_then(Value::as_str)
    {
        return Ok(Payload::from(STANDARD.decode(binary)?));
    }
    Ok(Payload::Text(args))
}

fn values(payload: Payload) -> Value {
    match payload {
        Payload::Binary(bytes) => json!([{ "$binary": STANDARD.encode(bytes) }]),
        Payload::Text(values) => Value::Array(values),
        other => json!([format!("{other:?}")]),
    }
}

fn report(what: &str, about: &Value, more: Value) {
    let mut said = json!({ "report": what });
    for part in [about, &more].into_iter().filter_map(Value::as_object) {
        for (key, value) in part {
            said[key] = value.clone();
        }
    }
    println!("{said}");
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
