//! What a namespace decides on when a client connects or authenticates: the handshake, and what is granted for it.

use std::{collections::BTreeMap, fmt, future::Future, pin::Pin, str::FromStr};

use serde_json::Value;

use super::socket::Socket;
use crate::{
    config::Secret,
    gateway::{replies::refusal::Refusal, tokens::Claims},
};

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
    /// The handshake of a socket that has connected. It has no `auth`: that of its CONNECT is not kept.
    pub(in crate::gateway) fn of(socket: &Socket) -> Self {
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

/// What a client is granted that is let in. A hook that says yes, or a function of the program, gives it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Grant {
    /// Who the client is, if the hook said so: in the place of what was known of it.
    pub claims: Option<Claims>,
    /// `authenticate`, `connect`: rooms to put the socket in. `join`: those it may join, of those it asked for. Not
    /// checked: they may be too many, or have names that are too long.
    pub rooms: Option<Vec<String>>,
}

/// A decision that may take time.
pub(in crate::gateway) type GrantFuture =
    Pin<Box<dyn Future<Output = Result<Grant, Refusal>> + Send>>;

/// A function that decides on a handshake: [`Namespace::authenticator`](crate::Namespace::authenticator) and
/// [`Namespace::handshake`](crate::Namespace::handshake) take one.
pub(in crate::gateway) type HandshakeFn = Box<dyn Fn(Handshake) -> GrantFuture + Send + Sync>;

/// Boxes such a function.
pub(in crate::gateway) fn boxed_handshake<F, D>(decide: F) -> HandshakeFn
where
    F: Fn(Handshake) -> D + Send + Sync + 'static,
    D: Future<Output = Result<Grant, Refusal>> + Send + 'static,
{
    Box::new(move |handshake| Box::pin(decide(handshake)))
}
