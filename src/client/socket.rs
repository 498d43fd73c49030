//! One socket: the membership in one namespace, as it is now, and what outlives a connection.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{oneshot, watch};

use super::{
    Auth, ClientError, Reason, State, TransportError, Unauthenticated,
    outbox::Outbox,
    packets::{Arguments, Encoded},
    restore::Restore,
    subscriptions::{Event, Hook, Subscriptions},
};
use crate::config::Secret;

/// Names that Socket.IO's libraries keep for themselves.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

type Answer<T> = oneshot::Sender<Result<T, ClientError>>;

/// One socket of a client.
pub(super) struct Socket {
    pub namespace: String,
    pub auth: Auth,
    pub ack_timeout: Duration,
    pub state: watch::Sender<State>,
    pub subscriptions: Subscriptions,
    pub hooks: Hooks,
    pub restore: Restore,
    inner: Mutex<Inner>,
}

/// What the application wants to be told.
#[derive(Default)]
pub(super) struct Hooks {
    pub connected: Hook<()>,
    pub disconnected: Hook<Reason>,
    pub error: Hook<ClientError>,
    pub authenticated: Hook<()>,
    pub unauthenticated: Hook<Unauthenticated>,
}

#[derive(Default)]
struct Inner {
    /// While it is connected.
    link: Option<Link>,
    next_ack: i64,
    /// Who waits for `connect`.
    connecting: Vec<Answer<()>>,
}

/// What ends with the connection.
struct Link {
    id: String,
    outbox: Arc<Outbox>,
    acks: HashMap<i64, Answer<Arguments>>,
    /// Who waits for `authenticated` or `unauthenticated`. The server answers in order.
    authenticating: VecDeque<Answer<()>>,
}

impl Socket {
    pub fn new(namespace: String, auth: Auth, ack_timeout: Duration) -> Self {
        Self {
            namespace,
            auth,
            ack_timeout,
            state: watch::Sender::new(State::Disconnected),
            subscriptions: Subscriptions::default(),
            hooks: Hooks::default(),
            restore: Restore::default(),
            inner: Mutex::default(),
        }
    }

    /// `socket.id`, while it is connected.
    pub fn id(&self) -> Option<String> {
        self.inner.lock().link.as_ref().map(|link| link.id.clone())
    }

    pub fn emit<T: Serialize + ?Sized>(&self, event: &str, data: &T) -> Result<(), ClientError> {
        self.send(event, data, None).map(drop)
    }

    pub async fn ask<T, A>(
        &self,
        event: &str,
        data: &T,
        timeout: Duration,
    ) -> Result<A, ClientError>
    where
        T: Serialize + ?Sized,
        A: DeserializeOwned,
    {
        let (sender, answer) = oneshot::channel();
        let id = self.send(event, data, Some(sender))?;
        let _forget = Pending { socket: self, id };
        answered(timeout, answer).await?.read(false)
    }

    fn send<T: Serialize + ?Sized>(
        &self,
        event: &str,
        data: &T,
        ack: Option<Answer<Arguments>>,
    ) -> Result<Option<i64>, ClientError> {
        check_event(event)?;
        let arguments = Arguments::of_event(event, data)?;
        let mut inner = self.inner.lock();
        let Inner { link, next_ack, .. } = &mut *inner;
        let link = link.as_mut().ok_or_else(|| ClientError::NotConnected(*self.state.borrow()))?;
        let id = ack.is_some().then_some(*next_ack);
        link.outbox.push(Encoded::event(&self.namespace, arguments, id))?;
        if let Some(ack) = ack {
            link.acks.insert(*next_ack, ack);
            *next_ack += 1;
        }
        Ok(id)
    }

    pub async fn authenticate(&self, token: Secret) -> Result<(), ClientError> {
        let (sender, answer) = oneshot::channel();
        {
            let mut inner = self.inner.lock();
            let link = inner.link.as_mut();
            let link = link.ok_or_else(|| ClientError::NotConnected(*self.state.borrow()))?;
            let data = serde_json::json!({"token": token.expose()});
            let arguments = Arguments::of_event("authenticate", &data)?;
            link.outbox.push(Encoded::event(&self.namespace, arguments, None))?;
            link.authenticating.push_back(sender);
        }
        // One that gives up stays in the queue: its answer may still come, and is not the next one's.
        answered(self.ack_timeout, answer).await?;
        self.restore.token(Some(token));
        Ok(())
    }

    /// Somebody waits for `connect`.
    pub fn wait_for_connect(&self, answer: Answer<()>) {
        let mut inner = self.inner.lock();
        if inner.link.is_some() {
            drop(inner);
            let _ = answer.send(Ok(()));
            return;
        }
        inner.connecting.push(answer);
        self.state.send_if_modified(|state| {
            let begins = *state == State::Disconnected;
            if begins {
                *state = State::Connecting;
            }
            begins
        });
    }

