//! Emits and acks, as they are written for Socket.IO on Node and here.
//!
//!     cargo run --example emits -- --listen 127.0.0.1:3000
//!
//! It takes the options of `roomcast serve`, and adds the namespace `/emits`. What each handler is called on Node stands
//! beside it; tests/js/emit-handlers.test.mjs shows what clients get.

use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    fmt::Display,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use roomcast::{
    Ack, Answered, Args, ClientAnswers, Event, Namespace, Outgoing, Refusal, RoomChange, RoomEvent,
    Socket, Spread, cli, config::AuthPolicy,
};
use serde_json::{Value, json};

/// How long clients have to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of a piece.
const LARGEST: usize = 100_000;
/// Most events that are noted.
const NOTED: usize = 1000;

fn main() -> ExitCode {
    cli::run_with([acks(emits(rooms(adapter(listeners(
        Namespace::new("/emits").authentication(AuthPolicy::None),
    )))))])
}

/// What handlers answer, and what they ask.
fn acks(namespace: Namespace) -> Namespace {
    namespace
        .on("no-ack", |_: Socket| ()) // the callback is not called
        .on("empty-ack", |_: Socket| Ack(())) // callback()
        .on("file", |Args(name): Args<String>| Ack((name, Bytes::from_static(b"\x00\x01")))) // callback(name, buffer)
        .on("reverse", |Args(Spread(mut all)): Args<Spread<Value>>| {
            all.reverse();
            Ack(Spread(all)) // callback(...all.reverse())
        })
        .on("deep", |Args(depth): Args<u32>| Ack(nested(depth)))
        .on("ask-me", async |socket: Socket, Args(Spread(all)): Args<Spread<Value>>| {
            // await socket.timeout(5000).emitWithAck("question", ...all), with all values of the answer
            let asked =
                socket.emit_with_ack::<_, Spread<Value>>("question", &Spread(all), PATIENCE);
            Ok::<_, Refusal>(Ack(asked.map_err(failed)?.await.map_err(failed)?))
        })
        .on("ask-file", async |socket: Socket| {
            let asked = socket.emit_with_ack::<_, (String, Bytes)>("question", &(), PATIENCE);
            let (name, content) = asked.map_err(failed)?.await.map_err(failed)?;
            Ok::<_, Refusal>(Ack((name, content)))
        })
        .on("ask-room", async |socket: Socket, Args(room): Args<String>| {
            // io.of("/emits").to(room).timeout(5000).emitWithAck("question")
            summary(socket.nsp().to(room).emit_with_ack("question", &(), PATIENCE).await)
        })
        .on("ask-others", async |socket: Socket, Args(millis): Args<u64>| {
            // socket.broadcast.timeout(millis).emitWithAck("question")
            let patience = Duration::from_millis(millis);
            summary(socket.broadcast().emit_with_ack("question", &(), patience).await)
        })
        .on("ask-files", async |socket: Socket, Args(room): Args<String>| {
            let asked = socket.nsp().to(room).emit_with_ack("question", &(), PATIENCE).await;
            let answers = asked.map_err(failed)?.answer.answers;
            let files: Result<Vec<(String, Bytes)>, _> =
                answers.iter().map(|answer| answer.arguments()).collect();
            let (names, contents): (Vec<_>, Vec<_>) = files.map_err(failed)?.into_iter().unzip();
            Ok::<_, Refusal>(Ack((names, contents)))
        })
}

/// The answers of several clients: all values of each, and how many there might have been.
fn summary(answered: Result<Answered<ClientAnswers>, impl Error>) -> Result<Ack<Value>, Refusal> {
    let Answered { answer, pods } = answered.map_err(failed)?;
    let values: Result<Vec<_>, _> = answer.answers.iter().map(|one| one.all_arguments()).collect();
    Ok(Ack(json!({
        "answers": values.map_err(failed)?,
        "expected": answer.expected(),
        "missing": answer.missing,
        "pods": pods,
    })))
}

