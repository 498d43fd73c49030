//! Decides what a client may do in a room. This is the only place that does.
//!
//! The rules are private to this file. [`AccessRules::decide`] is asked before a socket joins a room, is put in one, stays in
//! one, relays an event to one, or sees who is in one. A rule counts only as a whole: with its pattern, its `require` and
//! its `join`.

use std::collections::BTreeMap;

use super::template::{Template, claim_values};
use crate::{
    backplane::{Backplane, could_be_socket_id},
    config::{JoinPolicy, RoomRule},
    gateway::{
        events::event::{EventPattern, is_own_event},
        hooks::Hook,
        replies::refusal::codes,
        sockets::state::SocketState,
        tokens::Claims,
    },
};

/// A pattern with so many literal characters matches no socket id: one socket in 10^10 has an id that begins with them, and no
/// client can choose the id of another.
const MIN_LITERAL_CHARS: usize = 6;

/// What a client wants to do in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::gateway) enum Action<'a> {
    /// To join the room.
    Join,
    /// To be put in the room without asking for it.
    AutoJoin,
    /// To stay in the room after the identity has changed.
    Stay,
    /// To emit this event to its members.
    Relay(&'a str),
    /// To ask who is in the room, and to be told who joins and leaves.
    Presence,
}

/// Who wants to do it.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct Subject<'a> {
    pub claims: Option<&'a Claims>,
    /// Whether the client proved who it is.
    pub authenticated: bool,
    /// Tells ids of sockets from other names.
    pub ids: &'a dyn SocketIds,
}

/// Which names of rooms are ids of sockets.
pub(in crate::gateway) trait SocketIds {
    /// Whether this is the id of a socket of this pod.
    fn is_socket_id(&self, room: &str) -> bool;
    /// Whether this may be the id of a socket of another server.
    fn could_be_socket_id(&self, room: &str) -> bool;
}

impl SocketIds for Backplane {
    fn is_socket_id(&self, room: &str) -> bool {
        self.is_socket(room)
    }

    fn could_be_socket_id(&self, room: &str) -> bool {
        // There are none without a cluster.
        self.cluster().link().is_some() && could_be_socket_id(room)
    }
}

/// The answer.
pub(in crate::gateway) enum Decision<'a> {
    Allow,
    /// The hook decides.
    AskHook(&'a Hook),
    /// With the error code.
    Deny(&'static str),
}

impl Decision<'_> {
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Deny(_))
    }

    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allow)
    }
}

/// The rules of a namespace.
pub(in crate::gateway) struct AccessRules {
    rules: Vec<Rule>,
    /// Bytes of the name of a room.
    max_length: usize,
}

struct Rule {
    template: Template,
    join: JoinPolicy,
    hook: Option<Hook>,
    require: BTreeMap<String, String>,
    relay: Vec<EventPattern>,
    presence: bool,
}

impl AccessRules {
    /// The rules of the configuration, each with its hook if it names one, and the patterns of rooms that sockets are put in by
    /// their claims.
    pub fn new(
        rules: Vec<(&RoomRule, Option<Hook>)>,
        auto_join: &[String],
        max_length: usize,
    ) -> Self {
        let rules = rules.into_iter().map(|(rule, hook)| Rule {
            template: Template::new(&rule.pattern),
            join: rule.join,
            hook,
            require: rule.require.clone(),
            relay: rule.relay.iter().map(|event| EventPattern::new(event)).collect(),
            presence: rule.presence,
        });
        let auto_join = auto_join.iter().map(|pattern| Rule {
            template: Template::new(pattern),
            join: JoinPolicy::Auto,
            hook: None,
            require: BTreeMap::new(),
            relay: Vec::new(),
            presence: false,
        });
        Self { rules: rules.chain(auto_join).collect(), max_length }
    }

