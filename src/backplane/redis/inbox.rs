//! Messages from other servers, on their way from Redis to the sockets.
//!
//! Gap: fred hands messages out by a channel that overwrites what is not read in time, and can fill it in
//! one go before a task of the same runtime gets its turn. So a thread takes them out: all that are
//! there, before it handles the next. It drops what nobody here wants by the name of its channel, and
//! keeps the rest in a queue that is bounded by bytes. What is lost on the way is counted.

use std::{collections::VecDeque, time::Instant};

use bytes::Bytes;
use fred::types::{Message, Value};
use metrics::{Counter, Gauge, counter, gauge};
use tokio::{
    runtime::Handle,
    sync::broadcast::{
        Receiver,
        error::{RecvError, TryRecvError},
    },
};

use super::queue::Sizable;
use crate::{
    tasks,
    telemetry::metrics::{
        BACKPLANE_DROPPED, BACKPLANE_RECEIVED, RECEIVE_QUEUE_BYTES, RECEIVE_QUEUE_MESSAGES,
    },
};

/// A message that has arrived.
pub struct Arrival {
    pub channel: String,
    pub payload: Bytes,
    /// When it was taken from what fred has received.
    pub received: Instant,
}

impl Sizable for Arrival {
    fn size(&self) -> usize {
        self.channel.len() + self.payload.len()
    }
}

/// What is done with messages.
pub trait Reader: Send + 'static {
    /// What becomes of a message, by the name of its channel. It must be quick.
    fn sort(&self, channel: &str, payload: &[u8]) -> Verdict;
    /// Handles a message that is wanted. They come in order.
    fn handle(&self, arrival: &Arrival);
}

/// What becomes of a message.
pub enum Verdict {
    /// It may be for sockets of this pod.
    Wanted,
    /// It is for a room that has no members here.
    Unwanted,
    /// It has done all it was for.
    Done,
}

/// Reads what fred receives, with a queue of so many bytes, until the client of Redis is closed.
pub fn start(messages: Receiver<Message>, limit: usize, reader: impl Reader) {
    let runtime = Handle::current();
    let inbox = Inbox { messages, reader, limit, queue: VecDeque::new(), waiting: 0 };
    let thread = std::thread::Builder::new().name("backplane-inbox".into()).spawn(move || {
        let _runtime = runtime.enter();
        inbox.run();
    });
    if let Err(error) = thread {
        // Its pulses do not come back, so the pod is never ready.
        tracing::error!(%error, "the thread that reads the backplane cannot be started");
    }
}

struct Inbox<R> {
    messages: Receiver<Message>,
    reader: R,
    limit: usize,
    queue: VecDeque<Arrival>,
    /// Bytes in the queue.
    waiting: usize,
}

impl<R: Reader> Inbox<R> {
    fn run(mut self) {
        let counters = Counters::new();
        loop {
            let message = match self.messages.try_recv() {
                Err(TryRecvError::Empty) => match self.queue.pop_front() {
                    Some(arrival) => {
                        self.waiting -= arrival.cost();
                        counters.waiting(&self);
                        // One message that cannot be handled does not end the others.
                        tasks::piece("backplane inbox", || self.reader.handle(&arrival));
                        continue;
                    }
                    None => self.messages.blocking_recv(),
                },
                Err(TryRecvError::Lagged(missed)) => Err(RecvError::Lagged(missed)),
                Err(TryRecvError::Closed) => Err(RecvError::Closed),
                Ok(message) => Ok(message),
            };
            match message {
                Ok(message) => self.keep(message, &counters),
                Err(RecvError::Lagged(missed)) => {
                    counters.lagged.increment(missed);
                    tracing::warn!(
                        missed,
                        "messages of the backplane were lost: the pod is too slow"
                    );
                }
                Err(RecvError::Closed) => return,
            }
        }
    }

    fn keep(&mut self, message: Message, counters: &Counters) {
        let payload = match message.value {
            Value::Bytes(bytes) => bytes,
            Value::String(text) => text.into_inner(),
            _ => return,
        };
        match self.reader.sort(&message.channel, &payload) {
            Verdict::Wanted => {}
            Verdict::Unwanted => return counters.unwanted.increment(1),
            Verdict::Done => return,
        }
        let (channel, received) = (message.channel.to_string(), Instant::now());
        let arrival = Arrival { channel, payload, received };
        if self.waiting + arrival.cost() > self.limit {
            return counters.full.increment(1);
        }
        counters.wanted.increment(1);
        self.waiting += arrival.cost();
        self.queue.push_back(arrival);
        counters.waiting(self);
    }
}

/// Looked up once: this is on the way of every message.
struct Counters {
    wanted: Counter,
    unwanted: Counter,
    lagged: Counter,
    full: Counter,
    messages: Gauge,
    bytes: Gauge,
}

impl Counters {
    fn new() -> Self {
        Self {
            wanted: counter!(BACKPLANE_RECEIVED.name, "result" => "handled"),
            unwanted: counter!(BACKPLANE_RECEIVED.name, "result" => "no members"),
            lagged: counter!(BACKPLANE_DROPPED.name, "reason" => "lagged"),
            full: counter!(BACKPLANE_DROPPED.name, "reason" => "receive queue full"),
            messages: gauge!(RECEIVE_QUEUE_MESSAGES.name),
            bytes: gauge!(RECEIVE_QUEUE_BYTES.name),
        }
    }

    fn waiting<R>(&self, inbox: &Inbox<R>) {
        self.messages.set(inbox.queue.len() as f64);
        self.bytes.set(inbox.waiting as f64);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, time::Duration};

    use fred::types::{MessageKind, config::Server};
    use tokio::sync::broadcast;

    use super::*;

    struct Fragile(mpsc::Sender<String>);

    impl Reader for Fragile {
        fn sort(&self, _: &str, _: &[u8]) -> Verdict {
            Verdict::Wanted
        }

        fn handle(&self, arrival: &Arrival) {
            assert!(arrival.channel != "poison", "as a bug would");
            self.0.send(arrival.channel.clone()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_message_whose_handling_panics_does_not_end_the_others() {
        let (messages, receiver) = broadcast::channel(8);
        let (handled, all) = mpsc::channel();
        start(receiver, 1 << 20, Fragile(handled));
        for channel in ["before", "poison", "after"] {
            let (value, server) = (Value::Bytes(Bytes::new()), Server::new("127.0.0.1", 6379));
            let kind = MessageKind::Message;
            messages.send(Message { channel: channel.into(), value, kind, server }).unwrap();
        }
        for channel in ["before", "after"] {
            assert_eq!(all.recv_timeout(Duration::from_secs(30)).unwrap(), channel);
        }
    }
}
