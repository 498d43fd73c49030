//! What a namespace is made of.

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use regex::Regex;
use serde_json::Value;

use super::{name_pattern::NamePattern, server_side::ServerSideHandler};
use crate::{
    backplane::RoomEvent,
    config::{AuthPolicy, Limits},
    gateway::{
        events::{
            event::{Event, EventPattern},
            handler::{Handler, HandlerFn, boxed},
            outgoing::Outgoing,
        },
        replies::refusal::Refusal,
        rules::{room_rules::RoomRules, template::Template},
        sockets::{
            handshake::{Grant, Handshake, HandshakeFn, boxed_handshake},
            socket::Socket,
        },
    },
};

/// A namespace: who may connect, the rooms they are put in, and a handler for each event.
///
/// An event that matches no handler is not acked, as on Node; metrics count it as `no_handler`. A handler for `*`, which comes
/// last, may refuse it instead.
///
/// ```
/// use roomcast::{Namespace, Reply, config::AuthPolicy};
///
/// let orders = Namespace::new("/orders")
///     .authentication(AuthPolicy::None)
///     .default_rooms(["all"])
///     .on("order:*", |event: &roomcast::Event<'_>| {
///         let quantity: u32 = event.arguments()?;
///         event.relay(Some("all"));
///         Reply::json(quantity * 2)
///     });
/// # let _ = orders;
/// ```
pub struct Namespace {
    pub(in crate::gateway) path: String,
    pub(in crate::gateway) policy: AuthPolicy,
    pub(in crate::gateway) auth_timeout: Option<Duration>,
    pub(in crate::gateway) heartbeat: Option<Duration>,
    /// Its own limits, instead of those of the pod.
    pub(in crate::gateway) limits: Option<Limits>,
    pub(in crate::gateway) default_rooms: Vec<String>,
    /// Patterns of rooms that a socket is put in by its claims.
    pub(in crate::gateway) auto_join_rooms: Vec<Template>,
    /// Says who a client is, instead of tokens.
    pub(in crate::gateway) authenticator: Option<HandshakeFn>,
    /// Say whether a client may connect.
    pub(in crate::gateway) handshakes: Vec<HandshakeFn>,
    /// The names of its children, if it is dynamic.
    pub(in crate::gateway) child_names: Option<NamePattern>,
    /// Whether what clients send in `auth` is kept.
    pub(in crate::gateway) keeps_auth: bool,
    pub(in crate::gateway) on_connect: Option<SocketFn>,
    pub(in crate::gateway) on_reconnect: Option<SocketReasonFn>,
    pub(in crate::gateway) on_upgrade: Option<SocketFn>,
    pub(in crate::gateway) on_disconnect: Option<SocketReasonFn>,
    /// Packet middleware. Each may refuse an event.
    pub(in crate::gateway) packets: Vec<PacketFn>,
    /// Called for each event that was not refused.
    pub(in crate::gateway) listeners: Vec<EventFn>,
    /// Called when its rooms change.
    pub(in crate::gateway) on_room: Option<Arc<RoomFn>>,
    /// Called for each event that its sockets are sent.
    pub(in crate::gateway) outgoing_listeners: Vec<OutgoingFn>,
    /// The first one that matches handles an event.
    pub(in crate::gateway) handlers: Vec<Route>,
    /// Whether the tokens of sockets are kept, because handlers check them again.
    pub(in crate::gateway) keeps_tokens: bool,
    /// The rules for rooms of the configuration.
    pub(in crate::gateway) rules: Option<RoomRules>,
    /// Handles the events of other servers.
    pub(in crate::gateway) server_side: Option<ServerSideHandler>,
}

/// A handler, and the events that it is for.
pub(in crate::gateway) struct Route {
    pub pattern: EventPattern,
    /// Whether the token is checked before each call.
    pub auth: bool,
    /// Whether it is for the first event of each socket only.
    pub once: bool,
    pub handle: HandlerFn,
}

