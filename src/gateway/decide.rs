//! What an identity may do in a room: one place decides it, for every way that leads to a room.
//!
//! Rules are private to this file. Whoever puts a socket in a room, relays for it, tells it who is there or lets it stay
//! asks [`Decider::may`]: a rule counts only as a whole, with its pattern, its `require` and its `join`.

use std::collections::BTreeMap;

use super::{
    Claims, Socket, codes,
    hooks::Hook,
    namespace::Pattern,
    template::{Template, values},
};
use crate::{
    backplane::Backplane,
    config::{JoinPolicy, OWN_EVENTS, RoomRule},
};

/// So many characters that a pattern says itself make a name no socket's id: one socket in 10^10 has an id that begins
/// with them, and no client has a say in what the id of another is.
const NO_ID: usize = 6;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Act<'a> {
    /// To join the room.
    Join,
    /// To be put in it, unasked.
    Enter,
    /// To stay in it, with another identity than before.
    Stay,
    /// To emit this event to its members.
    Relay(&'a str),
    /// To ask who is in it, and to be told who comes and goes.
    Presence,
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Who<'a> {
    pub claims: Option<&'a Claims>,
    /// Whether it showed who it is.
    pub authenticated: bool,
    /// The ids of sockets.
    pub ids: &'a dyn Ids,
}

/// Which names of rooms are ids of sockets.
pub(super) trait Ids {
    /// Whether this is the id of a socket.
    fn is_id(&self, room: &str) -> bool;
    /// Whether it may be that of one which is not known here.
    fn may_be_id(&self, room: &str) -> bool;
}

impl Ids for Backplane {
    fn is_id(&self, room: &str) -> bool {
        self.is_socket(room)
    }

    fn may_be_id(&self, room: &str) -> bool {
        self.could_be_elsewhere(room)
    }
}

/// The answer.
pub(super) enum Answer<'a> {
    Yes,
    /// The hook decides.
    Ask(&'a Hook),
    /// With the code of why.
    No(&'static str),
}

impl Answer<'_> {
    pub fn is_no(&self) -> bool {
        matches!(self, Self::No(_))
    }

    pub fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }
}

/// The rules of a namespace.
pub(super) struct Decider {
    rules: Vec<Rule>,
    /// Bytes of the name of a room.
    longest: usize,
}

struct Rule {
    template: Template,
    join: JoinPolicy,
    hook: Option<Hook>,
    require: BTreeMap<String, String>,
    relay: Vec<Pattern>,
    presence: bool,
}

impl Decider {
    /// Rules, each with its hook if it names one; and rooms that sockets are put in by what their tokens say.
    pub fn new(rules: Vec<(&RoomRule, Option<Hook>)>, own: &[String], longest: usize) -> Self {
        let rules = rules.into_iter().map(|(rule, hook)| Rule {
            template: Template::new(&rule.pattern),
            join: rule.join,
            hook,
            require: rule.require.clone(),
            relay: rule.relay.iter().map(|event| Pattern::new(event)).collect(),
            presence: rule.presence,
        });
        let own = own.iter().map(|pattern| Rule {
            template: Template::new(pattern),
            join: JoinPolicy::Auto,
            hook: None,
            require: BTreeMap::new(),
            relay: Vec::new(),
            presence: false,
        });
        Self { rules: rules.chain(own).collect(), longest }
    }

