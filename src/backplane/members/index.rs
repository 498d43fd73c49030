//! The sockets of this pod in one namespace by their rooms, and the rooms by how many are in them.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use socketioxide_core::Sid;
use thin_vec::ThinVec;

use super::MemberSocket;

#[derive(Default)]
pub(super) struct Index {
    pub(super) sockets: HashMap<Sid, Entry>,
    /// How many sockets are in a room. That of a socket's own id counts others only.
    pub(super) rooms: HashMap<Arc<str>, usize>,
    /// How many sockets are unauthenticated.
    pub(super) unauthenticated: usize,
}

/// A socket, and where it is.
pub(super) struct Entry {
    /// Lives as long as the socket.
    pub(super) member: Weak<dyn MemberSocket>,
    /// Without the room of its own id.
    pub(super) rooms: ThinVec<Arc<str>>,
    pub(super) own: OwnRoom,
    /// Whether it gets nothing that is for all of the namespace.
    pub(super) unauthenticated: bool,
}

/// Where a socket stands with the room of its own id, which each is in as on Node. To socketioxide that is a
/// room like others, half a kilobyte for each socket, so it hears of it when it is first used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum OwnRoom {
    Unused,
    Joined,
    Left,
}

impl Index {
    /// Whether a room has a member.
    pub(super) fn has(&self, room: &str) -> bool {
        self.rooms.contains_key(room)
            || room.parse().is_ok_and(|id: Sid| self.sockets.contains_key(&id))
    }

    /// How many sockets are in a room.
    pub(super) fn members(&self, room: &str) -> usize {
        let others = self.rooms.get(room).copied().unwrap_or_default();
        others + usize::from(self.own(room).is_some())
    }

    /// The socket whose own room this is, if it is in it.
    pub(super) fn own(&self, room: &str) -> Option<Sid> {
        let id = room.parse().ok()?;
        self.sockets.get(&id).filter(|entry| entry.own != OwnRoom::Left).map(|_| id)
    }

    /// The same, if no others are.
    pub(super) fn alone_in(&self, room: &str) -> Option<Sid> {
        self.own(room).filter(|_| !self.rooms.contains_key(room))
    }

    /// Whether a socket hears what is for a room; for all, if there is none.
    pub(super) fn hears(&self, socket: Sid, room: Option<&str>) -> bool {
        let Some(entry) = self.sockets.get(&socket) else { return false };
        match room {
            None => !entry.unauthenticated,
            Some(room) => {
                self.own(room) == Some(socket) || entry.rooms.iter().any(|joined| **joined == *room)
            }
        }
    }

    /// A room has lost a member. Says whether that was the last.
    pub(super) fn one_less(&mut self, room: &str) -> bool {
        let Some(count) = self.rooms.get_mut(room) else { return false };
        *count -= 1;
        let last = *count == 0;
        if last {
            self.rooms.remove(room);
        }
        last
    }
}
