//! What other servers say, and what this pod does about it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use futures_util::StreamExt;
use metrics::{Histogram, counter, histogram};

use super::{
    Cluster,
    questioned::{Asked, Questioned},
    server_side,
};
use crate::{
    backplane::{
        Emit, Source,
        acks::Acks,
        delivery::{self, Arrived, deliver},
        members::Members,
        redis::{Arrival, Listener},
        stages::{About, Stage, now},
        traced::giving_arrived,
        wire::{Answer, Broadcast, ClientAnswer, Incoming, Message, Meta},
    },
    tasks,
    telemetry::{
        metrics::{BACKPLANE_DROPPED, BACKPLANE_LATENCY},
        traces::Trace,
    },
};

/// Handles what arrives.
pub(super) struct Arrivals {
    cluster: Arc<Cluster>,
    latency: Histogram,
    questioned: Questioned,
}

impl Arrivals {
    pub fn new(cluster: Arc<Cluster>, questioned: Questioned) -> Self {
        Self { cluster, latency: histogram!(BACKPLANE_LATENCY.name), questioned }
    }
}

impl Listener for Arrivals {
    fn wants(&self, channel: &str) -> bool {
        self.cluster.wire.address(channel).is_some_and(|address| match address.room {
            Some(room) => self.cluster.namespaces.has(address.namespace, room),
            None => true,
        })
    }

    fn handle(&self, arrival: &Arrival) {
        self.cluster.read(arrival, self);
    }
}

impl Cluster {
    fn read(self: &Arc<Self>, arrival: &Arrival, arrivals: &Arrivals) {
        let Arrival { channel, payload, received } = arrival;
        let Some(address) = self.wire.address(channel) else { return };
        let members = self.namespaces.get(address.namespace).ok();
        let decoded = self.wire.decode(channel, payload);
        if let Ok(Some(incoming)) = &decoded {
            self.peers.heard(incoming, |id| self.known.borrow().contains_key(id));
        }
        match (decoded, members) {
            (Ok(Some(incoming)), Some(members)) => {
                self.take(&members, incoming, *received, payload.len(), arrivals);
            }
            (Ok(Some(incoming)), None) => self.take_elsewhere(address.namespace, incoming),
            (Ok(_), _) => {}
            (Err(error), _) => {
                counter!(BACKPLANE_DROPPED.name, "reason" => "undecodable").increment(1);
                // Whoever writes such messages writes many: the metric counts them, the log names one.
                if self.told_unreadable.swap(true, Ordering::Relaxed) {
                    tracing::debug!(%error, channel, "a message of the backplane cannot be read");
                } else {
                    tracing::warn!(
                        %error,
                        channel,
                        "a message of the backplane cannot be read, and reaches nobody; others are only counted \
                         (roomcast_backplane_messages_dropped_total)"
                    );
                }
            }
        }
    }

    /// Takes a message in a namespace that this pod does not have. It may wait for answers there; and if it had it a moment
    /// ago, who asks has counted it as one that answers.
    fn take_elsewhere(&self, namespace: &str, Incoming { from, message }: Incoming) {
        let (question, answer) = match message {
            Message::Answer { question, answer } => {
                return self.questions.answer(&question, answer);
            }
            Message::FetchSockets { question, .. } => (question, Answer::Sockets(Vec::new())),
            Message::AllRooms { question } => (question, Answer::Rooms(Vec::new())),
            Message::SocketIds { question, .. } => (question, Answer::SocketIds(Vec::new())),
            Message::Broadcast(Broadcast { ask: Some(ask), .. }) => {
                (ask.question, Answer::AckCount(0))
            }
            Message::ServerSideEmit { question: Some(question), .. } => {
                (question, Answer::ServerSide(serde_json::Value::Null))
            }
            _ => return,
        };
        self.publisher().reply(namespace, from.as_deref(), &question, answer);
    }

