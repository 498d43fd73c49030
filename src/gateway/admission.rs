//! A client that asks to be let in, as functions that decide see it, and what they grant.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, str::FromStr};

use serde_json::Value;

use super::{Claims, Refusal, Socket, hooks::Grant};
use crate::config::Secret;

/// A client that asks to be let in to a namespace.
#[derive(Clone)]
pub struct Handshake {
    /// The namespace.
    pub namespace: String,
    /// What stands in its name for the parts of a pattern: [`Socket::parameter`].
    pub parameters: BTreeMap<String, String>,
    /// The id that its socket has.
    pub id: String,
    /// How it came, as Node's `socket.handshake`: `address`, `time`, `query`; without `auth`.
    pub details: Value,
    /// What it sent in its `auth`, or with `authenticate`; `{}` if nothing.
    pub auth: Value,
    /// Its token: of `auth.token`, a header or a cookie.
    pub token: Option<Secret>,
    /// What is known of it so far.
    pub claims: Option<Claims>,
}

impl Handshake {
    /// That of a socket which is in; what it sent in `auth` when it came is not kept.
    pub(super) fn of(socket: &Socket) -> Self {
        Self {
            namespace: socket.namespace().to_owned(),
            parameters: socket.parameters(),
            id: socket.id(),
            details: socket.handshake(),
            auth: Value::Null,
            token: None,
            claims: socket.claims(),
        }
    }

    /// What stands in the name of the namespace for a part of the pattern: [`Socket::parameter`].
    pub fn parameter<T: FromStr>(&self, name: &str) -> Option<T> {
        self.parameters.get(name)?.parse().ok()
    }

    /// The id that its socket had before, if it says so in `auth.previous`.
    pub fn previous(&self) -> Option<&str> {
        self.auth.get("previous")?.as_str()
    }
}

impl fmt::Debug for Handshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // `auth` may hold a secret.
        let (namespace, id) = (&self.namespace, &self.id);
        f.debug_struct("Handshake").field("namespace", namespace).field("id", id).finish()
    }
}

/// A decision that may take time.
pub(super) type Decision = Pin<Box<dyn Future<Output = Result<Grant, Refusal>> + Send>>;

/// A function that decides.
pub(super) type Decide = Box<dyn Fn(Handshake) -> Decision + Send + Sync>;

/// Forgets of which kind a function is.
pub(super) fn deciding<F, D>(decide: F) -> Decide
where
    F: Fn(Handshake) -> D + Send + Sync + 'static,
    D: Future<Output = Result<Grant, Refusal>> + Send + 'static,
{
    Box::new(move |handshake| Box::pin(decide(handshake)))
}
