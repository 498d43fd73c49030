//! Who is told of what: callbacks by event, streams of events, callbacks of the connection.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::broadcast;

use super::{
    ClientError,
    outbox::Outbox,
    packets::{Arguments, Encoded},
};

/// An event of the server.
#[derive(Clone)]
pub struct Event(Arc<Received>);

struct Received {
    name: String,
    arguments: Arguments,
    ack: Option<Ack>,
}

struct Ack {
    namespace: String,
    id: i64,
    /// Of the connection that the event came over: another one does not know the id.
    outbox: Weak<Outbox>,
    sent: AtomicBool,
}

impl Event {
    pub(super) fn new(
        name: String,
        arguments: Arguments,
        ack: Option<(String, i64, Weak<Outbox>)>,
    ) -> Self {
        let ack = ack.map(|(namespace, id, outbox)| Ack {
            namespace,
            id,
            outbox,
            sent: AtomicBool::new(false),
        });
        Self(Arc::new(Received { name, arguments, ack }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Its arguments: a tuple takes several, anything else the first. Missing ones are read as
    /// null, so that `()` and `Option` fit. Attachments are read by [`bytes::Bytes`].
    ///
    /// # Errors
    /// [`ClientError::Decode`] if they are of another form.
    pub fn arguments<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        self.0.arguments.read(true)
    }

    /// Whether the server waits for an answer.
    pub fn wants_ack(&self) -> bool {
        self.0.ack.as_ref().is_some_and(|ack| !ack.sent.load(Ordering::Relaxed))
    }

    /// Answers the server; a tuple is several arguments.
    ///
    /// # Errors
    /// [`ClientError::NothingToAck`] if the server did not ask or has an answer,
    /// [`ClientError::NotConnected`] if the connection that it asked over is gone, and those of
    /// sending.
    pub fn ack<T: Serialize + ?Sized>(&self, answer: &T) -> Result<(), ClientError> {
        let ack = self.0.ack.as_ref().ok_or(ClientError::NothingToAck)?;
        let answer = Arguments::of_ack(answer)?;
        if ack.sent.swap(true, Ordering::Relaxed) {
            return Err(ClientError::NothingToAck);
        }
        let gone = ClientError::NotConnected(super::State::Reconnecting);
        let outbox = ack.outbox.upgrade().ok_or(gone)?;
        let sent = outbox.push(Encoded::ack(&ack.namespace, answer, ack.id));
        if sent.is_err() {
            // The application may try once more, such as when the queue was full.
            ack.sent.store(false, Ordering::Relaxed);
        }
        sent
    }
}

impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Event").field("name", &self.0.name).finish_non_exhaustive()
    }
}

/// The events of one name, one after the other: [`Client::events`](super::Client::events).
pub struct Events(broadcast::Receiver<Event>);

/// So many events were lost, as nobody took them from the stream in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0} events were lost: take them faster, or ask for a longer stream")]
pub struct Lagged(pub u64);

impl Events {
    /// Waits for the next event. Nothing comes any more after `unsubscribe` or `shutdown`.
    pub async fn next(&mut self) -> Option<Result<Event, Lagged>> {
        match self.0.recv().await {
            Ok(event) => Some(Ok(event)),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(Err(Lagged(lost))),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}

pub(super) type Callback<T> = Arc<dyn Fn(T) + Send + Sync>;

#[derive(Clone)]
enum Subscriber {
    Callback(Callback<Event>),
    Stream(broadcast::Sender<Event>),
}

/// The subscribers of one socket. They outlive its connections.
#[derive(Default)]
pub(super) struct Subscriptions(Mutex<HashMap<String, Vec<Subscriber>>>);

impl Subscriptions {
    /// Says whether it was added: it is not if there is a callback and it shall be the only one.
    pub fn add(&self, event: &str, callback: Callback<Event>, only: bool) -> bool {
        let mut events = self.0.lock();
        let subscribers = events.entry(event.to_owned()).or_default();
        let taken = subscribers.iter().any(|other| matches!(other, Subscriber::Callback(_)));
        if !(only && taken) {
            subscribers.push(Subscriber::Callback(callback));
        }
        !(only && taken)
    }

    pub fn stream(&self, event: &str, capacity: usize) -> Events {
        let (sender, receiver) = broadcast::channel(capacity.max(1));
        self.0.lock().entry(event.to_owned()).or_default().push(Subscriber::Stream(sender));
        Events(receiver)
    }

    pub fn remove(&self, event: &str) -> bool {
        self.0.lock().remove(event).is_some()
    }

    pub fn clear(&self) {
        self.0.lock().clear();
    }

    pub fn dispatch(&self, event: &Event) {
        let subscribers = self.0.lock().get(event.name()).cloned();
        let Some(subscribers) = subscribers else {
            tracing::debug!(event = event.name(), "nobody subscribed to the event");
            return;
        };
        let mut abandoned = false;
        for subscriber in subscribers {
            match subscriber {
                Subscriber::Callback(callback) => catch_panic(|| callback(event.clone())),
                Subscriber::Stream(sender) => abandoned |= sender.send(event.clone()).is_err(),
            }
        }
        if abandoned {
            self.forget_abandoned(event.name());
        }
    }

    fn forget_abandoned(&self, event: &str) {
        let mut events = self.0.lock();
        if let Some(subscribers) = events.get_mut(event) {
            subscribers.retain(|subscriber| match subscriber {
                Subscriber::Callback(_) => true,
                Subscriber::Stream(sender) => sender.receiver_count() > 0,
            });
            if subscribers.is_empty() {
                events.remove(event);
            }
        }
    }
}

/// Callbacks for one thing that happens to the connection.
pub(super) struct Hook<T>(Mutex<Vec<Callback<T>>>);

impl<T> Default for Hook<T> {
    fn default() -> Self {
        Self(Mutex::new(Vec::new()))
    }
}

impl<T: Clone> Hook<T> {
    pub fn add(&self, callback: Callback<T>) {
        self.0.lock().push(callback);
    }

    pub fn call(&self, value: &T) {
        // A callback may add another one.
        let callbacks = self.0.lock().clone();
        for callback in callbacks {
            catch_panic(|| callback(value.clone()));
        }
    }

    pub fn clear(&self) {
        self.0.lock().clear();
    }
}

/// A panic in a callback must not end the connection of the others.
fn catch_panic(callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        tracing::error!("a callback of the client panicked");
    }
}
