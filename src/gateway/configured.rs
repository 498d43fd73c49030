//! The namespaces of the configuration, built with the calls that a Rust developer uses.

use std::sync::Arc;

use super::{
    Event, Namespace, Refusal, Reply, codes, dispatch::event_denied, namespace::Pattern,
    rooms::Rules,
};
use crate::config::{self, EventAction, EventRule, Limits};

/// A namespace as configured: `join`, `leave`, and what its rules relay.
pub fn configured(path: &str, config: &config::Namespace, limits: &Limits) -> Namespace {
    let rules = Arc::new(Rules::new(&config.rooms, limits));
    let (joins, leaves) = (rules.clone(), rules.clone());
    let relay = Relay::new(rules, &config.events);
    Namespace::new(path)
        .auth(config.auth)
        .default_rooms(config.default_rooms.clone())
        .on("join", move |event: &Event<'_>| joins.join(event))
        .on("leave", move |event: &Event<'_>| leaves.leave(event))
        .on("*", move |event: &Event<'_>| relay.handle(event))
}

/// Sends events on that a rule allows.
struct Relay {
    rooms: Arc<Rules>,
    /// The first that matches decides.
    events: Vec<(Pattern, EventAction)>,
}

impl Relay {
    fn new(rooms: Arc<Rules>, events: &[EventRule]) -> Self {
        let events = events.iter().map(|rule| (Pattern::new(&rule.name), rule.action)).collect();
        Self { rooms, events }
    }

    fn handle(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        let rule = self.events.iter().find(|(pattern, _)| pattern.matches(event.name()));
        match rule {
            Some((_, EventAction::Deny)) => return Err(event_denied()),
            Some((_, EventAction::Relay)) => event.relay(None),
            None => {
                let room = event.first_text().ok_or_else(event_denied)?;
                if !self.rooms.may_relay(event.name(), room) {
                    return Err(event_denied());
                }
                if !event.socket().is_in(room) {
                    let message = "only members may emit to this room; join it first";
                    return Err(Refusal::new(codes::NOT_IN_ROOM, message));
                }
                event.relay(Some(room));
            }
        }
        Ok(Reply::accepted())
    }
}