    fn take(
        self: &Arc<Self>,
        members: &Arc<Members>,
        incoming: Incoming,
        received: Instant,
        size: usize,
        arrivals: &Arrivals,
    ) {
        let Incoming { from, message } = incoming;
        let from = from.as_deref();
        let namespace = members.local.path().as_str();
        match message {
            Message::Broadcast(broadcast @ Broadcast { ask: Some(_), .. }) => {
                let _giving = giving_arrived(members, &broadcast);
                let Broadcast { ask: Some(ask), payload, target, .. } = broadcast else { return };
                let (acks, count) = members.queues().emit_with_ack(payload, &target, ask.timeout);
                delivery::count(source(from), count as usize);
                self.publisher().reply(
                    namespace,
                    from,
                    &ask.question,
                    Answer::AckCount(count.into()),
                );
                if count > 0 {
                    let (cluster, namespace) = (self.clone(), namespace.to_owned());
                    let from = from.map(str::to_owned);
                    tasks::spawn("cluster", async move {
                        cluster
                            .pass_acks_on(&namespace, from.as_deref(), &ask.question, acks)
                            .await;
                    });
                }
            }
            Message::Broadcast(broadcast) => {
                emit(members, broadcast, source(from), received, &arrivals.latency);
            }
            Message::Join { target, rooms } => {
                members.join_all(&target, rooms);
            }
            Message::Leave { target, rooms } => {
                members.leave_all(&target, rooms);
            }
            Message::Disconnect { target, close } => {
                self.namespaces.disconnect_all(members, &target, close);
            }
            message @ (Message::FetchSockets { .. }
            | Message::AllRooms { .. }
            | Message::SocketIds { .. }) => {
                let from = from.map(str::to_owned);
                let question = Asked { members: members.clone(), from, message, size };
                arrivals.questioned.push(question);
            }
            Message::ServerSideEmit { arguments, question } => {
                let answer = members.server_side.handle(arguments);
                server_side::answer(self, namespace, from, question, answer);
            }
            Message::Answer { question, answer } => self.questions.answer(&question, answer),
        }
    }

    async fn pass_acks_on(&self, namespace: &str, to: Option<&str>, question: &str, acks: Acks) {
        let mut acks = std::pin::pin!(acks);
        while let Some((_, ack)) = acks.next().await {
            // A client that does not answer is missed by the server that asked.
            let Ok(ack) = ack else { continue };
            let answer = ClientAnswer::read(&ack);
            if let Err(error) = &answer {
                tracing::debug!(%error, "the answer of a client cannot be given to other pods");
            }
            self.publisher().reply(namespace, to, question, Answer::Ack(answer.ok()));
        }
    }
}

/// Who emits, by the id that comes with it. Redis emitters of all languages call themselves so.
fn source(from: Option<&str>) -> Source {
    if from == Some("emitter") { Source::Emitter } else { Source::Backplane }
}

fn emit(
    members: &Members,
    broadcast: Broadcast,
    source: Source,
    received: Instant,
    latency: &Histogram,
) {
    let giving = giving_arrived(members, &broadcast);
    let _here = giving.enter();
    let Broadcast { payload, target, volatile, meta, .. } = broadcast;
    // Servers of another kind do not know who may be told.
    let told =
        meta.as_ref().is_some_and(|meta| meta.presence).then(|| members.recipients().told(&target));
    let target = told.unwrap_or(target);
    if let Some(meta) = &meta {
        let about = About {
            namespace: members.local.path().as_str(),
            source,
            recipients: None,
            trace: meta.trace().as_ref().map(Trace::id),
        };
        let took = age(meta).saturating_sub(received.elapsed());
        members.shared.measuring.stages.took(Stage::Receive, took, &about);
    }
    let published = meta.as_ref().map(|meta| Duration::from_millis(meta.t));
    let traceparent = meta.as_ref().and_then(Meta::trace);
    let emit = Emit { payload, target, from: None, volatile, source, traceparent };
    deliver(members, emit, Arrived { at: received, published });
    if let Some(meta) = meta {
        latency.record(age(&meta));
        if let Some(traceparent) = meta.traceparent() {
            tracing::debug!(traceparent, "emitted for another pod");
        }
    }
}

/// How long ago a message was published; nothing if the clocks disagree about the order.
fn age(meta: &Meta) -> Duration {
    now().saturating_sub(Duration::from_millis(meta.t))
}
