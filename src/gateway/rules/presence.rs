//! Presence: who is in a room, and the events `presence:join` and `presence:leave` to its members.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::{
    backplane::RemoteSocket,
    gateway::{
        broadcast::cluster::Cluster,
        replies::refusal::{Refusal, codes},
        sockets::socket::Socket,
    },
};

/// A socket has joined a room.
const JOINED: &str = "presence:join";
/// A socket has left a room.
const LEFT: &str = "presence:leave";

/// The presence requests of this pod's sockets that wait for the cluster. Requests for one room share an answer: however many
/// there are, the cluster is asked once at a time, and no request gets an answer that is older than itself.
#[derive(Default)]
pub(in crate::gateway) struct PresenceQueries(Mutex<HashMap<String, Arc<RoomQuery>>>);

/// The requests for one room.
struct RoomQuery {
    /// How many requests there have been.
    requests: AtomicU64,
    /// One request asks the cluster, the others wait for it.
    querying: Semaphore,
    /// The last answer, and how many requests there had been when the cluster was asked for it.
    last: Mutex<Option<(u64, Arc<Value>)>>,
}

impl PresenceQueries {
    /// Who is in a room, on all servers.
    pub async fn members(&self, cluster: &Cluster, room: &str) -> Result<Arc<Value>, Refusal> {
        let request = PendingRequest::new(self, room);
        request.answer(|| members(cluster, room)).await
    }
}

/// One request. The last one for a room removes it from the map.
struct PendingRequest<'a> {
    queries: &'a PresenceQueries,
    room: &'a str,
    query: Arc<RoomQuery>,
    number: u64,
}

impl<'a> PendingRequest<'a> {
    fn new(queries: &'a PresenceQueries, room: &'a str) -> Self {
        let new = || {
            let (requests, last) = (AtomicU64::new(0), Mutex::default());
            Arc::new(RoomQuery { requests, querying: Semaphore::new(1), last })
        };
        let query = queries.0.lock().entry(room.to_owned()).or_insert_with(new).clone();
        let number = query.requests.fetch_add(1, Ordering::AcqRel) + 1;
        Self { queries, room, query, number }
    }

    async fn answer<F>(&self, ask: impl FnOnce() -> F) -> Result<Arc<Value>, Refusal>
    where
        F: Future<Output = Result<Value, Refusal>>,
    {
        // The semaphore is never closed.
        let _permit = self.query.querying.acquire().await;
        let last = self.query.last.lock().clone();
        if let Some((asked, answer)) = last
            && asked >= self.number
        {
            return Ok(answer);
        }
        let asked = self.query.requests.load(Ordering::Acquire);
        let answer = Arc::new(ask().await?);
        *self.query.last.lock() = Some((asked, answer.clone()));
        Ok(answer)
    }
}

impl Drop for PendingRequest<'_> {
    fn drop(&mut self) {
        let mut all = self.queries.0.lock();
        // One reference is that of the map, one is this request's.
        if Arc::strong_count(&self.query) == 2 {
            all.remove(self.room);
        }
    }
}

async fn members(cluster: &Cluster, room: &str) -> Result<Value, Refusal> {
    let answered = cluster
        .fetch_sockets(vec![room.to_owned()])
        .await
        .map_err(|error| Refusal::new(codes::BAD_REQUEST, error.to_string()))?;
    let member =
        |socket: &RemoteSocket| json!({"id": socket.id, "sub": socket.token_claims()["sub"]});
    let members: Vec<_> = answered.answer.iter().map(member).collect();
    Ok(json!({"room": room, "members": members, "silent": answered.pods.silent}))
}

/// Announces to the members of a room that a socket joins it: to all of them, or to those that may see presence. The socket is
/// not in the room yet, or gets no events of its own.
pub(in crate::gateway) fn announce_join(socket: &Socket, room: &str, public: bool) {
    announce(JOINED, socket, room, public);
}

/// Announces to the members that are left that a socket has left a room.
pub(in crate::gateway) fn announce_leave(socket: &Socket, room: &str, public: bool) {
    announce(LEFT, socket, room, public);
}

fn announce(event: &str, socket: &Socket, room: &str, public: bool) {
    let sub = socket.with_claims(|claims| claims?.get("sub").cloned());
    let member = json!({"room": room, "id": socket.id(), "sub": sub});
    let mut broadcast = socket.to(room);
    if !public {
        broadcast = broadcast.of_presence();
    }
    if let Err(error) = broadcast.emit(event, &member) {
        tracing::debug!(%error, "members of a room cannot be told");
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_about_a_room_share_an_answer_that_is_not_older_than_their_question() {
        let (queries, calls) = (PresenceQueries::default(), AtomicU64::new(0));
        let ask = |after: u64| {
            let (queries, calls) = (&queries, &calls);
            async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                let asked = PendingRequest::new(queries, "a");
                let begin = async || {
                    let call = calls.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    Ok(json!(call))
                };
                (*asked.answer(begin).await.unwrap()).clone()
            }
        };
        let answers = futures_util::future::join_all([0, 10, 20, 90, 150, 160].map(ask)).await;
        assert_eq!(answers, [0, 1, 1, 1, 2, 2].map(|call| json!(call)));
        assert!(queries.0.lock().is_empty());
    }
}
