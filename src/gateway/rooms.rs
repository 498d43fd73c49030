//! Joining and leaving rooms, by rules.

use serde::{Deserialize, Serialize};

use super::{Event, Refusal, Reply, codes, event::Socket, namespace::Pattern};
use crate::config::{JoinPolicy, Limits, RoomRule};

/// What may be done with which rooms.
pub(super) struct Rules {
    rules: Vec<Rule>,
    limits: Limits,
}

struct Rule {
    pattern: Pattern,
    /// It says nothing of how a name begins, so that any id matches it.
    open: bool,
    join: JoinPolicy,
    relay: Vec<Pattern>,
}

/// The argument of `join` and `leave`.
#[derive(Deserialize)]
struct Request {
    rooms: Vec<String>,
}

#[derive(Serialize)]
struct Rejected {
    room: String,
    code: &'static str,
}

impl Rules {
    pub fn new(rules: &[RoomRule], limits: &Limits) -> Self {
        let rules = rules.iter().map(|rule| Rule {
            pattern: Pattern::new(&rule.pattern),
            open: rule.pattern.starts_with('*'),
            join: rule.join,
            relay: rule.relay.iter().map(|event| Pattern::new(event)).collect(),
        });
        Self { rules: rules.collect(), limits: limits.clone() }
    }

    /// The event `join`: `{rooms}` → `{joined, rejected}`.
    pub fn join(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        #[derive(Serialize)]
        struct Joined {
            joined: Vec<String>,
            rejected: Vec<Rejected>,
        }

        let socket = event.socket();
        let mut member_of = socket.rooms();
        let (mut joined, mut rejected) = (Vec::new(), Vec::new());
        for room in self.requested(event)? {
            match self.check_join(socket, &room, &member_of) {
                Ok(()) => {
                    if !member_of.contains(&room) {
                        member_of.push(room.clone());
                    }
                    joined.push(room);
                }
                Err(code) => rejected.push(Rejected { room, code }),
            }
        }
        let reply = Reply::json(Joined { joined: joined.clone(), rejected })?;
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
        socket.leave(left.clone());
        let rejected = reserved
            .into_iter()
            .map(|room| Rejected { room, code: codes::ROOM_RESERVED })
            .collect();
        Reply::json(Left { left, rejected })
    }

    /// Whether a rule lets members emit an event to a room.
    pub fn may_relay(&self, event: &str, room: &str) -> bool {
        self.rules.iter().any(|rule| {
            rule.pattern.matches(room) && rule.relay.iter().any(|name| name.matches(event))
        })
    }

    fn requested(&self, event: &Event<'_>) -> Result<Vec<String>, Refusal> {
        let Request { rooms } = event
            .arguments()
            .map_err(|_| Refusal::new(codes::BAD_REQUEST, "expected {\"rooms\": [\"name\", …]}"))?;
        if rooms.len() > self.limits.rooms_per_socket.max(1) {
            let message = format!("at most {} rooms at once", self.limits.rooms_per_socket);
            return Err(Refusal::new(codes::BAD_REQUEST, message));
        }
        Ok(rooms)
    }

    fn check_join(
        &self,
        socket: &Socket<'_>,
        room: &str,
        member_of: &[String],
    ) -> Result<(), &'static str> {
        if room.is_empty() || room.len() > self.limits.name_length {
            return Err(codes::BAD_ROOM_NAME);
        }
        // Else a wide pattern would let a client read what is sent to another one.
        if socket.is_id(room) {
            return Err(codes::ROOM_RESERVED);
        }
        let rules = || self.rules.iter().filter(|rule| rule.pattern.matches(room));
        if rules().next().is_none() {
            return Err(codes::ROOM_DENIED);
        }
        // Which ids there are on other servers is not known here.
        if rules().all(|rule| rule.open) && socket.could_be_id_elsewhere(room) {
            return Err(codes::ROOM_RESERVED);
        }
        let allowed = rules().any(|rule| match rule.join {
            JoinPolicy::Anyone => true,
            JoinPolicy::Authenticated => socket.claims().is_some(),
        });
        if !allowed {
            return Err(codes::AUTHENTICATION_REQUIRED);
        }
        let is_new = !member_of.iter().any(|member_of| member_of == room);
        if is_new && member_of.len() >= self.limits.rooms_per_socket {
            return Err(codes::ROOM_LIMIT);
        }
        Ok(())
    }
}
