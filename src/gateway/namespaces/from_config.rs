//! The namespaces of the configuration, built with the calls that a Rust developer uses.

use std::collections::BTreeMap;

use super::namespace::Namespace;
use crate::{
    config::{self, EventAction, EventRule, HookUrl, Limits, OnFailure},
    gateway::{
        events::event::{Event, is_own_event},
        hooks::{
            calls, {Hook, HookSetupError, Hooks, Kind},
        },
        replies::{
            refusal::{Refusal, codes},
            reply::Reply,
        },
        rules::{
            access::{Action, Decision, has_claims},
            presence_request::presence,
            room_rules::RoomRules,
        },
        sockets::socket::Socket,
    },
};

/// Builds a namespace of the configuration, with the events `join`, `leave` and `presence`, and those that its rules relay or
/// hand to hooks.
///
/// # Errors
/// If a hook cannot be called: its keys or certificates cannot be used.
pub fn from_config(
    path: &str,
    config: &config::Namespace,
    limits: &Limits,
    hooks: &Hooks,
    on_failure: OnFailure,
) -> Result<Namespace, HookSetupError> {
    let limits = config.limits.over(limits);
    let hook_at = |url: &Option<HookUrl>, kind: Kind| {
        let hook = url.as_ref().map(|url| hooks.at(url)).transpose()?;
        Ok::<_, HookSetupError>(hook.inspect(|hook| hook.register_metrics(kind)))
    };
    let mut rules = Vec::new();
    for rule in &config.rooms {
        rules.push((rule, hook_at(&rule.hook, Kind::Join)?));
    }
    // Default rooms with claims in them are handled as rules with `join = "auto"`.
    let (with_claims, default): (Vec<_>, Vec<_>) =
        config.default_rooms.iter().cloned().partition(|room| room.contains('{'));
    let rules = RoomRules::new(rules, &with_claims, &limits, on_failure);

    let dynamic = config::Namespace::is_dynamic(path);
    let namespace = if dynamic { Namespace::pattern(path) } else { Namespace::new(path) };
    let mut namespace = namespace.authentication(config.auth).default_rooms(default);
    if let Some(timeout) = config.auth_timeout {
        namespace = namespace.auth_timeout(timeout);
    }
    if let Some(interval) = config.heartbeat {
        namespace = namespace.heartbeat(interval);
    }
    let authenticate = hook_at(&config.hooks.authenticate, Kind::Authenticate)?;
    let connect = hook_at(&config.hooks.connect, Kind::Connect)?;
    let disconnect = hook_at(&config.hooks.disconnect, Kind::Disconnect)?;
    namespace = with_hooks(namespace, authenticate, connect, on_failure);
    if rules.has_presence() || disconnect.is_some() {
        let (connects, disconnects) = (rules.clone(), rules.clone());
        namespace = namespace
            .on_connect(move |socket: &Socket| connects.announce_connect(socket))
            .on_disconnect(move |socket: &Socket, reason: &str| {
                disconnects.announce_disconnect(socket);
                if let Some(hook) = &disconnect {
                    calls::disconnect(hook, socket, reason);
                }
            });
    }

    namespace.rules = Some(rules.clone());
    let (joins, leaves) = (rules.clone(), rules.clone());
    namespace = namespace
        .on("join", move |event: &Event<'_>| joins.join(event))
        .on("leave", move |event: &Event<'_>| leaves.leave(event));
    if rules.has_presence() {
        let presence_rules = rules.clone();
        namespace =
            namespace.on("presence", move |event: &Event<'_>| presence(&presence_rules, event));
    }
    // The first handler that matches is called: the rules for events come before the relays of rooms.
    for rule in &config.events {
        let handler = EventHandler::new(rule, hook_at(&rule.hook, Kind::Event)?);
        let handle = move |event: &Event<'_>| handler.handle(event);
        namespace = if rule.auth {
            namespace.auth(&rule.name, handle)
        } else {
            namespace.on(&rule.name, handle)
        };
    }
    Ok(namespace.on("*", move |event: &Event<'_>| relay(&rules, event)).limits(limits))
}

/// Adds the hooks that a namespace names.
fn with_hooks(
    mut namespace: Namespace,
    authenticate: Option<Hook>,
    connect: Option<Hook>,
    on_failure: OnFailure,
) -> Namespace {
    if let Some(hook) = authenticate {
        namespace =
            namespace.authenticator(move |handshake| calls::authenticate(hook.clone(), handshake));
    }
    if let Some(hook) = connect {
        namespace = namespace
            .handshake(move |handshake| calls::connect(hook.clone(), handshake, on_failure));
    }
    namespace
}

/// Handles the events of a rule of the configuration.
struct EventHandler {
    action: Option<EventAction>,
    hook: Option<Hook>,
    require: BTreeMap<String, String>,
}

impl EventHandler {
    fn new(rule: &EventRule, hook: Option<Hook>) -> Self {
        Self { action: rule.action, hook, require: rule.require.clone() }
    }

    fn handle(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        if !event.socket().with_claims(|claims| has_claims(claims, &self.require)) {
            return Err(Refusal::new(codes::CLAIM_DENIED, "the token does not allow this event"));
        }
        match (&self.hook, self.action) {
            (Some(hook), _) => calls::event(hook, event),
            (None, Some(EventAction::Relay)) if !is_own_event(event.name()) => {
                event.relay(None);
                Ok(Reply::accepted())
            }
            (None, _) => Err(Refusal::event_denied()),
        }
    }
}

/// Sends an event on to a room whose rule allows it.
fn relay(rules: &RoomRules, event: &Event<'_>) -> Result<Reply, Refusal> {
    let room = event.first_text().ok_or_else(Refusal::event_denied)?;
    match rules.decide(event.socket(), Action::Relay(event.name()), room) {
        Decision::Allow => {}
        Decision::Deny(code) if code != codes::EVENT_DENIED => {
            return Err(Refusal::new(
                code,
                "the rule of this room does not let this client emit to it",
            ));
        }
        _ => return Err(Refusal::event_denied()),
    }
    if !event.socket().is_in(room) {
        let message = "only members may emit to this room; join it first";
        return Err(Refusal::new(codes::NOT_IN_ROOM, message));
    }
    event.relay(Some(room));
    Ok(Reply::accepted())
}
