//! The events `join` and `leave`, and who is told of them: what a namespace of the configuration does with rooms.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    access::{AccessRules, Action, Decision, Subject, with_subject},
    presence::{PresenceQueries, announce_join, announce_leave},
    rejected_rooms::{RejectedRoom, count_rejected_rooms},
    room_limit::RoomLimit,
};
use crate::{
    config::{Limits, OnFailure, RoomRule},
    gateway::{
        events::event::Event,
        hooks::{Hook, calls},
        replies::{
            refusal::{Refusal, codes},
            reply::Reply,
        },
        sockets::socket::Socket,
    },
};

/// The rules of a namespace for its rooms. Clones are the same.
#[derive(Clone)]
pub(in crate::gateway) struct RoomRules(Arc<Inner>);

struct Inner {
    access: AccessRules,
    limits: Limits,
    on_failure: OnFailure,
    presence_queries: PresenceQueries,
}

/// The argument of `join` and `leave`.
#[derive(Deserialize)]
struct Request {
    rooms: Vec<String>,
}

/// What becomes of the rooms of one `join`.
#[derive(Default)]
struct JoinOutcome {
    joined: Vec<String>,
    rejected: Vec<RejectedRoom>,
}

impl JoinOutcome {
    fn reject(&mut self, room: String, code: impl Into<String>) {
        self.rejected.push(RejectedRoom { room, code: code.into() });
    }
}

impl RoomRules {
    /// Rules, each with its hook if it names one; and patterns of rooms that sockets are put in by their claims.
    pub fn new(
        rules: Vec<(&RoomRule, Option<Hook>)>,
        auto_join: &[String],
        limits: &Limits,
        on_failure: OnFailure,
    ) -> Self {
        let access = AccessRules::new(rules, auto_join, limits.name_length);
        let presence_queries = PresenceQueries::default();
        Self(Arc::new(Inner { access, limits: limits.clone(), on_failure, presence_queries }))
    }

