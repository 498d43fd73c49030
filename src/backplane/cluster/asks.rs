//! What this pod asks of the other servers of a namespace.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::StreamExt;
use metrics::counter;
use serde_json::Value as Json;

use super::{
    Cluster, Pods,
    local_sockets::describe,
    questions::{ANSWERS, Question, Tally},
};
use crate::{
    backplane::{
        Source, Target,
        delivery::count,
        elsewhere::Asking,
        members::Members,
        redis::Link,
        wire::{Answer, Ask, Broadcast, ClientAnswer, Message, RemoteSocket, Wire, WireError},
    },
    telemetry::{
        Reached,
        metrics::{BACKPLANE_DROPPED, CLUSTER_QUESTIONS},
    },
};

/// An answer of the cluster, and how complete it is.
#[derive(Debug)]
pub struct Answered<T> {
    /// What the servers that answered know.
    pub answer: T,
    /// How many were asked, and did not answer.
    pub pods: Pods,
}

/// How often servers are counted anew, if a child comes or goes meanwhile.
const TRIES: u32 = 5;

/// Who hears a question.
struct Audience {
    /// How many servers, and this pod, which need not be one of the namespace.
    servers: usize,
    /// Whether this pod hears what they answer.
    heard: bool,
    /// Has it heard, while it lives.
    asking: Option<Asking>,
}

impl Cluster {
    /// Asks all other servers of a namespace. This pod need not be one.
    async fn ask(
        &self,
        namespace: &str,
        limit: Duration,
        message: impl FnOnce(&Question) -> Message,
    ) -> (Tally, Pods) {
        let (tally, pods, cut_off) = self.ask_those(namespace, limit, message).await;
        let result = match pods.silent {
            _ if cut_off => "cut off",
            0 => "complete",
            _ => "silent",
        };
        counter!(CLUSTER_QUESTIONS.name, "result" => result).increment(1);
        (tally, pods)
    }

    /// The same, and whether it could not be asked.
    async fn ask_those(
        &self,
        namespace: &str,
        limit: Duration,
        message: impl FnOnce(&Question) -> Message,
    ) -> (Tally, Pods, bool) {
        let Some(Audience { servers, heard, asking }) = self.audience(namespace).await else {
            // Cut off: nobody but this pod can answer.
            let servers = self.servers.load(Ordering::Relaxed);
            return (Tally::default(), Pods { asked: servers, silent: servers - 1 }, true);
        };
        if servers == 1 {
            return (Tally::default(), Pods { asked: 1, silent: 0 }, false);
        }
        let others = servers - 1;
        if !heard {
            return (Tally::default(), Pods { asked: servers, silent: others }, true);
        }
        let question = self.questions.open(&self.pod);
        let (tally, cut_off) = match self.publisher().send(namespace, &message(&question), None) {
            Ok(()) => (question.answered(others, limit).await, false),
            Err(error) => {
                tracing::debug!(%error, "a question cannot be sent");
                (Tally::default(), true)
            }
        };
        drop(asking);
        let silent = others.saturating_sub(tally.servers);
        (tally, Pods { asked: servers, silent }, cut_off)
    }

    /// Who hears a question in a namespace; nothing if this pod is cut off.
    async fn audience(&self, namespace: &str) -> Option<Audience> {
        if !self.namespaces.comes_and_goes(namespace) {
            let servers = self.asks().server_count(namespace).await.ok()?;
            return Some(Audience { servers, heard: true, asking: None });
        }
        if self.redis.health.link() != Link::Up {
            return None;
        }
        let asking = self.hear_answers(namespace);
        let mut tries = 0;
        loop {
            // Whether Redis counts this pod is known once it has heard of all changes, and if there was none meanwhile.
            let before = self.namespaces.get(namespace).ok();
            let heard = self.redis.changes.note_answers(namespace);
            let _ = tokio::time::timeout(self.settings.timeout, heard.wait()).await;
            let subscribers = self.asks().subscribers(namespace).await.ok()?;
            let after = self.namespaces.get(namespace).ok();
            tries += 1;
            let same = match (&before, &after) {
                (Some(before), Some(after)) => Arc::ptr_eq(before, after),
                (None, None) => true,
                _ => false,
            };
            if same || tries == TRIES {
                let here = after.is_some();
                let servers = if here { subscribers.max(1) } else { subscribers + 1 };
                return Some(Audience { servers, heard: here || asking.is_some(), asking });
            }
        }
    }

    /// Has answers of the servers of a namespace heard, until what this returns is dropped. Nothing if there are too many.
    fn hear_answers(&self, namespace: &str) -> Option<Asking> {
        let asking = self.namespaces.elsewhere.ask(namespace, &self.redis.changes);
        if asking.is_none() && self.namespaces.get(namespace).is_err() {
            counter!(BACKPLANE_DROPPED.name, "reason" => "child namespaces").increment(1);
            tracing::debug!(namespace, "no question: limits.child_namespaces are asked about");
        }
        asking
    }
}

/// What can be asked of the other servers.
#[derive(Clone, Copy)]
pub struct Asks<'a>(pub(super) &'a Cluster);

