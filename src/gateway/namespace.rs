//! What a namespace is made of.

use wildmatch::WildMatchPattern;

use serde_json::Value;

use super::event::Handler;
use crate::{backplane::ServerSide, config::AuthPolicy};

/// A pattern of names: `*` stands for any characters, everything else for itself.
pub(super) type Pattern = WildMatchPattern<'*', '\0'>;

/// A namespace: who may connect, the rooms they are put in, and a handler for each event.
///
/// An event that matches no handler is refused with `event_denied`.
///
/// ```
/// use roomcast::{Namespace, Reply, config::AuthPolicy};
///
/// let orders = Namespace::new("/orders")
///     .auth(AuthPolicy::None)
///     .default_rooms(["all"])
///     .on("order:*", |event: &roomcast::Event<'_>| {
///         let quantity: u32 = event.arguments()?;
///         event.relay(Some("all"));
///         Reply::json(quantity * 2)
///     });
/// # let _ = orders;
/// ```
pub struct Namespace {
    pub(super) path: String,
    pub(super) auth: AuthPolicy,
    pub(super) default_rooms: Vec<String>,
    /// The first that matches handles an event.
    pub(super) handlers: Vec<(Pattern, Box<dyn Handler>)>,
    /// Handles the events of other servers.
    pub(super) server_side: Option<Box<dyn ServerSide>>,
}

impl<F> ServerSide for F
where
    F: Fn(&str, &[Value]) -> Value + Send + Sync,
{
    fn handle(&self, event: &str, arguments: &[Value]) -> Value {
        self(event, arguments)
    }
}

impl Namespace {
    /// A namespace that lets clients with a valid token in, and allows them nothing yet.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            auth: AuthPolicy::Required,
            default_rooms: Vec::new(),
            handlers: Vec::new(),
            server_side: None,
        }
    }

    /// Says who may connect.
    pub fn auth(mut self, policy: AuthPolicy) -> Self {
        self.auth = policy;
        self
    }

    /// Names rooms that each socket is put in when it connects.
    pub fn default_rooms<R: Into<String>>(mut self, rooms: impl IntoIterator<Item = R>) -> Self {
        self.default_rooms.extend(rooms.into_iter().map(Into::into));
        self
    }

    /// Handles the events whose names match a pattern. The first pattern that matches wins.
    pub fn on(mut self, pattern: &str, handler: impl Handler) -> Self {
        self.handlers.push((Pattern::new(pattern), Box::new(handler)));
        self
    }

    /// Handles the events that other servers of the cluster send to servers (`serverSideEmit` on
    /// Node): a name and its arguments. What it answers goes to a server that asked for an ack; without
    /// a handler that is `null`. It must not block.
    pub fn on_server_side(
        mut self,
        handler: impl Fn(&str, &[Value]) -> Value + Send + Sync + 'static,
    ) -> Self {
        self.server_side = Some(Box::new(handler));
        self
    }

    /// Whether it looks at tokens.
    pub(crate) fn needs_key(&self) -> bool {
        self.auth != AuthPolicy::None
    }

    /// Its path, such as `/orders`.
    pub fn path(&self) -> &str {
        &self.path
    }
}
