//! Joining and leaving rooms, by rules.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{
    Claims, Event, Refusal, Reply, Socket, codes, hooked,
    hooks::Hook,
    namespace::Pattern,
    presence,
    template::{Template, values},
};
use crate::config::{JoinPolicy, Limits, OnFailure, RoomRule};

/// What may be done with which rooms.
#[derive(Clone)]
pub(super) struct Rules(Arc<Inner>);

struct Inner {
    rules: Vec<Rule>,
    limits: Limits,
    on_failure: OnFailure,
}

struct Rule {
    template: Template,
    join: JoinPolicy,
    hook: Option<Hook>,
    require: BTreeMap<String, String>,
    relay: Vec<Pattern>,
    presence: bool,
}

/// The argument of `join` and `leave`.
#[derive(Deserialize)]
struct Request {
    rooms: Vec<String>,
}

#[derive(Serialize)]
struct Rejected {
    room: String,
    code: String,
}

/// What a rule says of a room.
enum Verdict<'a> {
    Join,
    /// The hook decides.
    Ask(&'a Hook),
    Reject(&'static str),
}

impl Rules {
    /// Rules, each with its hook if it names one.
    pub fn new(
        rules: Vec<(&RoomRule, Option<Hook>)>,
        limits: &Limits,
        on_failure: OnFailure,
    ) -> Self {
        let rules = rules.into_iter().map(|(rule, hook)| Rule {
            template: Template::new(&rule.pattern),
            join: rule.join,
            hook,
            require: rule.require.clone(),
            relay: rule.relay.iter().map(|event| Pattern::new(event)).collect(),
            presence: rule.presence,
        });
        Self(Arc::new(Inner { rules: rules.collect(), limits: limits.clone(), on_failure }))
    }

    /// The event `join`: `{rooms}` → `{joined, rejected}`.
    pub fn join(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        let socket = event.socket();
        let mut member_of = socket.rooms();
        let (mut joined, mut rejected, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for room in self.requested(event)? {
            match socket.with_claims(|claims| self.verdict(socket, claims, &room, &member_of)) {
                Verdict::Join => {
                    if !member_of.contains(&room) {
                        member_of.push(room.clone());
                    }
                    joined.push(room);
                }
                Verdict::Ask(hook) => asked.push((room, hook.clone())),
                Verdict::Reject(code) => rejected.push(Rejected { room, code: code.into() }),
            }
        }
        if asked.is_empty() {
            return self.enter(socket, joined, rejected);
        }
        let (rules, socket) = (self.clone(), socket.clone());
        let questions: Vec<_> = asked.iter().map(|(room, _)| room.clone()).collect();
        let asking = socket.member.begin_asking(&questions);
        Ok(Reply::later(async move {
            rules.ask(&socket, asked, &mut joined, &mut rejected).await;
            // The client may have left it again while the hook was asked.
            joined.retain(|room| {
                let wanted = !questions.contains(room) || asking.wants(room);
                if !wanted {
                    rejected.push(Rejected { room: room.clone(), code: codes::NOT_IN_ROOM.into() });
                }
                wanted
            });
            rules.enter(&socket, joined, rejected)
        }))
    }

    /// Asks the hook of each room; those that share one in one call.
    async fn ask(
        &self,
        socket: &Socket,
        mut asked: Vec<(String, Hook)>,
        joined: &mut Vec<String>,
        rejected: &mut Vec<Rejected>,
    ) {
        while let Some(hook) = asked.first().map(|(_, hook)| hook.clone()) {
            let (ours, others): (Vec<_>, Vec<_>) =
                asked.into_iter().partition(|(_, other)| other.is(&hook));
            asked = others;
            let rooms: Vec<String> = ours.into_iter().map(|(room, _)| room).collect();
            match hooked::join(&hook, socket, &rooms, self.0.on_failure).await {
                Ok(allowed) => {
                    let most = self.0.limits.rooms_per_socket;
                    for room in rooms {
                        let mut member_of = socket.rooms();
                        member_of.extend(joined.iter().cloned());
                        let code =
                            if !allowed.as_ref().is_none_or(|allowed| allowed.contains(&room)) {
                                codes::HOOK_DENIED
                            } else if !member_of.contains(&room) && member_of.len() >= most {
                                codes::ROOM_LIMIT
                            } else {
                                joined.push(room);
                                continue;
                            };
                        rejected.push(Rejected { room, code: code.into() });
                    }
                }
                Err(refusal) => rejected.extend(
                    rooms
                        .into_iter()
                        .map(|room| Rejected { room, code: refusal.code.clone().into_owned() }),
                ),
            }
        }
    }

    /// Puts a socket in rooms, and tells their members where they are to be told.
    fn enter(
        &self,
        socket: &Socket,
        joined: Vec<String>,
        rejected: Vec<Rejected>,
    ) -> Result<Reply, Refusal> {
        #[derive(Serialize)]
        struct Joined {
            joined: Vec<String>,
            rejected: Vec<Rejected>,
        }

        let reply = Reply::json(Joined { joined: joined.clone(), rejected })?;
        // One that has gone meanwhile has come nowhere.
        if socket.is_connected() {
            self.announced(joined.iter().filter(|room| !socket.is_in(room)))
                .for_each(|room| presence::came(socket, room));
        }
        socket.join_then(joined, reply)
    }

    /// The event `leave`: `{rooms}` → `{left, rejected}`.
    pub fn leave(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        #[derive(Serialize)]
        struct Left {
            left: Vec<String>,
            rejected: Vec<Rejected>,
        }

        let socket = event.socket();
        let own = socket.id();
        let (left, reserved): (Vec<_>, Vec<_>) =
            self.requested(event)?.into_iter().partition(|room| *room != own);
        let gone: Vec<String> = left.iter().filter(|room| socket.is_in(room)).cloned().collect();
        socket.member.give_up(&left);
        socket.leave(left.clone());
        self.announced(gone.iter()).for_each(|room| presence::went(socket, room));
        let rejected = reserved
            .into_iter()
            .map(|room| Rejected { room, code: codes::ROOM_RESERVED.into() })
            .collect();
        Reply::json(Left { left, rejected })
    }

    /// A socket showed another token, and is about to be put in rooms: it leaves those that its claims of now do not
    /// allow, as far as rules speak of them.
    pub fn reconsider(&self, socket: &Socket, coming: &[String]) {
        let claims = socket.claims();
        let rules = &self.0.rules;
        let allowed = |rule: &Rule, room: &str| {
            rule.template.matches(room, claims.as_ref()) && has(claims.as_ref(), &rule.require)
        };
        let mut lost = socket.rooms();
        lost.retain(|room| {
            !coming.contains(room)
                && rules.iter().any(|rule| rule.template.could_match(room))
                && !rules.iter().any(|rule| allowed(rule, room))
        });
        socket.leave(lost.clone());
        self.announced(lost.iter()).for_each(|room| presence::went(socket, room));
        self.announced(coming.iter().filter(|room| !socket.is_in(room)))
            .for_each(|room| presence::came(socket, room));
    }

    /// Tells the members of a socket's rooms that it has gone, where they are to be told.
    pub fn gone(&self, socket: &Socket) {
        let rooms = socket.rooms();
        self.announced(rooms.iter()).for_each(|room| presence::went(socket, room));
    }

    /// Tells the members of a socket's rooms that it has come, where they are to be told.
    pub fn came(&self, socket: &Socket) {
        let rooms = socket.rooms();
        self.announced(rooms.iter()).for_each(|room| presence::came(socket, room));
    }

    /// Whether members of a room may know of each other.
    pub fn shows_presence(&self, room: &str, claims: Option<&Claims>) -> bool {
        let mut rules = self.0.rules.iter();
        rules.any(|rule| rule.presence && rule.template.matches(room, claims))
    }

    /// Whether rules speak of presence at all.
    pub fn has_presence(&self) -> bool {
        self.0.rules.iter().any(|rule| rule.presence)
    }

    fn announced<'a>(
        &self,
        rooms: impl Iterator<Item = &'a String>,
    ) -> impl Iterator<Item = &'a String> {
        rooms.filter(|room| self.announces(room))
    }

    /// Whether a room is one of those whose members are told. Its claims were checked when it was joined.
    fn announces(&self, room: &str) -> bool {
        let mut rules = self.0.rules.iter();
        rules.any(|rule| rule.presence && rule.template.could_match(room))
    }

    /// Whether a rule lets members emit an event to a room.
    pub fn may_relay(&self, event: &str, room: &str, claims: Option<&Claims>) -> bool {
        self.0.rules.iter().any(|rule| {
            rule.relay.iter().any(|name| name.matches(event)) && rule.template.matches(room, claims)
        })
    }

    fn requested(&self, event: &Event<'_>) -> Result<Vec<String>, Refusal> {
        let Request { rooms } = event
            .arguments()
            .map_err(|_| Refusal::new(codes::BAD_REQUEST, "expected {\"rooms\": [\"name\", …]}"))?;
        let most = self.0.limits.rooms_per_socket;
        if rooms.len() > most.max(1) {
            let message = format!("at most {most} rooms at once");
            return Err(Refusal::new(codes::BAD_REQUEST, message));
        }
        Ok(rooms)
    }

    fn verdict(
        &self,
        socket: &Socket,
        claims: Option<&Claims>,
        room: &str,
        member_of: &[String],
    ) -> Verdict<'_> {
        let Inner { rules, limits, .. } = &*self.0;
        if room.is_empty() || room.len() > limits.name_length {
            return Verdict::Reject(codes::BAD_ROOM_NAME);
        }
        // Else a wide pattern would let a client read what is sent to another one.
        if socket.is_id(room) {
            return Verdict::Reject(codes::ROOM_RESERVED);
        }
        let matching = || rules.iter().filter(|rule| rule.template.matches(room, claims));
        if matching().next().is_none() {
            return Verdict::Reject(codes::ROOM_DENIED);
        }
        // Which ids there are on other servers is not known here.
        if matching().all(|rule| rule.template.is_open()) && socket.could_be_id_elsewhere(room) {
            return Verdict::Reject(codes::ROOM_RESERVED);
        }
        let is_new = !member_of.iter().any(|member_of| member_of == room);
        if is_new && member_of.len() >= limits.rooms_per_socket {
            return Verdict::Reject(codes::ROOM_LIMIT);
        }
        let mut verdict = Verdict::Reject(codes::AUTHENTICATION_REQUIRED);
        for rule in matching() {
            if !has(claims, &rule.require) {
                verdict = Verdict::Reject(codes::CLAIM_DENIED);
                continue;
            }
            match (rule.join, &rule.hook) {
                (JoinPolicy::Anyone, _) => return Verdict::Join,
                (JoinPolicy::Authenticated, _) if socket.is_authenticated() => {
                    return Verdict::Join;
                }
                (JoinPolicy::Claim | JoinPolicy::Auto, _) if claims.is_some() => {
                    return Verdict::Join;
                }
                (JoinPolicy::Hook, Some(hook)) => return Verdict::Ask(hook),
                _ => {}
            }
        }
        verdict
    }
}

/// Whether claims say all that is required; of a list, one.
pub(super) fn has(claims: Option<&Claims>, require: &BTreeMap<String, String>) -> bool {
    require.iter().all(|(claim, expected)| {
        claims.is_some_and(|claims| values(claims, claim).contains(expected))
    })
}