pub(in crate::gateway) type SocketFn = Box<dyn Fn(&Socket) + Send + Sync>;
pub(in crate::gateway) type SocketReasonFn = Box<dyn Fn(&Socket, &str) + Send + Sync>;
pub(in crate::gateway) type RoomFn = dyn Fn(RoomEvent<'_>) + Send + Sync;
pub(in crate::gateway) type PacketFn = Box<dyn Fn(&Event<'_>) -> Result<(), Refusal> + Send + Sync>;
pub(in crate::gateway) type EventFn = Box<dyn Fn(&Event<'_>) + Send + Sync>;
pub(in crate::gateway) type OutgoingFn = Box<dyn Fn(&Outgoing<'_>) + Send + Sync>;

impl Namespace {
    /// A namespace that lets clients with a valid token in, and allows them nothing yet.
    pub fn new(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            policy: AuthPolicy::Required,
            auth_timeout: None,
            heartbeat: None,
            limits: None,
            default_rooms: Vec::new(),
            auto_join_rooms: Vec::new(),
            authenticator: None,
            handshakes: Vec::new(),
            child_names: None,
            keeps_auth: false,
            on_connect: None,
            on_reconnect: None,
            on_upgrade: None,
            on_disconnect: None,
            packets: Vec::new(),
            listeners: Vec::new(),
            on_room: None,
            outgoing_listeners: Vec::new(),
            handlers: Vec::new(),
            keeps_tokens: false,
            rules: None,
            server_side: None,
        }
    }

    /// A dynamic namespace: one for each name of a pattern, made when the first client asks for it. `{id}` stands for one or
    /// more characters but `/`, `*` for any. All have these handlers; [`Socket::namespace`] says in which one a socket is, and
    /// [`Socket::parameter`] what stands for `{id}`.
    ///
    /// ```
    /// # use roomcast::{Namespace, Socket};
    /// let rooms = Namespace::pattern("/room-{id}").on_connect(|socket: &Socket| {
    ///     let _ = socket.nsp().to("staff"); // of this child alone
    ///     let number: Option<u32> = socket.parameter("id"); // 7 in `/room-7`
    /// #   let _ = number;
    /// });
    /// # let _ = rooms;
    /// ```
    pub fn pattern(pattern: &str) -> Self {
        let child_names = Some(NamePattern::pattern(pattern));
        Self { child_names, ..Self::new(pattern) }
    }

    /// The same for names that a regular expression matches: `io.of(/re/)` on Node. As there, it may match a part of the name:
    /// `^` and `$` say where it begins and ends. In Rust, `\d`, `\w` and `\s` are those of Unicode: `[0-9]` is what `\d` is in
    /// JavaScript.
    ///
    /// ```
    /// # use roomcast::Namespace;
    /// let tenants = Namespace::regex(&roomcast::Regex::new("^/tenant-[0-9]+$")?);
    /// # let _ = tenants;
    /// # Ok::<_, regex::Error>(())
    /// ```
    pub fn regex(regex: &Regex) -> Self {
        let child_names = Some(NamePattern::Regex(regex.clone()));
        Self { child_names, ..Self::new(regex.as_str()) }
    }

    /// The same for names that a function takes: `io.of((name, auth, next) => …)` on Node. It gets the name and the `auth` of
    /// the client. As there, it is asked only when there is no such namespace yet: who may come in is for
    /// [`Self::handshake`] to say. `label` names all of them in metrics.
    ///
    /// ```
    /// # use roomcast::Namespace;
    /// let games = Namespace::dynamic("games", async |name: String, auth: serde_json::Value| {
    ///     name.starts_with("/game-") && auth["host"] == true
    /// });
    /// # let _ = games;
    /// ```
    pub fn dynamic<F, D>(label: &str, may_be: F) -> Self
    where
        F: Fn(String, Value) -> D + Send + Sync + 'static,
        D: Future<Output = bool> + Send + 'static,
    {
        let child_names = Some(NamePattern::function(may_be));
        Self { child_names, ..Self::new(label) }
    }

    /// Keeps what clients send in `auth` with CONNECT as long as their sockets, for [`Socket::auth`]: up to 16 KiB of each; who
    /// sends more is refused. It may hold secrets: without this it is known to [`Self::handshake`] alone.
    pub fn keep_auth(mut self) -> Self {
        self.keeps_auth = true;
        self
    }

    /// Says who may connect.
    pub fn authentication(mut self, policy: AuthPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// Lets clients connect without a token, and emit `authenticate` with one within this time.
    pub fn auth_timeout(mut self, timeout: Duration) -> Self {
        self.auth_timeout = Some(timeout);
        self
    }

    /// Says who a client is, in the place of the pod's tokens: the claims of the answer are what it is known by.
    pub fn authenticator<F, D>(mut self, decide: F) -> Self
    where
        F: Fn(Handshake) -> D + Send + Sync + 'static,
        D: Future<Output = Result<Grant, Refusal>> + Send + 'static,
    {
        self.authenticator = Some(boxed_handshake(decide));
        self
    }

    /// Says whether a client may come in, which rooms it is put in, and with which claims. Several are asked in turn,
    /// when a client connects and again whenever it authenticates later ([`Handshake::auth`] is then what it sent with that).
    /// Claims that are granted to a client which showed nothing make it a guest with claims; to say who clients
    /// are, use [`Namespace::authenticator`].
    pub fn handshake<F, D>(mut self, decide: F) -> Self
    where
        F: Fn(Handshake) -> D + Send + Sync + 'static,
        D: Future<Output = Result<Grant, Refusal>> + Send + 'static,
    {
        self.handshakes.push(boxed_handshake(decide));
        self
    }

    /// Calls this when a socket is in, and authenticated if it has to be; before the client's next event. It must
    /// not block.
    pub fn on_connect(mut self, hear: impl Fn(&Socket) + Send + Sync + 'static) -> Self {
        self.on_connect = Some(Box::new(hear));
        self
    }

    /// Calls this in the place of `on_connect` for a client that says which socket it had before: `auth: (cb) =>
    /// cb({ previous })` in the stock client. That id is its word, not a fact.
    pub fn on_reconnect(mut self, hear: impl Fn(&Socket, &str) + Send + Sync + 'static) -> Self {
        self.on_reconnect = Some(Box::new(hear));
        self
    }

    /// Calls this when the connection of a socket has moved from polling to a WebSocket: `socket.conn.on("upgrade")` on
    /// Node; right after `on_connect`, if it moved while the socket was let in. It must not block.
    pub fn on_upgrade(mut self, hear: impl Fn(&Socket) + Send + Sync + 'static) -> Self {
        self.on_upgrade = Some(Box::new(hear));
        self
    }

    /// Calls this when a socket has gone, with the reason by [Socket.IO's name](
    /// https://socket.io/docs/v4/server-socket-instance/#disconnect); its rooms are still known. Also for one that never
    /// authenticated, for which `on_connect` was not called.
    pub fn on_disconnect(mut self, hear: impl Fn(&Socket, &str) + Send + Sync + 'static) -> Self {
        self.on_disconnect = Some(Box::new(hear));
        self
    }

    /// Sees each event before authentication and handlers, and may refuse it. Several are asked in turn.
    pub fn use_packet(
        mut self,
        inspect: impl Fn(&Event<'_>) -> Result<(), Refusal> + Send + Sync + 'static,
    ) -> Self {
        self.packets.push(Box::new(inspect));
        self
    }

    /// Hears each event that has passed the middleware and authentication, before its handler does; also one that has
    /// none, as Node's `onAny`.
    pub fn on_any(mut self, listen: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listen));
        self
    }

    /// Hears each event that a socket of this pod is sent, before it is, as Node's `onAnyOutgoing`: also those of backends, of
    /// other pods and of Roomcast itself, but no acks; volatile ones also if they are dropped then. It is called for each socket,
    /// so an emit costs as much as it has recipients here. It must not block. What it emits itself is not heard.
    ///
    /// ```
    /// # use roomcast::{Namespace, Outgoing};
    /// let audited = Namespace::new("/audited").on_any_outgoing(|event: &Outgoing<'_>| {
    ///     println!("{} gets {}: {:?}", event.socket().id(), event.name(), event.all_arguments());
    /// });
    /// # let _ = audited;
    /// ```
    pub fn on_any_outgoing(
        mut self,
        listen: impl Fn(&Outgoing<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.outgoing_listeners.push(Box::new(listen));
        self
    }

    /// Names rooms that each socket is put in when it connects, or has authenticated if it must.
    pub fn default_rooms<R: Into<String>>(mut self, rooms: impl IntoIterator<Item = R>) -> Self {
        self.default_rooms.extend(rooms.into_iter().map(Into::into));
        self
    }

    /// Names a room by what tokens say, such as `user:{sub}`: sockets are put in it when they have authenticated; in
    /// several, if the claim is a list.
    pub fn own_room(mut self, pattern: &str) -> Self {
        self.auto_join_rooms.push(Template::new(pattern));
        self
    }

    /// Limits of its own, in the place of those of the configuration.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Sends authenticated sockets the event `heartbeat` with `{time}` in milliseconds, this often.
    pub fn heartbeat(mut self, interval: Duration) -> Self {
        self.heartbeat = Some(interval);
        self
    }

    /// Handles the events whose names match a pattern. The first pattern that matches wins.
    pub fn on<M>(self, pattern: &str, handler: impl Handler<M>) -> Self {
        self.add_route(pattern, false, false, boxed(handler))
    }

    /// Handles the first of these events of each socket, and no more: `socket.once` on Node. What comes again is for the next
    /// pattern that matches, and not acked, as any other, if there is none.
    ///
    /// ```
    /// # use roomcast::{Ack, Args, Event, Namespace, Reply};
    /// let polls = Namespace::new("/polls")
    ///     .once("vote", |Args(choice): Args<String>| Ack(choice))
    ///     .on("vote", |_: &Event<'_>| Reply::json("you have voted"));
    /// # let _ = polls;
    /// ```
    pub fn once<M>(self, pattern: &str, handler: impl Handler<M>) -> Self {
        self.add_route(pattern, false, true, boxed(handler))
    }

    /// The same for clients with a valid token, which is checked before each call: with the keys of then, so that a token
    /// whose key has been taken away is refused.
    pub fn auth<M>(self, pattern: &str, handler: impl Handler<M>) -> Self {
        self.add_route(pattern, true, false, boxed(handler))
    }

    fn add_route(mut self, pattern: &str, auth: bool, once: bool, handle: HandlerFn) -> Self {
        self.keeps_tokens |= auth;
        self.handlers.push(Route { pattern: EventPattern::new(pattern), auth, once, handle });
        self
    }

    /// Whether functions of the program, or hooks, decide who may connect.
    pub(in crate::gateway) fn decides_on_handshakes(&self) -> bool {
        self.authenticator.is_some() || !self.handshakes.is_empty()
    }

    /// What stands in the name of a child for the parts of the pattern.
    pub(in crate::gateway) fn parameters(&self, child: &str) -> BTreeMap<String, String> {
        self.child_names.as_ref().map(|names| names.parameters(child)).unwrap_or_default()
    }

    /// Whether it is made of children.
    pub(crate) fn is_dynamic(&self) -> bool {
        self.child_names.is_some()
    }

    /// Whether it hears of connections that are upgraded.
    pub(crate) fn hears_upgrades(&self) -> bool {
        self.on_upgrade.is_some()
    }

    /// Whether it looks at tokens.
    pub(crate) fn needs_key(&self) -> bool {
        self.policy != AuthPolicy::None && self.authenticator.is_none()
    }

    /// Its path, such as `/orders`; of a dynamic one, what it is called in metrics: its pattern.
    pub fn path(&self) -> &str {
        &self.path
    }
}
