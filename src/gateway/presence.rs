//! Who is in a room: asked by its members, and told to them.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::{
    Cluster, Event, Refusal, Reply, Socket, codes,
    decide::{Act, Answer},
    rooms::Rules,
};
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
    match rules.may(socket, Act::Presence, &room) {
        Answer::Yes => {}
        Answer::Ask(_) => return Err(denied(codes::ROOM_DENIED)),
        Answer::No(code) => return Err(denied(code)),
    }
    if !socket.is_in(&room) {
        let message = "only members may ask who is in this room; join it first";
        return Err(Refusal::new(codes::NOT_IN_ROOM, message));
    }
    if !socket.member.may_question() {
        let most = socket.member.limits.presence_per_second;
        let message = format!("more than {most} questions a second who is in a room");
        return Err(Refusal::new(codes::RATE_LIMITED, message));
    }
    let (rules, cluster) = (rules.clone(), socket.cluster());
    Ok(Reply::later(async move {
        let members = rules.questions().members(&cluster, &room).await?;
        Reply::json(&*members)
    }))
}

fn denied(code: &'static str) -> Refusal {
    Refusal::new(code, "no rule shows this client who is in this room")
}

/// Questions of this pod's sockets that are under way. Those about one room share an answer: however many ask, the
/// cluster is asked once at a time, and each gets what was found out after it had asked.
#[derive(Default)]
pub(super) struct Questions(Mutex<HashMap<String, Arc<Question>>>);

/// Who is in one room.
struct Question {
    /// How many have asked.
    asked: AtomicU64,
    /// One asks the cluster, the others wait for it.
    turn: Semaphore,
    /// The last answer, and how many had asked when its question went out.
    last: Mutex<Option<(u64, Arc<Value>)>>,
}

impl Questions {
    async fn members(&self, cluster: &Cluster, room: &str) -> Result<Arc<Value>, Refusal> {
        let asked = Asked::new(self, room);
        asked.answer(|| members(cluster, room)).await
    }
}

/// One that asks. What is known of the room goes with the last of them.
struct Asked<'a> {
    questions: &'a Questions,
    room: &'a str,
    question: Arc<Question>,
    number: u64,
}

impl<'a> Asked<'a> {
    fn new(questions: &'a Questions, room: &'a str) -> Self {
        let new = || {
            let (asked, last) = (AtomicU64::new(0), Mutex::default());
            Arc::new(Question { asked, turn: Semaphore::new(1), last })
        };
        let question = questions.0.lock().entry(room.to_owned()).or_insert_with(new).clone();
        let number = question.asked.fetch_add(1, Ordering::AcqRel) + 1;
        Self { questions, room, question, number }
    }

    async fn answer<F>(&self, ask: impl FnOnce() -> F) -> Result<Arc<Value>, Refusal>
    where
        F: Future<Output = Result<Value, Refusal>>,
    {
        // It is never closed.
        let _turn = self.question.turn.acquire().await;
        let last = self.question.last.lock().clone();
        if let Some((asked, answer)) = last
            && asked >= self.number
        {
            return Ok(answer);
        }
        let asked = self.question.asked.load(Ordering::Acquire);
        let answer = Arc::new(ask().await?);
        *self.question.last.lock() = Some((asked, answer.clone()));
        Ok(answer)
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let mut all = self.questions.0.lock();
        // That of the map, and its own.
        if Arc::strong_count(&self.question) == 2 {
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

/// Tells the members of a room that a socket has come: all of them, or those that may know. It is not in it yet, or does
/// not hear of itself.
pub(super) fn came(socket: &Socket, room: &str, everybody: bool) {
    tell(CAME, socket, room, everybody);
}

/// Tells those that are left in a room that a socket has gone.
pub(super) fn went(socket: &Socket, room: &str, everybody: bool) {
    tell(WENT, socket, room, everybody);
}

fn tell(event: &str, socket: &Socket, room: &str, everybody: bool) {
    let sub = socket.with_claims(|claims| claims?.get("sub").cloned());
    let member = json!({"room": room, "id": socket.id(), "sub": sub});
    let mut broadcast = socket.to(room);
    if !everybody {
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
        let (questions, calls) = (Questions::default(), AtomicU64::new(0));
        let ask = |after: u64| {
            let (questions, calls) = (&questions, &calls);
            async move {
                tokio::time::sleep(Duration::from_millis(after)).await;
                let asked = Asked::new(questions, "a");
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
        assert!(questions.0.lock().is_empty());
    }
}