    /// The server let it in.
    pub fn connected(&self, id: String, outbox: Arc<Outbox>) {
        let acks = HashMap::new();
        let link = Link { id, outbox, acks, authenticating: VecDeque::new() };
        let mut inner = self.inner.lock();
        inner.link = Some(link);
        let waiting = std::mem::take(&mut inner.connecting);
        drop(inner);
        self.state.send_replace(State::Connected);
        for answer in waiting {
            let _ = answer.send(Ok(()));
        }
        self.hooks.connected.call(&());
    }

    /// The connection is gone, or the server has put it out.
    pub fn disconnected(&self, reason: Reason, next: State) {
        let link = self.inner.lock().link.take();
        // Without one it was on its way in, and stays so if it is to come back.
        let next = match (&link, next) {
            (None, State::Reconnecting) => *self.state.borrow(),
            (_, next) => next,
        };
        self.state.send_replace(next);
        let Some(Link { acks, authenticating, .. }) = link else { return };
        for answer in acks.into_values() {
            let _ = answer.send(Err(ClientError::Disconnected(reason)));
        }
        for answer in authenticating {
            let _ = answer.send(Err(ClientError::Disconnected(reason)));
        }
        self.hooks.disconnected.call(&reason);
    }

    /// It will not come in, unless `connect` is called again.
    pub fn refused(&self, error: &ClientError, next: State) {
        let waiting = std::mem::take(&mut self.inner.lock().connecting);
        self.state.send_replace(next);
        for answer in waiting {
            let _ = answer.send(Err(error.clone()));
        }
    }

    /// The end: callbacks go, as they may hold the client.
    pub fn close(&self) {
        self.restore.forget();
        self.disconnected(Reason::ClientDisconnect, State::Closed);
        self.refused(&ClientError::Closed, State::Closed);
        self.subscriptions.clear();
        let Hooks { connected, disconnected, error, authenticated, unauthenticated } = &self.hooks;
        connected.clear();
        disconnected.clear();
        error.clear();
        authenticated.clear();
        unauthenticated.clear();
    }

    pub fn event(&self, arguments: Arguments, id: Option<i64>) -> Result<(), TransportError> {
        let name = arguments.event()?;
        let outbox = self.inner.lock().link.as_ref().map(|link| Arc::downgrade(&link.outbox));
        let Some(outbox) = outbox else {
            tracing::debug!(event = name, "an event before the socket is connected is dropped");
            return Ok(());
        };
        let ack = id.map(|id| (self.namespace.clone(), id, outbox));
        let event = Event::new(name, arguments, ack);
        match event.name() {
            "authenticated" => self.authenticated(),
            "unauthenticated" => self.unauthenticated(&event),
            _ => {}
        }
        self.subscriptions.dispatch(&event);
        Ok(())
    }

    fn authenticated(&self) {
        let waiting = {
            let mut inner = self.inner.lock();
            inner.link.as_mut().and_then(|link| link.authenticating.pop_front())
        };
        self.state.send_replace(State::Authenticated);
        if let Some(answer) = waiting {
            let _ = answer.send(Ok(()));
        }
        self.hooks.authenticated.call(&());
    }

    fn unauthenticated(&self, event: &Event) {
        self.restore.token(None);
        let waiting = {
            let mut inner = self.inner.lock();
            inner.link.as_mut().and_then(|link| link.authenticating.pop_front())
        };
        self.state.send_replace(State::Connected);
        let refusal = event.arguments().unwrap_or_else(|_| Unauthenticated {
            message: "no reason given".into(),
            time: serde_json::Value::Null,
            code: None,
        });
        if let Some(answer) = waiting {
            let _ = answer.send(Err(ClientError::Unauthenticated(refusal.clone())));
        }
        self.hooks.unauthenticated.call(&refusal);
    }

    pub fn ack(&self, arguments: Arguments, id: i64) {
        let waiting = {
            let mut inner = self.inner.lock();
            inner.link.as_mut().and_then(|link| link.acks.remove(&id))
        };
        match waiting {
            Some(answer) => drop(answer.send(Ok(arguments))),
            None => tracing::debug!(id, "an ack that nobody waits for, or too late"),
        }
    }
}

/// Whether an event may be called so.
pub(super) fn check_event(event: &str) -> Result<(), ClientError> {
    if event.is_empty() {
        return Err(ClientError::NoEvent);
    }
    match RESERVED.contains(&event) {
        true => Err(ClientError::ReservedEvent(event.to_owned())),
        false => Ok(()),
    }
}

async fn answered<T>(
    timeout: Duration,
    answer: oneshot::Receiver<Result<T, ClientError>>,
) -> Result<T, ClientError> {
    match tokio::time::timeout(timeout, answer).await {
        Err(_) => Err(ClientError::AckTimeout(timeout)),
        Ok(Err(_)) => Err(ClientError::Disconnected(Reason::TransportClose)),
        Ok(Ok(answer)) => answer,
    }
}

/// An ack that is waited for. Who waits no more, in time or not, leaves nothing behind.
struct Pending<'a> {
    socket: &'a Socket,
    id: Option<i64>,
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let (Some(id), Some(link)) = (self.id, self.socket.inner.lock().link.as_mut()) {
            link.acks.remove(&id);
        }
    }
}
