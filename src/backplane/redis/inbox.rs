//! Messages from other servers, on their way from Redis to the sockets.
//!
//! Gap: fred hands messages out by a channel that overwrites what is not read in time. So one task does
//! nothing but empty it, drops what nobody here wants by the name of its channel, and puts the rest in a
//! queue that is bounded by bytes. What is lost on the way is counted.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use fred::types::{Message, Value};
use metrics::{Counter, counter};
use tokio::sync::{broadcast, mpsc};

use crate::telemetry::metrics::{BACKPLANE_DROPPED, BACKPLANE_RECEIVED};

/// What a message costs beside its bytes, about.
const OVERHEAD: usize = 128;

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

/// The queue between the task that reads and the one that handles.
pub struct Queue {
    arrivals: mpsc::UnboundedReceiver<Arrival>,
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    /// The next message. `None` when the reader has ended.
    pub async fn next(&mut self) -> Option<Arrival> {
        let arrival = self.arrivals.recv().await?;
        self.waiting.fetch_sub(size(&arrival), Ordering::Relaxed);
        Some(arrival)
    }
}

/// Reads what fred receives, into a queue of so many bytes. `sort` must be quick.
pub fn read(
    mut messages: broadcast::Receiver<Message>,
    limit: usize,
    sort: impl Fn(&str, &[u8]) -> Verdict + Send + 'static,
) -> Queue {
    let (sender, arrivals) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let queue = Queue { arrivals, waiting: waiting.clone() };
    let metrics = Counters::new();
    tokio::spawn(async move {
        loop {
            let message = match messages.recv().await {
                Ok(message) => message,
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    metrics.lagged.increment(missed);
                    tracing::warn!(missed, "messages of the backplane were lost: the pod reads too slowly");
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
            let size = size(&arrival);
            if waiting.fetch_add(size, Ordering::Relaxed) + size > limit {
                waiting.fetch_sub(size, Ordering::Relaxed);
                metrics.full.increment(1);
                continue;
            }
            metrics.wanted.increment(1);
            if sender.send(arrival).is_err() {
                return;
            }
        }
    });
    queue
}

fn size(arrival: &Arrival) -> usize {
    arrival.channel.len() + arrival.payload.len() + OVERHEAD
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
