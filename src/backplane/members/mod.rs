//! The sockets of this pod in one namespace, and the rooms they are in.
//!
//! Gap: socketioxide's own maps say neither whether a room has members nor when the first comes and
//! the last goes (no `create-room` and `delete-room`, upstream has no issue for it). So joins and
//! leaves pass here, which keeps what a backplane needs: a cheap [`Lookup::has`], and the rooms whose
//! subscription must be looked at again.
//!
//! - `index`: sockets by their rooms; `lookup`: who is here
//! - `recipients`: whom something is for; `queues`: how it is sent
//! - `server_side_handler`: what handles events of other servers

mod index;
mod lookup;
mod queues;
mod recipients;
mod server_side_handler;

use std::{
    any::Any,
    sync::{Arc, LazyLock, OnceLock, Weak, atomic::AtomicBool},
};

use metrics::Gauge;
use parking_lot::RwLock;
use socketioxide::adapter::Emitter;
use socketioxide_core::{Sid, Value, adapter::CoreLocalAdapter};
use thin_vec::ThinVec;

use super::{Joined, Target, Watch, room_events::RoomEvents, shared::Shared};
use index::{Entry, Index, OwnRoom};
use lookup::Lookup;
use queues::Queues;
use recipients::Recipients;
use server_side_handler::ServerSideHandler;

/// socketioxide's part of it: who gets a packet.
pub(super) type Local = Arc<CoreLocalAdapter<Emitter>>;

/// A socket, as it is known to what has no part in its namespace: to other servers of the cluster, too.
pub trait MemberSocket: Any + Send + Sync {
    /// Its CONNECT has been answered.
    fn connected(&self);
    /// Whether it has been, and it has not left.
    fn is_connected(&self) -> bool;
    /// Its connection has moved from polling to a WebSocket.
    fn upgraded(&self);
    /// What it began with, as Node's `socket.handshake`. Never a token.
    fn handshake(&self) -> serde_json::Value;
    /// Whether it may know who is in a room.
    fn is_told_of(&self, room: &str) -> bool;
    /// What is known of it, as Node's `socket.data`: what handlers noted, as it is. In an object, the claims of its
    /// token are there too, if it has no `claims` of its own.
    fn data(&self) -> serde_json::Value;
    /// The claims of its token, if its `data` has no place for them.
    fn claims(&self) -> Option<serde_json::Value>;
    /// Closes its connection, with all its sockets.
    fn close_connection(&self);
    /// Closes its connection, for it does not take what it is sent.
    fn overflowed(&self);
    /// Has its connection tell when it has written a packet. Says whether it will: if it has a WebSocket, and tells of no
    /// other.
    fn watch(&self, watch: &Arc<Watch>) -> bool;
    /// Tells it the time, if it is one that is told.
    fn heartbeat(&self, time: u64);
    /// It is being sent an event, and its namespace hears of those.
    fn outgoing(&self, event: &Value);
}

/// The sockets of this pod in one namespace.
pub(super) struct Members {
    pub local: Local,
    index: RwLock<Index>,
    /// Handles events of other servers.
    pub server_side: ServerSideHandler,
    pub shared: Arc<Shared>,
    /// Who hears of its rooms.
    pub room_events: RoomEvents,
    /// Whether the namespace hears of what its sockets are sent.
    listens: AtomicBool,
    /// Counts rooms with members here.
    rooms: OnceLock<Gauge>,
}

/// The room, to socketioxide alone, of sockets that are unauthenticated. No other servers know of it. Nor can anyone name it:
/// who could put sockets in this room, or take them out, would decide who hears what is for all.
static UNAUTHENTICATED_ROOM: LazyLock<String> = LazyLock::new(|| {
    let mut random = [0; 16];
    // Without a source of chance there are no session ids either, and so no sockets.
    let _ = aws_lc_rs::rand::fill(&mut random);
    format!("\0unauthenticated {:032x}", u128::from_be_bytes(random))
});

/// A socket of this pod, as it is now.
pub(super) struct Described {
    pub id: Sid,
    pub rooms: Vec<String>,
    pub member: Arc<dyn MemberSocket>,
}

impl Members {
    pub fn new(local: Local, shared: Arc<Shared>) -> Self {
        Self {
            local,
            index: RwLock::default(),
            server_side: ServerSideHandler::default(),
            shared,
            room_events: RoomEvents::default(),
            listens: AtomicBool::new(false),
            rooms: OnceLock::new(),
        }
    }

    /// From now on, its rooms are counted there.
    pub fn count_rooms(&self, rooms: Gauge) {
        // A namespace is built once.
        let _ = self.rooms.set(rooms);
    }

    /// So many more rooms have members.
    fn has_rooms(&self, more: i64) {
        if more != 0
            && let Some(rooms) = self.rooms.get()
        {
            rooms.increment(more as f64);
        }
    }

    /// Adds a socket, in the room of its own id.
    pub fn enter(&self, socket: Sid, member: Weak<dyn MemberSocket>) {
        let entry =
            Entry { member, rooms: ThinVec::new(), own: OwnRoom::Unused, unauthenticated: false };
        self.index.write().sockets.insert(socket, entry);
    }

