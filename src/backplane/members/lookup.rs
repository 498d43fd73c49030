//! Who is in a namespace on this pod, and in which rooms.

use std::sync::Arc;

use socketioxide_core::Sid;

use super::{Described, MemberSocket, Members};
use crate::backplane::Target;

/// Looks at the sockets of this pod and their rooms.
#[derive(Clone, Copy)]
pub struct Lookup<'a>(pub(super) &'a Members);

impl Lookup<'_> {
    /// The rooms of a socket, without that of its own id.
    pub fn rooms_of(self, socket: Sid) -> Vec<String> {
        let index = self.0.index.read();
        let rooms = index.sockets.get(&socket).map(|entry| &entry.rooms);
        rooms.into_iter().flatten().map(|room| room.to_string()).collect()
    }

    /// Whether a socket is in a room.
    pub fn is_in(self, socket: Sid, room: &str) -> bool {
        let index = self.0.index.read();
        let entry = index.sockets.get(&socket);
        entry.is_some_and(|entry| entry.rooms.iter().any(|joined| **joined == *room))
    }

    /// Whether a room has a member here.
    pub fn has(self, room: &str) -> bool {
        self.0.index.read().has(room)
    }

    /// Whether nobody is here.
    pub fn is_empty(self) -> bool {
        self.0.index.read().sockets.is_empty()
    }

    /// Whether there is a socket of this id.
    pub fn has_socket(self, id: Sid) -> bool {
        self.0.index.read().sockets.contains_key(&id)
    }

    /// All rooms with members here, those of sockets' own ids among them, as Node's `allRooms`.
    pub fn rooms(self) -> Vec<String> {
        let index = self.0.index.read();
        let named = index.rooms.keys().map(|room| room.to_string());
        named.chain(index.sockets.keys().map(Sid::to_string)).collect()
    }

    /// All of them.
    pub fn members(self) -> Vec<Arc<dyn MemberSocket>> {
        let index = self.0.index.read();
        index.sockets.values().filter_map(|entry| entry.member.upgrade()).collect()
    }

    /// One of them.
    pub fn member(self, socket: Sid) -> Option<Arc<dyn MemberSocket>> {
        self.0.index.read().sockets.get(&socket)?.member.upgrade()
    }

    /// All, with what is known of them.
    pub fn describe(self, target: &Target) -> Vec<Described> {
        let ids = self.0.recipients().matching(target);
        let index = self.0.index.read();
        let describe = |id: Sid| {
            let entry = index.sockets.get(&id)?;
            let own = id.to_string();
            let rooms = [own].into_iter().chain(entry.rooms.iter().map(|room| room.to_string()));
            Some(Described { id, rooms: rooms.collect(), member: entry.member.upgrade()? })
        };
        ids.into_iter().filter_map(describe).collect()
    }
}
