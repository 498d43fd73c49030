//! Who is in a room: asked by its members, and told to them.

use serde::Deserialize;
use serde_json::json;

use super::{Event, Refusal, Reply, Socket, codes, rooms::Rules};
use crate::RemoteSocket;

/// A member of the room is new.
const CAME: &str = "presence:join";
/// One is no longer in it.
const WENT: &str = "presence:leave";

/// The event `presence`: `{room}` → `{room, members: [{id, sub}], silent}`, for members.
pub(super) fn ask(rules: &Rules, event: &Event<'_>) -> Result<Reply, Refusal> {
    #[derive(Deserialize)]
    struct Request {
        room: String,
    }

    let Request { room } = event
        .arguments()
        .map_err(|_| Refusal::new(codes::BAD_REQUEST, "expected {\"room\": \"name\"}"))?;
    let socket = event.socket();
    if !socket.with_claims(|claims| rules.shows_presence(&room, claims)) {
        return Err(Refusal::new(codes::ROOM_DENIED, "no rule shows who is in this room"));
    }
    if !socket.is_in(&room) {
        let message = "only members may ask who is in this room; join it first";
        return Err(Refusal::new(codes::NOT_IN_ROOM, message));
    }
    let cluster = socket.cluster();
    Ok(Reply::later(async move {
        let answered = cluster
            .fetch_sockets(vec![room.clone()])
            .await
            .map_err(|error| Refusal::new(codes::BAD_REQUEST, error.to_string()))?;
        let member =
            |socket: &RemoteSocket| json!({"id": socket.id, "sub": socket.token_claims()["sub"]});
        let members: Vec<_> = answered.answer.iter().map(member).collect();
        Reply::json(json!({"room": room, "members": members, "silent": answered.pods.silent}))
    }))
}

/// Tells the members of a room that a socket has come. It is not in it yet, or does not hear of itself.
pub(super) fn came(socket: &Socket, room: &str) {
    tell(CAME, socket, room);
}

/// Tells those that are left in a room that a socket has gone.
pub(super) fn went(socket: &Socket, room: &str) {
    tell(WENT, socket, room);
}

fn tell(event: &str, socket: &Socket, room: &str) {
    let sub = socket.with_claims(|claims| claims?.get("sub").cloned());
    let member = json!({"room": room, "id": socket.id(), "sub": sub});
    if let Err(error) = socket.to(room).emit(event, &member) {
        tracing::debug!(%error, "members of a room cannot be told");
    }
}