    /// Notes whether a socket has still to authenticate: what is for all of the namespace, and not for rooms, is not for it
    /// meanwhile.
    pub fn set_unauthenticated(&self, socket: Sid, unauthenticated: bool) {
        let mut index = self.index.write();
        let Some(entry) =
            index.sockets.get_mut(&socket).filter(|entry| entry.unauthenticated != unauthenticated)
        else {
            return;
        };
        entry.unauthenticated = unauthenticated;
        if unauthenticated {
            index.unauthenticated += 1;
            self.local.add_all(socket, UNAUTHENTICATED_ROOM.as_str());
        } else {
            index.unauthenticated -= 1;
            self.local.del(socket, UNAUTHENTICATED_ROOM.as_str());
        }
    }

    /// Forgets a socket that is gone. Not one that was forgotten before, or whose id belongs to a newer socket.
    pub fn depart(&self, socket: Sid, member: &Weak<dyn MemberSocket>) {
        let rooms = self.take_out(socket, member);
        let _ = self.rooms_changed(rooms);
    }

    /// Puts a socket in rooms. Tells when other servers know, if they have to.
    pub fn join(&self, socket: Sid, rooms: Vec<String>) -> Joined {
        self.put_in_rooms(socket, &rooms);
        self.rooms_changed(rooms)
    }

    /// Takes a socket out of rooms.
    pub fn leave(&self, socket: Sid, rooms: Vec<String>) {
        self.take_out_of_rooms(socket, &rooms);
        let _ = self.rooms_changed(rooms);
    }

    /// Puts all sockets of a target in rooms.
    pub fn join_all(&self, target: &Target, rooms: Vec<String>) {
        for socket in self.recipients().matching(target) {
            self.put_in_rooms(socket, &rooms);
        }
        let _ = self.rooms_changed(rooms);
    }

    /// Takes them out.
    pub fn leave_all(&self, target: &Target, rooms: Vec<String>) {
        for socket in self.recipients().matching(target) {
            self.take_out_of_rooms(socket, &rooms);
        }
        let _ = self.rooms_changed(rooms);
    }

    /// Who is here, and in which rooms.
    pub fn lookup(&self) -> Lookup<'_> {
        Lookup(self)
    }

    /// Whom something is for.
    pub fn recipients(&self) -> Recipients<'_> {
        Recipients(self)
    }

    /// The queues of the sockets, to send to them.
    pub fn queues(&self) -> Queues<'_> {
        Queues(self)
    }

    /// The rooms that a socket was in.
    fn take_out(&self, socket: Sid, member: &Weak<dyn MemberSocket>) -> Vec<String> {
        let mut telling = self.room_events.begin();
        let mut index = self.index.write();
        let ours = index.sockets.get(&socket).is_some_and(|entry| entry.member.ptr_eq(member));
        let Some(entry) = ours.then(|| index.sockets.remove(&socket)).flatten() else {
            return Vec::new();
        };
        // Under the lock: nothing joins it to a room any more.
        self.local.del_all(socket);
        index.unauthenticated -= usize::from(entry.unauthenticated);
        let own = socket.to_string();
        for room in &entry.rooms {
            let last = index.one_less(room);
            self.has_rooms(-i64::from(last));
            telling.iter_mut().for_each(|telling| telling.note(room, last));
        }
        drop(index);
        if let Some(telling) = telling {
            telling.left(self.local.path(), &own);
        }
        entry.rooms.iter().map(|room| room.to_string()).chain([own]).collect()
    }

    fn put_in_rooms(&self, socket: Sid, rooms: &[String]) {
        let mut telling = self.room_events.begin();
        let mut index = self.index.write();
        let Index { sockets, rooms: counts, .. } = &mut *index;
        let Some(entry) = sockets.get_mut(&socket) else {
            return;
        };
        let own = socket.to_string();
        for room in rooms.iter().filter(|room| **room != own) {
            if !entry.rooms.iter().any(|joined| **joined == **room) {
                let name = counts
                    .get_key_value(room.as_str())
                    .map_or_else(|| Arc::from(room.as_str()), |(name, _)| name.clone());
                let count = counts.entry(name.clone()).or_default();
                *count += 1;
                self.has_rooms(i64::from(*count == 1));
                telling.iter_mut().for_each(|telling| telling.note(room, *count == 1));
                entry.rooms.push(name);
            }
        }
        if entry.own == OwnRoom::Left && rooms.contains(&own) {
            entry.own = OwnRoom::Unused;
        }
        let others: Vec<String> = rooms.iter().filter(|room| **room != own).cloned().collect();
        // Under the lock, so that two that do this at once agree on the outcome.
        self.local.add_all(socket, others);
        drop(index);
        if let Some(telling) = telling {
            telling.joined(self.local.path(), &own);
        }
    }

    fn take_out_of_rooms(&self, socket: Sid, rooms: &[String]) {
        let mut telling = self.room_events.begin();
        let mut index = self.index.write();
        for room in rooms {
            let Some(entry) = index.sockets.get_mut(&socket) else {
                return;
            };
            if room == socket.as_str() {
                entry.own = OwnRoom::Left;
            } else if let Some(at) = entry.rooms.iter().position(|joined| **joined == **room) {
                entry.rooms.swap_remove(at);
                let last = index.one_less(room);
                self.has_rooms(-i64::from(last));
                telling.iter_mut().for_each(|telling| telling.note(room, last));
            }
        }
        self.local.del(socket, rooms.to_vec());
        drop(index);
        if let Some(telling) = telling {
            telling.left(self.local.path(), socket.as_str());
        }
    }

    /// Rooms have got or lost members. Tells when other servers know.
    fn rooms_changed(&self, rooms: Vec<String>) -> Joined {
        self.shared.rooms_changed(self.local.path(), rooms)
    }
}