/// Sends the event `got`.
fn emits(namespace: Namespace) -> Namespace {
    namespace
        .on("to-me", |socket: Socket| acked(socket.emit("got", &()))) // socket.emit("got")
        .on("to-me-deep", |socket: Socket, Args(depth): Args<u32>| {
            acked(socket.emit("got", &nested(depth)))
        })
        .on("to-me-volatile", |socket: Socket| {
            // socket.volatile.emit("got", 1, buffer)
            acked(socket.volatile().emit("got", &(1, Bytes::from_static(b"\x02"))))
        })
        .on("stream", async |socket: Socket, Args((times, bytes)): Args<(u32, usize)>| {
            // A client that does not read is closed once limits.send_queue_bytes wait for it: then this is an error.
            let piece = Bytes::from(vec![0; bytes.min(LARGEST)]);
            for _ in 0..times {
                socket.emit("piece", &piece).map_err(failed)?;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Ok::<_, Refusal>(Ack("done"))
        })
        .on("to-others", |socket: Socket, Args(room): Args<Option<String>>| {
            acked(match room {
                Some(room) => socket.to(room).emit("got", &"others of the room"), // socket.to(room).emit(…)
                None => socket.broadcast().emit("got", &"others"), // socket.broadcast.emit(…)
            })
        })
        .on("to-room", async |socket: Socket, Args(room): Args<String>| {
            acked(socket.nsp().to(room).emit("got", &("room", [1, 2])).await) // nsp.to(room).emit("got", "room", [1, 2])
        })
        .on("to-room-volatile", async |socket: Socket, Args(room): Args<String>| {
            acked(socket.nsp().to(room).volatile().emit("got", &"volatile").await)
        })
        .on("to-number", async |socket: Socket, Args(room): Args<u32>| {
            acked(socket.nsp().to(room).emit("got", &"number").await) // nsp.to(7).emit(…)
        })
        .on("to-except", async |socket: Socket, Args(room): Args<String>| {
            acked(socket.nsp().except(room).emit("got", &"except").await)
        })
        .on("to-local", async |socket: Socket| {
            acked(socket.nsp().local().emit("got", &"local").await) // nsp.local.emit(…)
        })
        .on("to-local-others", |socket: Socket| {
            acked(socket.broadcast().local().emit("got", &"local others")) // socket.local.emit(…)
        })
}

/// Who is where, and other places for them.
fn rooms(namespace: Namespace) -> Namespace {
    namespace
        .on("join", |socket: Socket, Args(rooms): Args<Vec<String>>| {
            socket.join_then(rooms, roomcast::Reply::accepted())
        })
        .on("rooms", async |socket: Socket| {
            let nsp = socket.nsp();
            let all = nsp.clone().rooms().await.map_err(failed)?.answer; // adapter.allRooms()
            let here = nsp.local().rooms().await.map_err(failed)?.answer; // adapter.rooms
            Ok::<_, Refusal>(Ack((socket.rooms(), here, all)))
        })
        .on("sockets", async |socket: Socket, Args(room): Args<String>| {
            let sockets = socket.nsp().to(room).fetch_sockets().await.map_err(failed)?.answer;
            let ids: Vec<_> = sockets.into_iter().map(|socket| socket.id).collect();
            Ok::<_, Refusal>(Ack(ids))
        })
        .on("transports", |socket: Socket, Args(room): Args<String>| {
            // io.of("/emits").sockets: those of this pod, each with all that a handler has of its own.
            let sockets = socket.nsp().to(room).local_sockets().map_err(failed)?;
            let of_each = sockets.iter().map(|socket| (socket.id(), socket.transport()));
            Ok::<_, Refusal>(Ack(of_each.collect::<BTreeMap<_, _>>()))
        })
        .on("move", async |socket: Socket, Args((from, to)): Args<(String, String)>| {
            let members = socket.nsp().to(&from);
            members.clone().sockets_join([&to]).await.map_err(failed)?;
            acked(members.sockets_leave([&from]).await)
        })
        .on("disconnect-room", async |socket: Socket, Args(room): Args<String>| {
            acked(socket.nsp().to(room).disconnect_sockets(false).await)
        })
}

/// Hears all events in both directions: `socket.onAny` and `socket.onAnyOutgoing`.
fn listeners(namespace: Namespace) -> Namespace {
    let heard = Arc::new(Mutex::new(VecDeque::<(String, Value)>::new()));
    let note = {
        let heard = heard.clone();
        move |socket: &Socket, noted: Value| {
            if noted[1] == "piece" {
                return;
            }
            let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            heard.push_back((socket.id(), noted));
            if heard.len() > NOTED {
                heard.pop_front();
            }
        }
    };
    let note_outgoing = note.clone();
    namespace
        .on_any(move |event: &Event<'_>| {
            note(event.socket(), json!(["in", event.name(), event.all_arguments().ok()]));
        })
        .on_any_outgoing(move |event: &Outgoing<'_>| {
            note_outgoing(event.socket(), json!(["out", event.name(), event.all_arguments().ok()]));
        })
        .on("heard", move |socket: Socket| {
            let id = socket.id();
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let of_it = heard.iter().filter(|(of, _)| *of == id).map(|(_, noted)| noted.clone());
            Ack(of_it.collect::<Vec<_>>())
        })
}

/// Hears of rooms: `adapter.on("create-room")` and the like.
fn adapter(namespace: Namespace) -> Namespace {
    let heard = Arc::new(Mutex::new(VecDeque::<(String, Value)>::new()));
    let noted = heard.clone();
    namespace
        .on_room(move |RoomEvent { room, change, .. }: RoomEvent<'_>| {
            let event = match change {
                RoomChange::Created => json!(["create-room"]),
                RoomChange::Joined(id) => json!(["join-room", id]),
                RoomChange::Left(id) => json!(["leave-room", id]),
                RoomChange::Deleted => json!(["delete-room"]),
            };
            let mut noted = noted.lock().unwrap_or_else(PoisonError::into_inner);
            noted.push_back((room.to_owned(), event));
            if noted.len() > NOTED {
                noted.pop_front();
            }
        })
        .on("room-events", move |Args(room): Args<String>| {
            let heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
            let of_it = heard.iter().filter(|(of, _)| *of == room).map(|(_, event)| event.clone());
            Ack(of_it.collect::<Vec<_>>())
        })
}

/// Lists in one another.
fn nested(depth: u32) -> Value {
    (0..depth).fold(json!(1), |inner, _| json!([inner]))
}

/// It was done, or why not.
fn acked(done: Result<(), impl Error>) -> Result<Ack<&'static str>, Refusal> {
    done.map(|()| Ack("done")).map_err(failed)
}

fn failed(error: impl Display) -> Refusal {
    Refusal::new("failed", error.to_string())
}