    /// Whether somebody may do this in a room.
    pub fn may(&self, who: Who<'_>, act: Act<'_>, room: &str) -> Answer<'_> {
        let enters = matches!(act, Act::Join | Act::Enter);
        if enters && (room.is_empty() || room.len() > self.longest) {
            return Answer::No(codes::BAD_ROOM_NAME);
        }
        // Else a wide pattern would let a client read what is sent to another one.
        if enters && who.ids.is_id(room) {
            return Answer::No(codes::ROOM_RESERVED);
        }
        let mut why = match act {
            Act::Relay(_) => codes::EVENT_DENIED,
            _ => codes::ROOM_DENIED,
        };
        for rule in &self.rules {
            if !rule.speaks_of(act) || !rule.template.matches(room, who.claims) {
                continue;
            }
            // Which ids there are on other servers is not known here.
            if enters && !is_no_id(&rule.template, room, who.ids) {
                why = codes::ROOM_RESERVED;
                continue;
            }
            match (rule.admits(who), act, rule.join, &rule.hook) {
                (Err(code), ..) => why = code,
                (Ok(()), Act::Join, JoinPolicy::Hook, Some(hook)) => return Answer::Ask(hook),
                (Ok(()), Act::Join, JoinPolicy::Hook, None) => why = codes::HOOK_UNAVAILABLE,
                (Ok(()), ..) => return Answer::Yes,
            }
        }
        Answer::No(why)
    }

    /// The rooms that somebody is put in, unasked; and how many others have a name that no room may have.
    pub fn own_rooms(&self, who: Who<'_>) -> (Vec<String>, usize) {
        let Some(claims) = who.claims else { return (Vec::new(), 0) };
        let auto = self.rules.iter().filter(|rule| rule.join == JoinPolicy::Auto);
        let (mut rooms, mut bad) = (Vec::new(), 0);
        for room in auto.flat_map(|rule| rule.template.fill(claims)) {
            match self.may(who, Act::Enter, &room) {
                Answer::Yes => rooms.push(room),
                Answer::No(codes::BAD_ROOM_NAME | codes::ROOM_RESERVED) => bad += 1,
                Answer::Ask(_) | Answer::No(_) => {}
            }
        }
        (rooms, bad)
    }

    /// Whether a rule speaks of a room, to somebody.
    pub fn knows(&self, room: &str) -> bool {
        self.rules.iter().any(|rule| rule.template.could_match(room))
    }

    /// Whether rules speak of presence at all.
    pub fn has_presence(&self) -> bool {
        self.rules.iter().any(|rule| rule.presence)
    }

    /// Whether some members of a room are told who comes and goes.
    pub fn announces(&self, room: &str) -> bool {
        self.rules.iter().any(|rule| rule.presence && rule.template.could_match(room))
    }

    /// Whether all of them are, whoever they are: then nobody has to look.
    pub fn tells_everybody(&self, room: &str) -> bool {
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
    /// Whether it allows this to anybody.
    fn speaks_of(&self, act: Act<'_>) -> bool {
        match act {
            Act::Join | Act::Stay => true,
            Act::Enter => self.join == JoinPolicy::Auto,
            Act::Relay(event) => {
                !is_own(event) && self.relay.iter().any(|name| name.matches(event))
            }
            Act::Presence => self.presence,
        }
    }

    /// Whether it is for somebody whose claims fill its pattern.
    fn admits(&self, who: Who<'_>) -> Result<(), &'static str> {
        if !has(who.claims, &self.require) {
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

/// Whether a name that this pattern stands for is not the id of a socket anywhere.
pub(super) fn is_no_id(template: &Template, room: &str, ids: &dyn Ids) -> bool {
    template.said() >= NO_ID || !ids.may_be_id(room)
}

/// Whether Roomcast itself sends events of this name: clients must not make them up.
pub(super) fn is_own(event: &str) -> bool {
    OWN_EVENTS.contains(&event)
}

/// Whether claims say all that is required; of a list, one.
pub(super) fn has(claims: Option<&Claims>, require: &BTreeMap<String, String>) -> bool {
    require.iter().all(|(claim, expected)| {
        claims.is_some_and(|claims| values(claims, claim).contains(expected))
    })
}

impl Socket {
    /// Asks something with who it is now.
    pub(super) fn as_who<T>(&self, ask: impl FnOnce(Who<'_>) -> T) -> T {
        self.member.as_who(ask)
    }
}

#[cfg(test)]
mod tests;
