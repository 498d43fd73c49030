//! Hooks over HTTP: services that decide what clients may do, answer their events, or are told of them.
//! `calls` is what the gateway calls: it has the words of the gateway; the rest knows only HTTP.
//! `rules` and `namespaces` may call it.
//!
//! A call waits for nobody but the client it is for. A hook has a limit of calls in flight and a circuit breaker of
//! its own, so that one that hangs keeps nothing busy but its own callers, and those for a bounded time. What happens
//! when a hook is [`Down`] is for the caller to say, by [`crate::config::OnFailure`].
//!
//! `docs/hooks.md` has the requests and the answers. They are signed as <https://www.standardwebhooks.com> says.

mod answer;
mod attempt;
mod breaker;
pub mod calls;
mod client;
mod error;
mod notify;
mod request;
mod retry;
mod signature;
mod socket_slots;
mod trace;

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use metrics::{Gauge, counter, gauge, histogram};
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep},
};

use self::{
    attempt::AttemptError, breaker::Breaker, client::Clients, notify::Notifications,
    request::Request, signature::Keys, socket_slots::SocketSlots,
};
pub use self::{
    error::{Down, HookError, HookSetupError},
    request::{Caller, Kind, SocketInfo},
};
use crate::{
    config::{self, HookUrl},
    gateway::sockets::handshake::Grant,
    telemetry::{
        metrics::{HOOK_CALLS, HOOK_DURATION, HOOK_IN_FLIGHT, HOOK_RETRIES, begin_for},
        traces,
    },
};

/// A quarter of a hook's calls in flight may be of one socket, and a quarter may be notifications, so that others find room.
const SOCKET_SHARE: usize = 4;

/// All hooks of the pod. Clones are the same.
#[derive(Clone)]
pub struct Hooks(Arc<Shared>);

struct Shared {
    settings: config::Hooks,
    clients: Clients,
    /// Those that were asked for, by their whole address.
    known: Mutex<HashMap<HookUrl, Hook>>,
}

impl Hooks {
    /// Hooks that are called with these settings. Nothing is set up before one is asked for.
    pub fn new(settings: &config::Hooks) -> Self {
        let clients = Clients::new(settings);
        Self(Arc::new(Shared { settings: settings.clone(), clients, known: Mutex::default() }))
    }

    /// The hook at an address: the same for all that name it, with one limit and one circuit breaker.
    ///
    /// # Errors
    /// If there is no key to sign with, or certificates cannot be read.
    pub fn at(&self, url: &HookUrl) -> Result<Hook, HookSetupError> {
        let hook = match self.0.known.lock().entry(url.clone()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(unknown) => {
                let client = self.0.clients.client(url)?;
                unknown.insert(Hook::new(url, &self.0.settings, client)?).clone()
            }
        };
        Ok(hook)
    }

    /// Waits until the hooks were told all that they are to be told: for the end of a drain. The caller sets a limit.
    pub async fn flushed(&self) {
        let known: Vec<_> = self.0.known.lock().values().cloned().collect();
        for hook in known {
            hook.0.notifications.flushed().await;
        }
    }
}

/// One hook: where it is, how it is called, and how it does. Clones are the same.
#[derive(Clone)]
pub struct Hook(Arc<Inner>);

struct Inner {
    url: HookUrl,
    /// The address as a label and in logs.
    label: String,
    settings: config::Hooks,
    client: reqwest::Client,
    keys: Keys,
    breaker: Arc<Breaker>,
    /// A permit for each call in flight.
    in_flight: Semaphore,
    slots: SocketSlots,
    in_flight_gauge: Gauge,
    notifications: Notifications,
}

/// How long a call may take, and how often it may be tried.
struct CallLimits {
    /// When the call must have ended.
    deadline: Instant,
    /// Attempts after the first.
    retries: u32,
    /// Longest wait for a permit to be in flight.
    wait: Duration,
}

