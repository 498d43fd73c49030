//! Which sockets of this pod something is for.

use socketioxide_core::{
    Sid,
    adapter::{BroadcastFlags, BroadcastOptions, Room},
};

use super::{
    Members, UNAUTHENTICATED_ROOM,
    index::{Entry, OwnRoom},
};
use crate::backplane::Target;

/// Finds the sockets of a target.
#[derive(Clone, Copy)]
pub struct Recipients<'a>(pub(super) &'a Members);

impl Recipients<'_> {
    /// The sockets that a target means.
    pub fn matching(self, target: &Target) -> Vec<Sid> {
        if self.nobody(target) {
            return Vec::new();
        }
        self.0.local.sockets(self.options(target, None, false))
    }

    /// A target without those who may not know who is in its rooms.
    pub fn told(self, target: &Target) -> Target {
        let is_told = |id: &Sid| {
            let member = self.0.lookup().member(*id);
            member.is_some_and(|one| target.rooms.iter().all(|room| one.is_told_of(room)))
        };
        let mut told = target.clone();
        let others = self.matching(target).into_iter().filter(|id| !is_told(id));
        told.except.extend(others.map(|id| id.to_string()));
        told
    }

    /// How many sockets an event for a target is for; nothing if that is known only once all are listed.
    pub fn count(self, target: &Target, from: Option<Sid>) -> Option<usize> {
        /// So many rooms that are not for it are compared with each other.
        const FEW: usize = 8;
        let index = self.0.index.read();
        let room = match &target.rooms[..] {
            [] => None,
            [room] => Some(room.as_str()),
            rooms => return (!rooms.iter().any(|room| index.has(room))).then_some(0),
        };
        let all =
            room.map_or(index.sockets.len() - index.unauthenticated, |room| index.members(room));
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
    pub fn hearing(self, target: &Target, from: Option<Sid>) -> Vec<Sid> {
        if self.nobody(target) {
            return Vec::new();
        }
        self.0.local.sockets(self.audience(target, from, false))
    }

    /// Spares the work for rooms that nobody here is in.
    pub(super) fn nobody(self, target: &Target) -> bool {
        !target.rooms.is_empty() && !target.rooms.iter().any(|room| self.0.lookup().has(room))
    }

    /// Whether a socket is one of a target.
    pub(super) fn is_for(self, socket: Sid, target: &Target) -> bool {
        let own = |room: &String| room == socket.as_str();
        let index = self.0.index.read();
        let Some(entry) = index.sockets.get(&socket) else { return false };
        let is_in =
            |room: &String| own(room) || entry.rooms.iter().any(|joined| **joined == **room);
        (target.rooms.is_empty() && !entry.unauthenticated || target.rooms.iter().any(is_in))
            && !target.except.iter().any(is_in)
    }

    /// How many get what is for a target, at most.
    pub(super) fn most(self, target: &Target) -> usize {
        let index = self.0.index.read();
        if target.rooms.is_empty() {
            return index.sockets.len();
        }
        // One more: the room of a socket's own id counts others only.
        let members = |room: &String| index.rooms.get(room.as_str()).map_or(1, |count| count + 1);
        target.rooms.iter().map(members).sum()
    }

    /// Those of a target who may hear it.
    pub(super) fn audience(
        self,
        target: &Target,
        from: Option<Sid>,
        volatile: bool,
    ) -> BroadcastOptions {
        let mut options = self.options(target, from, volatile);
        if target.rooms.is_empty() && self.0.index.read().unauthenticated > 0 {
            options.except.push(Room::Borrowed(UNAUTHENTICATED_ROOM.as_str()));
        }
        options
    }

    /// A target as socketioxide takes it: `from` does not get it.
    pub(super) fn options(
        self,
        target: &Target,
        from: Option<Sid>,
        volatile: bool,
    ) -> BroadcastOptions {
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
    fn use_own_room(self, room: &str) {
        let Ok(id) = room.parse::<Sid>() else { return };
        let unused = |entry: &Entry| entry.own == OwnRoom::Unused;
        if !self.0.index.read().sockets.get(&id).is_some_and(unused) {
            return;
        }
        let mut index = self.0.index.write();
        if let Some(entry) = index.sockets.get_mut(&id).filter(|entry| unused(entry)) {
            entry.own = OwnRoom::Joined;
            self.0.local.add_all(id, room.to_owned());
        }
    }
}
