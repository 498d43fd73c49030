//! The sockets of this pod in one namespace, and the rooms they are in.
//!
//! Gap: socketioxide's own maps say neither whether a room has members nor when the first comes and
//! the last goes (no `create-room` and `delete-room`, upstream has no issue for it). So joins and
//! leaves pass here, which keeps what a backplane needs: a cheap [`Members::has`], and the rooms whose
//! subscription must be looked at again.

use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Arc, LazyLock, OnceLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use metrics::{Gauge, counter};
use parking_lot::RwLock;
use socketioxide::adapter::Emitter;
use socketioxide_core::{
    Sid, Value,
    adapter::{BroadcastFlags, BroadcastOptions, CoreLocalAdapter, Room, errors::SocketError},
    packet::{Packet, PacketData},
    parser::Parse,
};
use thin_vec::ThinVec;

use super::{
    Joined, ServerAnswer, ServerSide, Target, Watch, acks::Acks, room_events::RoomEvents,
    shared::Shared, slow::size, watch::Watched,
};
use crate::telemetry::metrics::PACKETS_DROPPED;

/// socketioxide's part of it: who gets a packet.
pub(super) type Local = Arc<CoreLocalAdapter<Emitter>>;

/// A socket, as it is known to what has no part in its namespace: to other servers of the cluster, too.
pub trait Occupant: Any + Send + Sync {
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
    server_side: OnceLock<Box<dyn ServerSide>>,
    pub shared: Arc<Shared>,
    /// Who hears of its rooms.
    pub room_events: RoomEvents,
    /// Whether the namespace hears of what its sockets are sent.
    listens: AtomicBool,
    /// Counts rooms with members here.
    rooms: OnceLock<Gauge>,
}

#[derive(Default)]
struct Index {
    sockets: HashMap<Sid, Entry>,
    /// How many sockets are in a room. That of a socket's own id counts others only.
    rooms: HashMap<Arc<str>, usize>,
    /// How many sockets are held.
    held: usize,
}

/// The room, to socketioxide alone, of sockets that are held. No other servers know of it. Nor can anyone name it:
/// who could put sockets in this room, or take them out, would decide who hears what is for all.
static HELD: LazyLock<String> = LazyLock::new(|| {
    let mut random = [0; 16];
    // Without a source of chance there are no session ids either, and so no sockets.
    let _ = aws_lc_rs::rand::fill(&mut random);
    format!("\0held {:032x}", u128::from_be_bytes(random))
});

struct Entry {
    /// Lives as long as the socket.
    occupant: Weak<dyn Occupant>,
    /// Without the room of its own id.
    rooms: ThinVec<Arc<str>>,
    own: OwnRoom,
    /// Whether it gets nothing that is for all of the namespace.
    held: bool,
}

/// Where a socket stands with the room of its own id, which each is in as on Node. To socketioxide that is a
/// room like others, half a kilobyte for each socket, so it hears of it when it is first used.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OwnRoom {
    Unused,
    Joined,
    Left,
}

/// A socket of this pod, as it is now.
pub(super) struct Described {
    pub id: Sid,
    pub rooms: Vec<String>,
    pub occupant: Arc<dyn Occupant>,
}