    /// Decides whether a socket may do this in a room, with who it is now.
    pub fn decide(&self, socket: &Socket, action: Action<'_>, room: &str) -> Decision<'_> {
        with_subject(&socket.state, |who| self.0.access.decide(who, action, room))
    }

    /// Whether somebody may do this in a room without a hook being asked.
    pub fn allows(&self, who: Subject<'_>, action: Action<'_>, room: &str) -> bool {
        self.0.access.decide(who, action, room).is_allowed()
    }

    /// The rooms that somebody is put in without asking, and how many more have a name that no room may have.
    pub fn auto_join_rooms(&self, who: Subject<'_>) -> (Vec<String>, usize) {
        self.0.access.auto_join_rooms(who)
    }

    /// The presence requests that wait for the cluster.
    pub fn presence_queries(&self) -> &PresenceQueries {
        &self.0.presence_queries
    }

    /// Whether members of any room are told who joins and leaves.
    pub fn has_presence(&self) -> bool {
        self.0.access.has_presence()
    }

    /// The event `join`: `{rooms}` → `{joined, rejected}`.
    pub fn join(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        let socket = event.socket();
        let mut limit = self.limit_of(socket);
        let (mut outcome, mut to_ask) = (JoinOutcome::default(), Vec::new());
        for room in self.requested(event)? {
            match self.decide(socket, Action::Join, &room) {
                Decision::Deny(code) => outcome.reject(room, code),
                // A hook is not asked about a room that does not fit.
                _ if !limit.allows(&room) => outcome.reject(room, codes::ROOM_LIMIT),
                Decision::AskHook(hook) => to_ask.push((room, hook.clone())),
                Decision::Allow => {
                    limit.try_add(&room);
                    outcome.joined.push(room);
                }
            }
        }
        if to_ask.is_empty() {
            return self.finish_join(socket, outcome);
        }
        let (rules, socket) = (self.clone(), socket.clone());
        let asked: Vec<_> = to_ask.iter().map(|(room, _)| room.clone()).collect();
        let pending = socket.state.begin_join(&asked);
        Ok(Reply::later(async move {
            rules.ask_hooks(&socket, to_ask, &mut outcome).await;
            // The client may have left a room while the hook was asked.
            let joined = std::mem::take(&mut outcome.joined);
            for room in joined {
                if !asked.contains(&room) || pending.is_wanted(&room) {
                    outcome.joined.push(room);
                } else {
                    outcome.reject(room, codes::NOT_IN_ROOM);
                }
            }
            rules.finish_join(&socket, outcome)
        }))
    }

    /// Asks the hook of each room. Rooms that share a hook share a call.
    async fn ask_hooks(
        &self,
        socket: &Socket,
        mut to_ask: Vec<(String, Hook)>,
        outcome: &mut JoinOutcome,
    ) {
        while let Some(hook) = to_ask.first().map(|(_, hook)| hook.clone()) {
            let (same, others): (Vec<_>, Vec<_>) =
                to_ask.into_iter().partition(|(_, other)| other.is(&hook));
            to_ask = others;
            let rooms: Vec<String> = same.into_iter().map(|(room, _)| room).collect();
            match calls::join(&hook, socket, &rooms, self.0.on_failure).await {
                Ok(allowed) => {
                    for room in rooms {
                        // The client may have authenticated as somebody else meanwhile, for whom no hook would be asked.
                        if let Decision::Deny(code) = self.decide(socket, Action::Join, &room) {
                            outcome.reject(room, code);
                        } else if allowed.as_ref().is_none_or(|allowed| allowed.contains(&room)) {
                            outcome.joined.push(room);
                        } else {
                            outcome.reject(room, codes::HOOK_DENIED);
                        }
                    }
                }
                Err(refusal) => {
                    for room in rooms {
                        outcome.reject(room, refusal.code.clone());
                    }
                }
            }
        }
    }

    /// Puts a socket in the rooms that it may join, as far as they fit, and announces it to their members.
    fn finish_join(&self, socket: &Socket, outcome: JoinOutcome) -> Result<Reply, Refusal> {
        #[derive(Serialize)]
        struct Joined {
            joined: Vec<String>,
            rejected: Vec<RejectedRoom>,
        }

        let JoinOutcome { mut joined, mut rejected } = outcome;
        let mut limit = self.limit_of(socket);
        joined.retain(|room| {
            let fits = limit.try_add(room);
            if !fits {
                let (room, code) = (room.clone(), codes::ROOM_LIMIT.to_owned());
                rejected.push(RejectedRoom { room, code });
            }
            fits
        });
        count_rejected_rooms(&socket.state.namespace.label, &rejected);
        let reply = Reply::json(Joined { joined: joined.clone(), rejected })?;
        // A client that has gone meanwhile joins nothing.
        if socket.is_connected() {
            self.announce_joins(socket, &joined);
        }
        let rooms = joined.clone();
        let reply = socket.join_then(joined, reply);
        // The client may have shown another token at this moment. The check of its rooms came too early for these then.
        self.leave_denied(socket, rooms);
        reply
    }

    /// Takes a socket out of those of these rooms that rules are about and none lets it stay in.
    fn leave_denied(&self, socket: &Socket, mut rooms: Vec<String>) {
        let access = &self.0.access;
        rooms.retain(|room| {
            access.covers(room) && self.decide(socket, Action::Stay, room).is_denied()
        });
        if !rooms.is_empty() {
            socket.leave(rooms.clone());
            self.announce_leaves(socket, &rooms);
        }
    }

    /// The event `leave`: `{rooms}` → `{left, rejected}`.
    pub fn leave(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        #[derive(Serialize)]
        struct Left {
            left: Vec<String>,
            rejected: Vec<RejectedRoom>,
        }

        let socket = event.socket();
        let own = socket.id();
        let (left, reserved): (Vec<_>, Vec<_>) =
            self.requested(event)?.into_iter().partition(|room| *room != own);
        let members_of: Vec<String> =
            left.iter().filter(|room| socket.is_in(room)).cloned().collect();
        socket.state.cancel_joins(&left);
        socket.leave(left.clone());
        self.announce_leaves(socket, &members_of);
        let rejected: Vec<_> = reserved
            .into_iter()
            .map(|room| RejectedRoom { room, code: codes::ROOM_RESERVED.into() })
            .collect();
        count_rejected_rooms(&socket.state.namespace.label, &rejected);
        Reply::json(Left { left, rejected })
    }

    /// The client has authenticated as somebody else: it leaves the rooms that its new claims do not allow, but for those
    /// that it is about to be put in.
    pub fn leave_denied_rooms(&self, socket: &Socket, joining: &[String]) {
        let mut rooms = socket.rooms();
        rooms.retain(|room| !joining.contains(room));
        self.leave_denied(socket, rooms);
    }

    /// Announces a socket in rooms that it is about to join. Nothing is announced in rooms that it is in.
    pub fn announce_joins(&self, socket: &Socket, rooms: &[String]) {
        self.announce_all(rooms.iter().filter(|room| !socket.is_in(room)), socket, announce_join);
    }

    /// Announces a socket that has connected in all of its rooms.
    pub fn announce_connect(&self, socket: &Socket) {
        self.announce_all(socket.rooms().iter(), socket, announce_join);
    }

    /// Announces in all rooms of a socket that it has disconnected.
    pub fn announce_disconnect(&self, socket: &Socket) {
        self.announce_leaves(socket, &socket.rooms());
    }

    fn announce_leaves(&self, socket: &Socket, rooms: &[String]) {
        self.announce_all(rooms.iter(), socket, announce_leave);
    }

    fn announce_all<'a>(
        &self,
        rooms: impl Iterator<Item = &'a String>,
        socket: &Socket,
        announce: fn(&Socket, &str, bool),
    ) {
        let access = &self.0.access;
        rooms
            .filter(|room| access.has_presence_in(room))
            .for_each(|room| announce(socket, room, access.is_public_presence(room)));
    }

    fn limit_of(&self, socket: &Socket) -> RoomLimit {
        RoomLimit::new(socket.rooms(), self.0.limits.rooms_per_socket)
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
}
