//! Joining and leaving rooms, by rules.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{
    Event, Refusal, Reply, Socket, codes,
    decide::{Act, Answer, Decider, Who},
    hooked,
    hooks::Hook,
    presence,
    rejected::{self, Rejected},
};
use crate::config::{Limits, OnFailure, RoomRule};

/// What may be done with which rooms.
#[derive(Clone)]
pub(super) struct Rules(Arc<Inner>);

struct Inner {
    decider: Decider,
    limits: Limits,
    on_failure: OnFailure,
    questions: presence::Questions,
}

/// The argument of `join` and `leave`.
#[derive(Deserialize)]
struct Request {
    rooms: Vec<String>,
}

impl Rules {
    /// Rules, each with its hook if it names one; and rooms that sockets are put in by what their tokens say.
    pub fn new(
        rules: Vec<(&RoomRule, Option<Hook>)>,
        own: &[String],
        limits: &Limits,
        on_failure: OnFailure,
    ) -> Self {
        let decider = Decider::new(rules, own, limits.name_length);
        let questions = presence::Questions::default();
        Self(Arc::new(Inner { decider, limits: limits.clone(), on_failure, questions }))
    }

    /// Whether a socket may do this in a room, with who it is now.
    pub fn may(&self, socket: &Socket, act: Act<'_>, room: &str) -> Answer<'_> {
        socket.as_who(|who| self.0.decider.may(who, act, room))
    }

    /// Whether somebody may do this in a room, where no hook is asked.
    pub fn decides(&self, who: Who<'_>, act: Act<'_>, room: &str) -> bool {
        self.0.decider.may(who, act, room).is_yes()
    }

    /// The rooms that somebody is put in, unasked; and how many others have a name that no room may have.
    pub fn own_rooms(&self, who: Who<'_>) -> (Vec<String>, usize) {
        self.0.decider.own_rooms(who)
    }

    /// Questions who is in a room, that are under way.
    pub fn questions(&self) -> &presence::Questions {
        &self.0.questions
    }

    /// The event `join`: `{rooms}` → `{joined, rejected}`.
    pub fn join(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        let socket = event.socket();
        let mut member_of = socket.rooms();
        let (mut joined, mut rejected, mut asked) = (Vec::new(), Vec::new(), Vec::new());
        for room in self.requested(event)? {
            let is_new = !member_of.contains(&room);
            let full = is_new && member_of.len() >= self.0.limits.rooms_per_socket;
            match self.may(socket, Act::Join, &room) {
                Answer::No(code) => rejected.push(Rejected { room, code: code.into() }),
                _ if full => rejected.push(Rejected { room, code: codes::ROOM_LIMIT.into() }),
                Answer::Ask(hook) => asked.push((room, hook.clone())),
                Answer::Yes => {
                    if is_new {
                        member_of.push(room.clone());
                    }
                    joined.push(room);
                }
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
                        // It may have become somebody else meanwhile, for whom nobody would have been asked.
                        let code = if let Answer::No(code) = self.may(socket, Act::Join, &room) {
                            code
                        } else if !allowed.as_ref().is_none_or(|allowed| allowed.contains(&room)) {
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

        rejected::count(&socket.member.namespace.path, &rejected);
        let reply = Reply::json(Joined { joined: joined.clone(), rejected })?;
        // One that has gone meanwhile has come nowhere.
        if socket.is_connected() {
            self.announced(joined.iter().filter(|room| !socket.is_in(room)))
                .for_each(|room| self.came_to(socket, room));
        }
        let rooms = joined.clone();
        let reply = socket.join_then(joined, reply);
        // It may have shown another token at this moment, whose look at its rooms came too early for these.
        self.leave_lost(socket, rooms);
        reply
    }

    /// Takes a socket out of those of these rooms that no rule lets it be in any longer.
    fn leave_lost(&self, socket: &Socket, mut rooms: Vec<String>) {
        rooms
            .retain(|room| self.0.decider.knows(room) && self.may(socket, Act::Stay, room).is_no());
        if !rooms.is_empty() {
            socket.leave(rooms.clone());
            self.announced(rooms.iter()).for_each(|room| self.went_from(socket, room));
        }
    }

    fn came_to(&self, socket: &Socket, room: &str) {
        presence::came(socket, room, self.0.decider.tells_everybody(room));
    }

    fn went_from(&self, socket: &Socket, room: &str) {
        presence::went(socket, room, self.0.decider.tells_everybody(room));
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
        self.announced(gone.iter()).for_each(|room| self.went_from(socket, room));
        let rejected: Vec<_> = reserved
            .into_iter()
            .map(|room| Rejected { room, code: codes::ROOM_RESERVED.into() })
            .collect();
        rejected::count(&socket.member.namespace.path, &rejected);
        Reply::json(Left { left, rejected })
    }

    /// A socket showed another token, and is about to be put in rooms: it leaves those that its claims of now do not
    /// allow, as far as rules speak of them.
    pub fn reconsider(&self, socket: &Socket, coming: &[String]) {
        let mut rooms = socket.rooms();
        rooms.retain(|room| !coming.contains(room));
        self.leave_lost(socket, rooms);
        self.announced(coming.iter().filter(|room| !socket.is_in(room)))
            .for_each(|room| self.came_to(socket, room));
    }

    /// Tells the members of a socket's rooms that it has gone, where they are to be told.
    pub fn gone(&self, socket: &Socket) {
        let rooms = socket.rooms();
        self.announced(rooms.iter()).for_each(|room| self.went_from(socket, room));
    }

    /// Tells the members of a socket's rooms that it has come, where they are to be told.
    pub fn came(&self, socket: &Socket) {
        let rooms = socket.rooms();
        self.announced(rooms.iter()).for_each(|room| self.came_to(socket, room));
    }

    /// Whether rules speak of presence at all.
    pub fn has_presence(&self) -> bool {
        self.0.decider.has_presence()
    }

    fn announced<'a>(
        &self,
        rooms: impl Iterator<Item = &'a String>,
    ) -> impl Iterator<Item = &'a String> {
        rooms.filter(|room| self.0.decider.announces(room))
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