impl Members {
    pub fn new(local: Local, shared: Arc<Shared>) -> Self {
        Self {
            local,
            index: RwLock::default(),
            server_side: OnceLock::new(),
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
    pub fn enter(&self, socket: Sid, occupant: Weak<dyn Occupant>) {
        let entry = Entry { occupant, rooms: ThinVec::new(), own: OwnRoom::Unused, held: false };
        self.index.write().sockets.insert(socket, entry);
    }

    /// Holds a socket that has not authenticated, or lets it go: what is for all of the namespace, and not for
    /// rooms, is not for it meanwhile.
    pub fn hold(&self, socket: Sid, held: bool) {
        let mut index = self.index.write();
        let Some(entry) = index.sockets.get_mut(&socket).filter(|entry| entry.held != held) else {
            return;
        };
        entry.held = held;
        if held {
            index.held += 1;
            self.local.add_all(socket, HELD.as_str());
        } else {
            index.held -= 1;
            self.local.del(socket, HELD.as_str());
        }
    }

    /// Forgets a socket that is gone. Gives the rooms it was in; none if it was forgotten before, or
    /// if its id belongs to a newer socket.
    pub fn depart(&self, socket: Sid, occupant: &Weak<dyn Occupant>) -> Vec<String> {
        let mut telling = self.room_events.begin();
        let mut index = self.index.write();
        let ours = index.sockets.get(&socket).is_some_and(|entry| entry.occupant.ptr_eq(occupant));
        let Some(entry) = ours.then(|| index.sockets.remove(&socket)).flatten() else {
            return Vec::new();
        };
        // Under the lock: nothing joins it to a room any more.
        self.local.del_all(socket);
        index.held -= usize::from(entry.held);
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

    /// Puts a socket in rooms.
    pub fn join(&self, socket: Sid, rooms: &[String]) {
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

    /// Takes a socket out of rooms.
    pub fn leave(&self, socket: Sid, rooms: &[String]) {
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

    /// Puts all sockets of a target in rooms.
    pub fn join_all(&self, target: &Target, rooms: Vec<String>) {
        for socket in self.matching(target) {
            self.join(socket, &rooms);
        }
        let _ = self.rooms_changed(rooms);
    }

    /// Takes them out.
    pub fn leave_all(&self, target: &Target, rooms: Vec<String>) {
        for socket in self.matching(target) {
            self.leave(socket, &rooms);
        }
        let _ = self.rooms_changed(rooms);
    }

    /// Rooms have got or lost members. Tells when other servers know.
    pub fn rooms_changed(&self, rooms: Vec<String>) -> Joined {
        self.shared.rooms_changed(self.local.path(), rooms)
    }

    /// The rooms of a socket, without that of its own id.
    pub fn rooms_of(&self, socket: Sid) -> Vec<String> {
        let index = self.index.read();
        let rooms = index.sockets.get(&socket).map(|entry| &entry.rooms);
        rooms.into_iter().flatten().map(|room| room.to_string()).collect()
    }

    /// Whether a socket is in a room.
    pub fn is_in(&self, socket: Sid, room: &str) -> bool {
        let index = self.index.read();
        let entry = index.sockets.get(&socket);
        entry.is_some_and(|entry| entry.rooms.iter().any(|joined| **joined == *room))
    }

    /// Whether a room has a member here.
    pub fn has(&self, room: &str) -> bool {
        self.index.read().has(room)
    }

    /// Whether nobody is here.
    pub fn is_empty(&self) -> bool {
        self.index.read().sockets.is_empty()
    }

    /// Whether there is a socket of this id.
    pub fn has_socket(&self, id: Sid) -> bool {
        self.index.read().sockets.contains_key(&id)
    }

    /// All rooms with members here, those of sockets' own ids among them, as Node's `allRooms`.
    pub fn rooms(&self) -> Vec<String> {
        let index = self.index.read();
        let named = index.rooms.keys().map(|room| room.to_string());
        named.chain(index.sockets.keys().map(Sid::to_string)).collect()
    }

    /// The sockets that a target means.
    pub fn matching(&self, target: &Target) -> Vec<Sid> {
        if self.nobody(target) {
            return Vec::new();
        }
        self.local.sockets(self.options(target, None, false))
    }

    /// A target without those who may not know who is in its rooms.
    pub fn told(&self, target: &Target) -> Target {
        let is_told = |id: &Sid| {
            let occupant = self.occupant(*id);
            occupant.is_some_and(|one| target.rooms.iter().all(|room| one.is_told_of(room)))
        };
        let mut told = target.clone();
        let others = self.matching(target).into_iter().filter(|id| !is_told(id));
        told.except.extend(others.map(|id| id.to_string()));
        told
    }

    /// All of them.
    pub fn occupants(&self) -> Vec<Arc<dyn Occupant>> {
        let index = self.index.read();
        index.sockets.values().filter_map(|entry| entry.occupant.upgrade()).collect()
    }

    /// One of them.
    pub fn occupant(&self, socket: Sid) -> Option<Arc<dyn Occupant>> {
        self.index.read().sockets.get(&socket)?.occupant.upgrade()
    }

    /// All, with what is known of them.
    pub fn describe(&self, target: &Target) -> Vec<Described> {
        let ids = self.matching(target);
        let index = self.index.read();
        let describe = |id: Sid| {
            let entry = index.sockets.get(&id)?;
            let own = id.to_string();
            let rooms = [own].into_iter().chain(entry.rooms.iter().map(|room| room.to_string()));
            Some(Described { id, rooms: rooms.collect(), occupant: entry.occupant.upgrade()? })
        };
        ids.into_iter().filter_map(describe).collect()
    }

    /// Puts an event in the queue of each socket that it is for, but for `from`.
    pub fn emit(
        &self,
        payload: Value,
        target: &Target,
        from: Option<Sid>,
        volatile: bool,
    ) -> Result<(), Vec<SocketError>> {
        if self.nobody(target) {
            return Ok(());
        }
        self.announce(&payload, target, from);
        let bytes = size(&payload);
        let packet = Packet::event(self.local.path().clone(), payload);
        let emitted = self.local.broadcast(packet, self.audience(target, from, volatile));
        let gets = |socket| Some(socket) != from && self.is_for(socket, target);
        if !volatile {
            self.note(target, gets, bytes);
        }
        emitted.inspect_err(|errors| {
            let full = |error: &&SocketError| matches!(error, SocketError::InternalChannelFull);
            let full = errors.iter().filter(full).count();
            self.overflowed(self.shared.slow.most_behind(full, gets));
        })
    }

    /// How many sockets an event for a target is for; nothing if that is known only once all are listed.
    pub fn count(&self, target: &Target, from: Option<Sid>) -> Option<usize> {
        /// So many rooms that are not for it are compared with each other.
        const FEW: usize = 8;
        let index = self.index.read();
        let room = match &target.rooms[..] {
            [] => None,
            [room] => Some(room.as_str()),
            rooms => return (!rooms.iter().any(|room| index.has(room))).then_some(0),
        };
        let all = room.map_or(index.sockets.len() - index.held, |room| index.members(room));
        if target.except.len() > FEW {
            return None;
        }
        let mut less = usize::from(from.is_some_and(|socket| index.hears(socket, room)));
        for (place, except) in target.except.iter().enumerate() {
            if index.rooms.contains_key(except.as_str()) {
                return None;
            }
            let Some(socket) = index.alone_in(except) else { continue };
            let again = Some(socket) == from || target.except[..place].contains(except);
            less += usize::from(!again && index.hears(socket, room));
        }
        Some(all.saturating_sub(less))
    }

    /// Those sockets.
    pub fn hearing(&self, target: &Target, from: Option<Sid>) -> Vec<Sid> {
        if self.nobody(target) {
            return Vec::new();
        }
        self.local.sockets(self.audience(target, from, false))
    }

    /// Has the connection of one of these sockets tell when it has written an event, if one of a few can.
    pub fn watch(
        &self,
        sockets: &[Sid],
        begin: usize,
        payload: &Value,
        watched: &Watched<'_>,
    ) -> Option<Arc<Watch>> {
        const FEW: usize = 4;
        let packet = Packet::event(self.local.path().clone(), payload.clone());
        let packet = Parse::encode(self.local.parser(), packet);
        let watch = Watch::new(&packet, watched);
        let (before, after) = sockets.split_at(begin.min(sockets.len()));
        let mut few = after.iter().chain(before).take(FEW);
        let watches = |socket: &Sid| self.occupant(*socket).is_some_and(|one| one.watch(&watch));
        few.any(watches).then_some(watch)
    }

    /// Counts a packet for those that are behind, and ends those for which too much waits. An emit costs as much as it has
    /// recipients, or as there are sockets behind, whatever is less: polling clients are behind between their polls.
    fn note(&self, target: &Target, gets: impl Fn(Sid) -> bool, bytes: usize) {
        let behind = self.shared.slow.count();
        if behind == 0 {
            return;
        }
        let full = if self.recipients(target) < behind {
            let sockets = self.matching(target).into_iter().filter(|socket| gets(*socket));
            self.shared.slow.note(sockets.collect::<Vec<_>>(), bytes)
        } else {
            self.shared.slow.note_all(gets, bytes)
        };
        if !full.is_empty() {
            counter!(PACKETS_DROPPED.name, "reason" => "queue full").increment(full.len() as u64);
            self.overflowed(full);
        }
    }

    /// How many get what is for a target, at most.
    fn recipients(&self, target: &Target) -> usize {
        let index = self.index.read();
        if target.rooms.is_empty() {
            return index.sockets.len();
        }
        // One more: the room of a socket's own id counts others only.
        let members = |room: &String| index.rooms.get(room.as_str()).map_or(1, |count| count + 1);
        target.rooms.iter().map(members).sum()
    }

    fn overflowed(&self, sockets: Vec<Sid>) {
        for socket in sockets {
            if let Some(occupant) = self.occupant(socket) {
                occupant.overflowed();
            }
        }
    }

    /// Whether a socket is one of a target.
    fn is_for(&self, socket: Sid, target: &Target) -> bool {
        let own = |room: &String| room == socket.as_str();
        let index = self.index.read();
        let Some(entry) = index.sockets.get(&socket) else { return false };
        let is_in =
            |room: &String| own(room) || entry.rooms.iter().any(|joined| **joined == **room);
        (target.rooms.is_empty() && !entry.held || target.rooms.iter().any(is_in))
            && !target.except.iter().any(is_in)
    }

    /// The same, and each client is asked for an answer. Says how many were asked.
    pub fn emit_with_ack(&self, payload: Value, target: &Target, timeout: Duration) -> (Acks, u32) {
        self.announce(&payload, target, None);
        self.note(target, |socket| self.is_for(socket, target), size(&payload));
        let packet = Packet::event(self.local.path().clone(), payload);
        let options = self.audience(target, None, false);
        let (acks, asked) = self.local.broadcast_with_ack(packet, options, Some(timeout));
        (Acks::new(acks, asked), asked)
    }

    /// Puts a packet in the queue of one socket, or drops it if it is volatile and the client not ready. It fails also if too
    /// many bytes wait.
    pub fn send(&self, socket: Sid, packet: Packet, volatile: bool) -> Result<(), SocketError> {
        let bytes = match &packet.inner {
            PacketData::Event(payload, _) | PacketData::BinaryEvent(payload, _) => {
                self.announce_to(socket, payload);
                size(payload)
            }
            PacketData::EventAck(payload, _) | PacketData::BinaryAck(payload, _) => size(payload),
            _ => 0,
        };
        // Without rooms and flags, it is for this socket alone.
        let mut options = BroadcastOptions::new(socket);
        if volatile {
            options.add_flag(BroadcastFlags::Volatile);
        }
        let sent = self.local.broadcast(packet, options);
        sent.map_err(|errors| errors.into_iter().next().unwrap_or(SocketError::Closed))?;
        match volatile || self.has_room(socket, bytes) {
            true => Ok(()),
            false => Err(SocketError::InternalChannelFull),
        }
    }

    /// The same, and its client is asked for an answer.
    pub fn ask(&self, socket: Sid, event: Value, timeout: Duration) -> Result<Acks, SocketError> {
        self.announce_to(socket, &event);
        if !self.has_room(socket, size(&event)) {
            return Err(SocketError::InternalChannelFull);
        }
        let packet = Packet::event(self.local.path().clone(), event);
        let options = BroadcastOptions::new(socket);
        let (acks, asked) = self.local.broadcast_with_ack(packet, options, Some(timeout));
        if asked == 0 { Err(SocketError::Closed) } else { Ok(Acks::new(acks, asked)) }
    }

    /// Counts a packet of so many bytes for a socket, if that is behind.
    fn has_room(&self, socket: Sid, bytes: usize) -> bool {
        self.shared.slow.count() == 0 || self.shared.slow.note([socket], bytes).is_empty()
    }

    /// From now on, the sockets of the namespace hear of what they are sent.
    pub fn listen(&self) {
        self.listens.store(true, Ordering::Release);
    }

    fn announce(&self, event: &Value, target: &Target, from: Option<Sid>) {
        if self.listens.load(Ordering::Acquire) {
            let sockets = self.local.sockets(self.audience(target, from, false));
            sockets.into_iter().for_each(|socket| self.announce_to(socket, event));
        }
    }

    fn announce_to(&self, socket: Sid, event: &Value) {
        if self.listens.load(Ordering::Acquire)
            && let Some(occupant) = self.occupant(socket)
        {
            occupant.outgoing(event);
        }
    }

    /// Disconnects sockets from the namespace.
    pub fn disconnect(&self, target: &Target) {
        if !self.nobody(target) {
            // Who cannot be told is gone already.
            let _ = self.local.disconnect_socket(self.options(target, None, false));
        }
    }

    /// From now on, events of other servers are handled by this.
    pub fn handle_server_side(&self, handler: Box<dyn ServerSide>) {
        // A namespace is built once.
        let _ = self.server_side.set(handler);
    }

    /// Handles an event of another server: its name, then its arguments.
    pub fn server_side(&self, event: Vec<serde_json::Value>) -> ServerAnswer {
        let mut event = event.into_iter();
        match (event.next(), self.server_side.get()) {
            (Some(serde_json::Value::String(name)), Some(handler)) => {
                handler.handle(name, event.collect())
            }
            // The other server would wait for nothing.
            _ => ServerAnswer::Now(Some(serde_json::Value::Null)),
        }
    }

    /// Spares the work for rooms that nobody here is in.
    fn nobody(&self, target: &Target) -> bool {
        !target.rooms.is_empty() && !target.rooms.iter().any(|room| self.has(room))
    }

    /// Those of a target who may hear it.
    fn audience(&self, target: &Target, from: Option<Sid>, volatile: bool) -> BroadcastOptions {
        let mut options = self.options(target, from, volatile);
        if target.rooms.is_empty() && self.index.read().held > 0 {
            options.except.push(Room::Borrowed(HELD.as_str()));
        }
        options
    }

    /// A target as socketioxide takes it: `from` does not get it.
    fn options(&self, target: &Target, from: Option<Sid>, volatile: bool) -> BroadcastOptions {
        let rooms = || target.rooms.iter().chain(&target.except);
        rooms().for_each(|room| self.use_own_room(room));
        let mut options = BroadcastOptions::default();
        options.add_flag(BroadcastFlags::Broadcast);
        if volatile {
            options.add_flag(BroadcastFlags::Volatile);
        }
        options.sid = from;
        options.rooms.extend(target.rooms.iter().cloned().map(Room::Owned));
        options.except.extend(target.except.iter().cloned().map(Room::Owned));
        options
    }

    /// If this is the room of a socket's own id, it is one for socketioxide from now on.
    fn use_own_room(&self, room: &str) {
        let Ok(id) = room.parse::<Sid>() else { return };
        let unused = |entry: &Entry| entry.own == OwnRoom::Unused;
        if !self.index.read().sockets.get(&id).is_some_and(unused) {
            return;
        }
        let mut index = self.index.write();
        if let Some(entry) = index.sockets.get_mut(&id).filter(|entry| unused(entry)) {
            entry.own = OwnRoom::Joined;
            self.local.add_all(id, room.to_owned());
        }
    }
}

impl Index {
    /// Whether a room has a member.
    fn has(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
            || room.parse().is_ok_and(|id: Sid| self.sockets.contains_key(&id))
    }

    /// How many sockets are in a room.
    fn members(&self, room: &str) -> usize {
        let others = self.rooms.get(room).copied().unwrap_or_default();
        others + usize::from(self.own(room).is_some())
    }

    /// The socket whose own room this is, if it is in it.
    fn own(&self, room: &str) -> Option<Sid> {
        let id = room.parse().ok()?;
        self.sockets.get(&id).filter(|entry| entry.own != OwnRoom::Left).map(|_| id)
    }

    /// The same, if no others are.
    fn alone_in(&self, room: &str) -> Option<Sid> {
        self.own(room).filter(|_| !self.rooms.contains_key(room))
    }

    /// Whether a socket hears what is for a room; for all, if there is none.
    fn hears(&self, socket: Sid, room: Option<&str>) -> bool {
        let Some(entry) = self.sockets.get(&socket) else { return false };
        match room {
            None => !entry.held,
            Some(room) => {
                self.own(room) == Some(socket) || entry.rooms.iter().any(|joined| **joined == *room)
            }
        }
    }

    /// A room has lost a member. Says whether that was the last.
    fn one_less(&mut self, room: &str) -> bool {
        let Some(count) = self.rooms.get_mut(room) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.rooms.remove(room);
        }
        last
    }
}
