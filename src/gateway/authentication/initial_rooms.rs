//! The rooms that a socket is put in when it connects, or when it has authenticated.

use std::{collections::HashSet, sync::atomic::Ordering};

use crate::gateway::{
    namespaces::active_socket::ActiveSocket,
    replies::refusal::codes,
    rules::{
        access::{cannot_be_socket_id, with_subject},
        rejected_rooms::count_rejected,
        room_limit::RoomLimit,
    },
};

/// The rooms that a socket is to be put in, each once.
pub(in crate::gateway) struct InitialRooms {
    pub rooms: Vec<String>,
    /// How many more there are, with names that no room may have.
    invalid: usize,
}

impl InitialRooms {
    /// The default rooms of the namespace, the rooms of the client's claims, and those that it was granted.
    pub fn new(active: &ActiveSocket, granted: Vec<String>) -> Self {
        let namespace = &active.runtime.namespace;
        let mut rooms = namespace.default_rooms.clone();
        let (of_claims, mut invalid) = with_subject(&active.state, |who| {
            let rules = namespace.rules.as_ref().map(|rules| rules.auto_join_rooms(who));
            let (mut rooms, invalid) = rules.unwrap_or_default();
            let of_templates = namespace.auto_join_rooms.iter().flat_map(|template| {
                let mut rooms = who.claims.map(|claims| template.fill(claims)).unwrap_or_default();
                // A token must not give access to what is sent to a socket of another server.
                rooms.retain(|room| cannot_be_socket_id(template, room, who.ids));
                rooms
            });
            rooms.extend(of_templates);
            (rooms, invalid)
        });
        rooms.extend(of_claims);
        rooms.extend(granted);
        let mut seen = HashSet::new();
        rooms.retain(|room| seen.insert(room.clone()));
        let all = rooms.len();
        let context = &active.runtime.context;
        let max_length = context.limits.name_length;
        // A token must not give access to what is sent to another socket by its id.
        let is_allowed =
            |room: &String| !context.backplane.is_socket(room) || room == active.state.id.as_str();
        rooms.retain(|room| !room.is_empty() && room.len() <= max_length && is_allowed(room));
        invalid += all - rooms.len();
        Self { rooms, invalid }
    }

    /// The rooms, as far as the socket may be in so many. Warns if some are left out.
    pub fn within_limit(self, active: &ActiveSocket) -> Vec<String> {
        let Self { mut rooms, invalid } = self;
        let context = &active.runtime.context;
        let id = active.state.id;
        let joined = active.state.handle.rooms();
        let mut limit = RoomLimit::new(joined, context.limits.rooms_per_socket);
        let all = rooms.len();
        rooms.retain(|room| limit.try_add(room));
        let over = all - rooms.len();
        if over > 0 {
            count_rejected(&context.label, codes::ROOM_LIMIT, over);
        }
        let left_out = over + invalid;
        if left_out > 0 {
            let (namespace, socket) = (&context.label, id);
            let remedy = "see limits.rooms_per_socket and limits.name_length";
            let message = "a socket is not put in all of its rooms";
            // One line is a hint. One for each client would be a flood.
            if active.runtime.warned_of_rooms.swap(true, Ordering::Relaxed) {
                tracing::debug!(namespace, %socket, left_out, "{message}");
            } else {
                tracing::warn!(namespace, %socket, left_out, remedy, "{message}");
            }
        }
        rooms
    }
}