impl Hook {
    /// Whether this is the same as another.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    fn new(
        url: &HookUrl,
        settings: &config::Hooks,
        client: reqwest::Client,
    ) -> Result<Self, HookSetupError> {
        let label = url.to_string();
        begin_for(&[("hook", &label)]);
        let share = (settings.in_flight / SOCKET_SHARE).max(1);
        Ok(Self(Arc::new(Inner {
            keys: Keys::new(&settings.secrets)?,
            breaker: Breaker::new(&label, settings.breaker_failures, settings.breaker_open),
            in_flight: Semaphore::new(settings.in_flight),
            slots: SocketSlots::new(share),
            in_flight_gauge: gauge!(HOOK_IN_FLIGHT.name, "hook" => label.clone()),
            notifications: Notifications::new(&label, settings, share),
            url: url.clone(),
            settings: settings.clone(),
            client,
            label,
        })))
    }

    /// Has the metrics of calls of this kind at 0 from now on, because the configuration names the hook for them.
    pub fn register_metrics(&self, kind: Kind) {
        begin_for(&[("hook", &self.0.label), ("kind", kind.name())]);
    }

    /// Asks who a client is, by the token that it shows (if any) and its handshake. An answer without claims is a
    /// client without claims.
    ///
    /// # Errors
    /// [`HookError::Refused`]: it is nobody who may come in. [`HookError::Down`]: nobody may, whatever `on_failure` says.
    pub async fn authenticate(
        &self,
        caller: &Caller<'_>,
        token: Option<&str>,
    ) -> Result<Grant, HookError> {
        self.decide(Request::authenticate(caller, token)).await
    }

    /// Asks whether a socket may connect to its namespace.
    ///
    /// # Errors
    /// [`HookError::Refused`] if not; [`HookError::Down`] if the hook did not decide.
    pub async fn connect(&self, caller: &Caller<'_>) -> Result<Grant, HookError> {
        self.decide(Request::connect(caller)).await
    }

    /// Asks whether a socket may join rooms: all of them, or [`Grant::rooms`].
    ///
    /// # Errors
    /// [`HookError::Refused`] if it may join none; [`HookError::Down`] if the hook did not decide.
    pub async fn join(&self, caller: &Caller<'_>, rooms: &[String]) -> Result<Grant, HookError> {
        self.decide(Request::join(caller, rooms)).await
    }

    /// Hands an event over: its name, and the array of its arguments. The answer is the ack, one JSON value.
    ///
    /// # Errors
    /// [`HookError::Refused`] if the hook refused it; [`HookError::Down`] if there was no answer: the hook may have
    /// handled the event all the same.
    pub async fn event(
        &self,
        caller: &Caller<'_>,
        name: &str,
        args: &RawValue,
    ) -> Result<Box<RawValue>, HookError> {
        let request = Request::event(caller, name, args);
        self.record_call(&request, async { answer::ack(&self.call_and_wait(&request).await?) })
            .await
    }

    /// Tells that a socket has gone, when there is time for it: nobody waits. Must be called in a runtime of tokio.
    pub fn disconnect(&self, caller: &Caller<'_>, reason: &str) {
        notify::disconnect(self, || Request::disconnect(caller, reason));
    }

    async fn decide(&self, request: Request) -> Result<Grant, HookError> {
        self.record_call(&request, async { answer::decision(&self.call_and_wait(&request).await?) })
            .await
    }

    /// Calls the hook while a client waits: with retries, within `hooks.total_timeout`.
    async fn call_and_wait(&self, request: &Request) -> Result<Vec<u8>, HookError> {
        let settings = &self.0.settings;
        let limits = CallLimits {
            deadline: Instant::now() + settings.total_timeout,
            retries: settings.retries,
            wait: settings.in_flight_wait,
        };
        self.call(request, limits).await
    }

    async fn call(&self, request: &Request, limits: CallLimits) -> Result<Vec<u8>, HookError> {
        let mut attempt = 0;
        loop {
            let failed = match self.attempt(request, &limits).await {
                Ok(body) => return Ok(body),
                Err(AttemptError::Refused(refused)) => return Err(refused),
                Err(AttemptError::Down(failed)) => failed,
            };
            let pause = retry::pause(&failed, self.0.settings.backoff, attempt);
            if attempt == limits.retries
                || !retry::is_safe(&failed, request.kind)
                || Instant::now() + pause >= limits.deadline
            {
                return Err(HookError::Down(failed.down));
            }
            sleep(pause).await;
            attempt += 1;
            let labels = [("hook", self.0.label.clone()), ("kind", request.kind.name().into())];
            counter!(HOOK_RETRIES.name, &labels).increment(1);
        }
    }

    /// Counts a call, and times it.
    async fn record_call<T>(
        &self,
        request: &Request,
        call: impl Future<Output = Result<T, HookError>>,
    ) -> Result<T, HookError> {
        let began = Instant::now();
        let (hook, kind) = (&self.0.label, request.kind.name());
        let span = traces::hook(kind, self.0.url.expose());
        let outcome = span.scope().within(call).await;
        let result = outcome.as_ref().map_or_else(HookError::label, |_| "ok");
        let labels = [("hook", hook.clone()), ("kind", kind.into())];
        match &outcome {
            Ok(_) => {}
            // It did what it is there for.
            Err(HookError::Refused { .. }) => span.set("error.type", result),
            Err(HookError::Down(_)) => span.failed(result),
        }
        histogram!(HOOK_DURATION.name, &labels).record(began.elapsed());
        let labels = [("hook", hook.clone()), ("kind", kind.into()), ("result", result.into())];
        counter!(HOOK_CALLS.name, &labels).increment(1);
        if let Err(HookError::Down(down)) = &outcome {
            tracing::debug!(hook, kind, id = request.id, reason = %down, "the hook is down");
        }
        outcome
    }
}

/// Reads any bytes as each of the answers, for `tests/fuzz`.
pub(super) fn fuzz(input: &[u8]) {
    let _ = answer::decision(input);
    let _ = answer::ack(input);
    let _ = answer::refusal(input).to_string();
}

#[cfg(test)]
mod tests;