    /// Decides whether somebody may do this in a room.
    pub fn decide(&self, who: Subject<'_>, action: Action<'_>, room: &str) -> Decision<'_> {
        let enters = matches!(action, Action::Join | Action::AutoJoin);
        if enters && (room.is_empty() || room.len() > self.max_length) {
            return Decision::Deny(codes::BAD_ROOM_NAME);
        }
        // A wide pattern must not let a client read what is sent to another one.
        if enters && who.ids.is_socket_id(room) {
            return Decision::Deny(codes::ROOM_RESERVED);
        }
        let mut why = match action {
            Action::Relay(_) => codes::EVENT_DENIED,
            _ => codes::ROOM_DENIED,
        };
        for rule in &self.rules {
            if !rule.is_about(action) || !rule.template.matches(room, who.claims) {
                continue;
            }
            // Which ids there are on other servers is not known here.
            if enters && !cannot_be_socket_id(&rule.template, room, who.ids) {
                why = codes::ROOM_RESERVED;
                continue;
            }
            match (rule.admits(who), action, rule.join, &rule.hook) {
                (Err(code), ..) => why = code,
                (Ok(()), Action::Join, JoinPolicy::Hook, Some(hook)) => {
                    return Decision::AskHook(hook);
                }
                (Ok(()), Action::Join, JoinPolicy::Hook, None) => why = codes::HOOK_UNAVAILABLE,
                (Ok(()), ..) => return Decision::Allow,
            }
        }
        Decision::Deny(why)
    }

    /// The rooms that somebody is put in without asking, and how many more have a name that no room may have.
    pub fn auto_join_rooms(&self, who: Subject<'_>) -> (Vec<String>, usize) {
        let Some(claims) = who.claims else { return (Vec::new(), 0) };
        let auto = self.rules.iter().filter(|rule| rule.join == JoinPolicy::Auto);
        let (mut rooms, mut bad) = (Vec::new(), 0);
        for room in auto.flat_map(|rule| rule.template.fill(claims)) {
            match self.decide(who, Action::AutoJoin, &room) {
                Decision::Allow => rooms.push(room),
                Decision::Deny(codes::BAD_ROOM_NAME | codes::ROOM_RESERVED) => bad += 1,
                Decision::AskHook(_) | Decision::Deny(_) => {}
            }
        }
        (rooms, bad)
    }

    /// Whether a rule is about a room, for any client.
    pub fn covers(&self, room: &str) -> bool {
        self.rules.iter().any(|rule| rule.template.could_match(room))
    }

    /// Whether members of any room are told who joins and leaves.
    pub fn has_presence(&self) -> bool {
        self.rules.iter().any(|rule| rule.presence)
    }

    /// Whether some members of a room are told who joins and leaves.
    pub fn has_presence_in(&self, room: &str) -> bool {
        self.rules.iter().any(|rule| rule.presence && rule.template.could_match(room))
    }

    /// Whether all members of a room are told, whoever they are. Then nobody has to check each member.
    pub fn is_public_presence(&self, room: &str) -> bool {
        let anybody = |rule: &Rule| {
            rule.presence
                && rule.require.is_empty()
                && matches!(rule.join, JoinPolicy::Anyone | JoinPolicy::Hook)
                && rule.template.matches(room, None)
        };
        self.rules.iter().any(anybody)
    }
}

impl Rule {
    /// Whether the rule is about this action.
    fn is_about(&self, action: Action<'_>) -> bool {
        match action {
            Action::Join | Action::Stay => true,
            Action::AutoJoin => self.join == JoinPolicy::Auto,
            Action::Relay(event) => {
                !is_own_event(event) && self.relay.iter().any(|name| name.matches(event))
            }
            Action::Presence => self.presence,
        }
    }

    /// Whether the rule is for a client. Its pattern has been matched already.
    fn admits(&self, who: Subject<'_>) -> Result<(), &'static str> {
        if !has_claims(who.claims, &self.require) {
            return Err(codes::CLAIM_DENIED);
        }
        let known = match self.join {
            JoinPolicy::Anyone | JoinPolicy::Hook => true,
            JoinPolicy::Authenticated => who.authenticated,
            JoinPolicy::Claim | JoinPolicy::Auto => who.claims.is_some(),
        };
        if known { Ok(()) } else { Err(codes::AUTHENTICATION_REQUIRED) }
    }
}

/// Whether a name that matches this pattern cannot be the id of a socket, here or on another server.
pub(in crate::gateway) fn cannot_be_socket_id(
    template: &Template,
    room: &str,
    ids: &dyn SocketIds,
) -> bool {
    template.literal_chars() >= MIN_LITERAL_CHARS || !ids.could_be_socket_id(room)
}

/// Whether claims have all required values. Of a claim that is a list, one value must be the required one.
pub(in crate::gateway) fn has_claims(
    claims: Option<&Claims>,
    require: &BTreeMap<String, String>,
) -> bool {
    require.iter().all(|(claim, expected)| {
        claims.is_some_and(|claims| claim_values(claims, claim).contains(expected))
    })
}

/// Calls a function with who a socket is now.
pub(in crate::gateway) fn with_subject<T>(
    state: &SocketState,
    decide: impl FnOnce(Subject<'_>) -> T,
) -> T {
    let identity = state.identity();
    decide(Subject {
        claims: identity.as_deref().map(|identity| &identity.claims),
        authenticated: identity.as_deref().is_some_and(|identity| identity.authenticated),
        ids: &state.namespace.backplane,
    })
}

#[cfg(test)]
mod tests;
