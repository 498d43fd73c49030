//! How many rooms a socket may be in: `limits.rooms_per_socket`. This is the only place that checks it.

/// The rooms of a socket, and how many there may be.
pub(in crate::gateway) struct RoomLimit {
    rooms: Vec<String>,
    max: usize,
}

impl RoomLimit {
    /// The limit of a socket that is in these rooms. The room of its own id does not count.
    pub fn new(rooms: Vec<String>, max: usize) -> Self {
        Self { rooms, max }
    }

    /// Whether the socket is in a room already.
    pub fn contains(&self, room: &str) -> bool {
        self.rooms.iter().any(|known| known == room)
    }

    /// Whether the socket may join a room. It may always join one that it is in.
    pub fn allows(&self, room: &str) -> bool {
        self.contains(room) || self.rooms.len() < self.max
    }

    /// Counts a room, if the socket may join it. Says whether it may.
    pub fn try_add(&mut self, room: &str) -> bool {
        let allowed = self.allows(room);
        if allowed && !self.contains(room) {
            self.rooms.push(room.to_owned());
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_that_the_socket_is_in_takes_no_place() {
        let mut limit = RoomLimit::new(vec!["a".into()], 2);
        assert!(limit.try_add("a") && limit.try_add("b"));
        assert!(!limit.allows("c") && !limit.try_add("c"));
        assert!(limit.try_add("a") && limit.try_add("b"));
    }
}
