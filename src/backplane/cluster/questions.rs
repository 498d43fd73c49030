//! Questions to the other servers of the cluster, and what came back so far.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::{sync::Notify, time::timeout};

use crate::{backplane::wire::Answer, telemetry::Reached};

/// Bytes of the answers of clients to one emit.
pub(super) const ANSWERS: usize = 16 * 1024 * 1024;

/// How many servers were asked, this pod among them, and how many of them did not answer in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Pods {
    /// Servers that were asked.
    pub asked: usize,
    /// Those that did not answer in time.
    pub silent: usize,
}

/// The open questions of this pod.
#[derive(Default)]
pub struct Questions {
    open: Arc<Mutex<HashMap<String, Arc<Open>>>>,
    next: AtomicU64,
}

/// A question that has been asked. Dropping it closes it: late answers are ignored.
pub struct Question {
    pub id: String,
    open: Arc<Open>,
    all: Arc<Mutex<HashMap<String, Arc<Open>>>>,
}

#[derive(Default)]
struct Open {
    tally: Mutex<Tally>,
    more: Notify,
}

/// What came back so far.
#[derive(Default)]
pub struct Tally {
    pub answers: Vec<Answer>,
    /// Servers that have answered. The answers of their clients are not counted here.
    pub servers: usize,
    /// Clients that those servers have asked.
    pub clients: u64,
    /// Clients that have answered.
    pub acks: u64,
    /// Bytes of their answers.
    bytes: usize,
}

impl Tally {
    fn is_complete(&self, servers: usize) -> bool {
        self.servers >= servers && self.acks >= self.clients
    }
}

impl Questions {
    /// Opens a question. Its id differs from those of all others that are open, here and elsewhere:
    /// some protocols send answers to everyone.
    pub fn open(&self, pod: &str) -> Question {
        let id = format!("{pod}-{}", self.next.fetch_add(1, Ordering::Relaxed));
        let open = Arc::new(Open::default());
        self.open.lock().insert(id.clone(), open.clone());
        Question { id, open, all: self.open.clone() }
    }

    /// Notes an answer, if the question is one of this pod and still open.
    pub fn answer(&self, question: &str, answer: Answer) {
        let Some(open) = self.open.lock().get(question).cloned() else {
            return;
        };
        let mut tally = open.tally.lock();
        match &answer {
            Answer::Ack(None) => {
                // It is missing, and nobody need wait for it.
                tally.acks += 1;
                drop(tally);
                return open.more.notify_one();
            }
            Answer::Ack(Some(answer)) => {
                tally.acks += 1;
                // What there is no room for is an answer that is missing; the question is over all the same.
                tally.bytes = tally.bytes.saturating_add(answer.size());
                if tally.bytes > ANSWERS {
                    Reached::ClientAnswers.count();
                    drop(tally);
                    return open.more.notify_one();
                }
            }
            Answer::AckCount(clients) => {
                tally.servers += 1;
                tally.clients += clients;
            }
            _ => tally.servers += 1,
        }
        tally.answers.push(answer);
        drop(tally);
        open.more.notify_one();
    }
}

impl Question {
    /// Waits until so many servers, and all the clients that they asked, have answered.
    pub async fn answered(&self, servers: usize, limit: Duration) -> Tally {
        let complete = async {
            // `notify_one` keeps one permit, so an answer in between is not missed.
            while !self.open.tally.lock().is_complete(servers) {
                self.open.more.notified().await;
            }
        };
        let _ = timeout(limit, complete).await;
        std::mem::take(&mut self.open.tally.lock())
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        self.all.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::backplane::wire::ClientAnswer;

    #[tokio::test(start_paused = true)]
    async fn a_question_waits_for_servers_and_their_clients_and_no_longer() {
        let questions = Questions::default();
        let question = questions.open("pod");
        questions.answer(&question.id, Answer::AckCount(1));
        questions.answer("pod-7", Answer::AckCount(1));
        questions.answer("pod-7", Answer::Ack(None));
        let begun = tokio::time::Instant::now();
        let limit = Duration::from_secs(5);
        let tally = question.answered(1, limit).await;
        assert_eq!((tally.servers, tally.clients, tally.acks), (1, 1, 0));
        let waited = begun.elapsed();
        assert!(waited >= limit, "{waited:?}");
        drop(question);

        let question = questions.open("pod");
        questions.answer(&question.id, Answer::AckCount(0));
        questions.answer(&question.id, Answer::Rooms(Vec::new()));
        assert_eq!(question.answered(2, limit).await.servers, 2);
        assert_eq!(begun.elapsed(), waited);
        // An answer that could not be carried is not waited for.
        questions.answer(&question.id, Answer::AckCount(1));
        questions.answer(&question.id, Answer::Ack(None));
        let tally = question.answered(1, limit).await;
        assert_eq!((tally.acks, tally.clients, tally.answers.len()), (1, 1, 1));
        assert_eq!(begun.elapsed(), waited);
        drop(question);
        assert_eq!(questions.open.lock().len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_clients_answer_is_bounded_and_the_question_ends_all_the_same() {
        let questions = Questions::default();
        let question = questions.open("pod");
        questions.answer(&question.id, Answer::AckCount(3));
        let long = format!("[\"{}\"]", "x".repeat(ANSWERS / 2));
        let long = ClientAnswer::read(&socketioxide_core::Value::Str(long.into(), None)).unwrap();
        for _ in 0..3 {
            questions.answer(&question.id, Answer::Ack(Some(long.clone())));
        }
        let begun = tokio::time::Instant::now();
        let tally = question.answered(1, Duration::from_secs(5)).await;
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert_eq!(
            (tally.acks, tally.answers.len()),
            (3, 2),
            "the count of clients, and one answer"
        );
    }
}
