//! Rooms that come and go, and who is in them, as a program hears of it: Node's `create-room`, `join-room`, `leave-room` and
//! `delete-room`.

use std::sync::OnceLock;

use parking_lot::{ReentrantMutex, ReentrantMutexGuard};

/// Something has happened to a room of this pod. Rooms of sockets' own ids are not told of: they are there as long as the socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomEvent<'a> {
    /// The namespace; of a dynamic one, the child.
    pub namespace: &'a str,
    /// The room.
    pub room: &'a str,
    /// What has happened.
    pub change: RoomChange<'a>,
}

/// What has happened to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoomChange<'a> {
    /// It has its first member here: `create-room`.
    Created,
    /// A socket has joined, by its id: `join-room`.
    Joined(&'a str),
    /// A socket has left, by its id: `leave-room`.
    Left(&'a str),
    /// It has no members here any more: `delete-room`.
    Deleted,
}

type Hear = Box<dyn Fn(RoomEvent<'_>) + Send + Sync>;

/// Who hears of the rooms of a namespace.
#[derive(Default)]
pub(super) struct RoomEvents {
    hear: OnceLock<Hear>,
    /// Held from before a change until it has been told, so that changes are told in their order. A listener may make some itself.
    order: ReentrantMutex<()>,
}

/// A change is being made, and told of at the end: the rooms of one socket, and whether each is new, or is gone.
pub(super) struct Telling<'a> {
    hear: &'a Hear,
    changed: Vec<(String, bool)>,
    _order: ReentrantMutexGuard<'a, ()>,
}

impl RoomEvents {
    /// From now on this hears of them.
    pub fn listen(&self, hear: Hear) {
        // A namespace is built once.
        let _ = self.hear.set(hear);
    }

    /// Begins a change; nothing if nobody hears of it.
    pub fn begin(&self) -> Option<Telling<'_>> {
        let hear = self.hear.get()?;
        Some(Telling { hear, changed: Vec::new(), _order: self.order.lock() })
    }
}

impl Telling<'_> {
    /// The socket has come to a room, or gone; `alone`: nobody else is in it.
    pub fn note(&mut self, room: &str, alone: bool) {
        self.changed.push((room.to_owned(), alone));
    }

    /// Tells that a socket has joined them.
    pub fn joined(self, namespace: &str, socket: &str) {
        for (room, alone) in &self.changed {
            let tell = |change| (self.hear)(RoomEvent { namespace, room, change });
            if *alone {
                tell(RoomChange::Created);
            }
            tell(RoomChange::Joined(socket));
        }
    }

    /// Tells that it has left them.
    pub fn left(self, namespace: &str, socket: &str) {
        for (room, alone) in &self.changed {
            let tell = |change| (self.hear)(RoomEvent { namespace, room, change });
            tell(RoomChange::Left(socket));
            if *alone {
                tell(RoomChange::Deleted);
            }
        }
    }
}