impl Asks<'_> {
    /// The sockets of the whole cluster.
    pub async fn fetch_sockets(
        &self,
        namespace: &str,
        members: Option<&Members>,
        target: &Target,
    ) -> Answered<Vec<RemoteSocket>> {
        let message = |question: &Question| Message::FetchSockets {
            question: question.id.clone(),
            target: target.clone(),
        };
        let (tally, pods) = self.0.ask(namespace, self.0.settings.request_timeout, message).await;
        let here = members.map(|members| describe(Some(&self.0.pod), members, target));
        let mut answer = here.unwrap_or_default();
        for sockets in tally.answers {
            if let Answer::Sockets(sockets) = sockets {
                answer.extend(sockets);
            }
        }
        Answered { answer, pods }
    }

    /// The rooms of the whole cluster.
    pub async fn rooms(
        &self,
        namespace: &str,
        members: Option<&Members>,
    ) -> Answered<BTreeSet<String>> {
        let limit = self.0.settings.request_timeout;
        let (tally, pods) = match &self.0.wire {
            Wire::Classic(_) => {
                let message =
                    |question: &Question| Message::AllRooms { question: question.id.clone() };
                self.0.ask(namespace, limit, message).await
            }
            // That protocol has no question for rooms, but sockets know theirs.
            Wire::Sharded(_) => {
                let message = |question: &Question| Message::FetchSockets {
                    question: question.id.clone(),
                    target: Target::default(),
                };
                self.0.ask(namespace, limit, message).await
            }
        };
        let mut answer: BTreeSet<String> =
            members.into_iter().flat_map(|members| members.lookup().rooms()).collect();
        for part in tally.answers {
            match part {
                Answer::Rooms(rooms) => answer.extend(rooms),
                Answer::Sockets(sockets) => {
                    answer.extend(sockets.into_iter().flat_map(|socket| socket.rooms));
                }
                _ => {}
            }
        }
        Answered { answer, pods }
    }

    /// Emits to the sockets of the whole cluster, and collects what their clients answer.
    pub async fn emit_with_ack(
        &self,
        namespace: &str,
        members: Option<&Members>,
        broadcast: Broadcast,
        source: Source,
        timeout: Duration,
    ) -> Answered<ClientAnswers> {
        let (payload, target) = (broadcast.payload.clone(), broadcast.target.clone());
        let here = local_answers(members, payload, &target, source, timeout);
        let message = |question: &Question| {
            let ask = Ask { question: question.id.clone(), timeout };
            Message::Broadcast(Broadcast { ask: Some(ask), ..broadcast })
        };
        let there = self.0.ask(namespace, timeout, message);
        let (mut here, (tally, pods)) = tokio::join!(here, there);
        let answered =
            tally.answers.iter().filter(|answer| matches!(answer, Answer::Ack(Some(_)))).count();
        here.missing += tally.clients.saturating_sub(answered as u64);
        for answer in tally.answers {
            if let Answer::Ack(Some(answer)) = answer {
                here.take(Ok(answer));
            }
        }
        Answered { answer: here, pods }
    }

    /// Asks the other servers of a namespace by an event of their own.
    pub async fn server_side_ask(
        &self,
        namespace: &str,
        arguments: Vec<Json>,
    ) -> Answered<Vec<Json>> {
        let message = |question: &Question| Message::ServerSideEmit {
            arguments,
            question: Some(question.id.clone()),
        };
        let (tally, pods) = self.0.ask(namespace, self.0.settings.request_timeout, message).await;
        let answers = tally.answers.into_iter().filter_map(|answer| match answer {
            Answer::ServerSide(value) => Some(value),
            _ => None,
        });
        Answered { answer: answers.collect(), pods }
    }
}

/// The answers of clients.
#[derive(Debug, Default)]
pub struct ClientAnswers {
    /// What each client answered, in the order of arrival.
    pub answers: Vec<ClientAnswer>,
    /// Clients that were asked and did not answer in time, or when there was no room for more answers.
    pub missing: u64,
    /// Bytes of the answers, as they came.
    bytes: usize,
}

/// Emits to the sockets of this pod, and collects what their clients answer.
pub(in crate::backplane) async fn local_answers(
    members: Option<&Members>,
    payload: socketioxide_core::Value,
    target: &Target,
    source: Source,
    timeout: Duration,
) -> ClientAnswers {
    let mut answers = ClientAnswers::default();
    let Some(members) = members else {
        count(source, 0);
        return answers;
    };
    let (acks, asked) = members.queues().emit_with_ack(payload, target, timeout);
    count(source, asked as usize);
    let mut acks = std::pin::pin!(acks);
    while let Some((_, ack)) = acks.next().await {
        match ack {
            Ok(ack) => answers.take(ClientAnswer::read(&ack)),
            Err(_) => answers.missing += 1,
        }
    }
    answers
}

impl ClientAnswers {
    /// How many clients were asked.
    pub fn expected(&self) -> u64 {
        self.missing + self.answers.len() as u64
    }

    /// An answer of which there is no more room counts as missing: clients choose how long theirs are.
    fn take(&mut self, answer: Result<ClientAnswer, WireError>) {
        match answer {
            Ok(answer) => {
                self.bytes = self.bytes.saturating_add(answer.size());
                if self.bytes > ANSWERS {
                    Reached::ClientAnswers.count();
                    self.missing += 1;
                } else {
                    self.answers.push(answer);
                }
            }
            Err(error) => {
                tracing::debug!(%error, "the answer of a client cannot be read");
                self.missing += 1;
            }
        }
    }
}
