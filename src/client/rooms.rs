//! Joining and leaving rooms, in the events of Roomcast: `{"rooms": […]}`.

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::{ClientError, RejectedRoom, socket::Socket};

/// The answer to `join`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct JoinedRooms {
    /// The rooms that the socket is in now.
    pub joined: Vec<String>,
    /// Those it was not let into.
    #[serde(default)]
    pub rejected: Vec<RejectedRoom>,
}

/// The answer to `leave`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LeftRooms {
    /// The rooms that the socket is not in any more.
    pub left: Vec<String>,
    /// Those that it stays in.
    #[serde(default)]
    pub rejected: Vec<RejectedRoom>,
}

/// What the server answers to an event of its own.
#[derive(Deserialize)]
#[serde(untagged)]
enum Answer<T> {
    Done(T),
    Refused { error: Refusal },
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

#[derive(Serialize)]
struct Request<'a> {
    rooms: &'a [String],
}

pub(super) async fn join(socket: &Socket, rooms: &[String]) -> Result<JoinedRooms, ClientError> {
    let answer: JoinedRooms = ask(socket, "join", rooms).await?;
    socket.restore.joined(answer.joined.iter().cloned());
    Ok(answer)
}

pub(super) async fn leave(socket: &Socket, rooms: &[String]) -> Result<LeftRooms, ClientError> {
    let answer: LeftRooms = ask(socket, "leave", rooms).await?;
    socket.restore.left(&answer.left);
    Ok(answer)
}

async fn ask<T: DeserializeOwned>(
    socket: &Socket,
    event: &str,
    rooms: &[String],
) -> Result<T, ClientError> {
    match socket.ask(event, &Request { rooms }, socket.ack_timeout).await? {
        Answer::Done(answer) => Ok(answer),
        Answer::Refused { error: Refusal { code, message } } => {
            Err(ClientError::Rejected { code, message })
        }
    }
}

/// After a reconnection: the last token first, as rooms may need it, then the rooms.
pub(super) async fn restore(socket: &Socket) {
    let Some((token, rooms)) = socket.restore.get() else { return };
    let result = async {
        if let Some(token) = token {
            socket.authenticate(token).await?;
        }
        if rooms.is_empty() {
            return Ok(());
        }
        let JoinedRooms { rejected, .. } = join(socket, &rooms).await?;
        socket.restore.left(rejected.iter().map(|rejected| &rejected.room));
        match rejected.is_empty() {
            true => Ok(()),
            false => Err(ClientError::RoomsLost(rejected)),
        }
    };
    if let Err(error) = result.await {
        socket.hooks.error.call(&error);
    }
}
