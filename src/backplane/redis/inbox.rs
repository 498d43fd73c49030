//! Messages from other servers, on their way from Redis to the sockets.
//!
//! Gap: fred hands messages out by a channel that overwrites what is not read in time. So one thread does
//! nothing but empty it, drops what nobody here wants by the name of its channel, and puts the rest in a
//! queue that is bounded by bytes. A thread, as fred can fill the channel in one go, before a task of the same
//! runtime gets its turn. What is lost on the way is counted.

use bytes::Bytes;
use fred::types::{Message, Value};
use metrics::{Counter, counter};
use tokio::sync::broadcast;

use super::queue::{self, Receiver, Sizable};
use crate::telemetry::metrics::{BACKPLANE_DROPPED, BACKPLANE_RECEIVED};

/// A message that has arrived.
pub struct Arrival {
    pub channel: String,
    pub payload: Bytes,
}

/// What becomes of a message, by the name of its channel.
pub enum Verdict {
    /// It may be for sockets of this pod.
    Wanted,
    /// It is for a room that has no members here.
    Unwanted,
    /// It has done all it was for.
    Done,
}

impl Sizable for Arrival {
    fn size(&self) -> usize {
        self.channel.len() + self.payload.len()
    }
}

/// Reads what fred receives, into a queue of so many bytes. `sort` must be quick.
pub fn read(
    mut messages: broadcast::Receiver<Message>,
    limit: usize,
    sort: impl Fn(&str, &[u8]) -> Verdict + Send + 'static,
) -> Receiver<Arrival> {
    let (sender, receiver) = queue::queue(limit);
    let metrics = Counters::new();
    let drain = move || {
        loop {
            let message = match messages.blocking_recv() {
                Ok(message) => message,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    metrics.lagged.increment(missed);
                    tracing::warn!(
                        missed,
                        "messages of the backplane were lost: the pod reads too slowly"
                    );
                    continue;
                }
                Err(broadcast::error::RecvError::Closed) => return,
            };
            let payload = match message.value {
                Value::Bytes(bytes) => bytes,
                Value::String(text) => text.into_inner(),
                _ => continue,
            };
            match sort(&message.channel, &payload) {
                Verdict::Wanted => {}
                Verdict::Unwanted => {
                    metrics.unwanted.increment(1);
                    continue;
                }
                Verdict::Done => continue,
            }
            let arrival = Arrival { channel: message.channel.to_string(), payload };
            match sender.send(arrival) {
                Ok(()) => metrics.wanted.increment(1),
                Err(queue::Full) => metrics.full.increment(1),
            }
        }
    };
    // It ends with the client of Redis.
    let thread = std::thread::Builder::new().name("backplane-inbox".into()).spawn(drain);
    if let Err(error) = thread {
        // Its pulses do not come back, so the pod is never ready.
        tracing::error!(%error, "the thread that reads the backplane cannot be started");
    }
    receiver
}

/// Looked up once: this is on the way of every message.
struct Counters {
    wanted: Counter,
    unwanted: Counter,
    lagged: Counter,
    full: Counter,
}

impl Counters {
    fn new() -> Self {
        Self {
            wanted: counter!(BACKPLANE_RECEIVED.name, "result" => "handled"),
            unwanted: counter!(BACKPLANE_RECEIVED.name, "result" => "no members"),
            lagged: counter!(BACKPLANE_DROPPED.name, "reason" => "lagged"),
            full: counter!(BACKPLANE_DROPPED.name, "reason" => "receive queue full"),
        }
    }
}
