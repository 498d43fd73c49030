//! Callbacks of a namespace that no client triggers: changes of rooms, and events of other servers.

use std::sync::Arc;

use metrics::gauge;
use serde_json::Value;

use super::{
    namespace::Namespace,
    server_side::{IntoServerAnswer, ServerSideHandler},
};
use crate::{
    backplane::{Backplane, RoomEvent},
    gateway::replies::catch_panic::catch_panic,
    telemetry::metrics::ROOMS,
};

impl Namespace {
    /// Called when rooms of this pod change: the first member of each, who joins and leaves, the last that goes. `create-room`,
    /// `join-room`, `leave-room` and `delete-room` of Node's adapter, but for the rooms of sockets' own ids. Changes are told in
    /// their order, one at a time: it must not block, nor may another room be waited for.
    ///
    /// ```
    /// # use roomcast::{Namespace, RoomChange, RoomEvent};
    /// let documents = Namespace::new("/documents").on_room(|event: RoomEvent<'_>| match event.change {
    ///     RoomChange::Created => println!("{} is open", event.room),
    ///     RoomChange::Deleted => println!("{} is closed", event.room),
    ///     RoomChange::Joined(id) | RoomChange::Left(id) => println!("{id}: {}", event.room),
    /// });
    /// # let _ = documents;
    /// ```
    pub fn on_room(mut self, hear: impl Fn(RoomEvent<'_>) + Send + Sync + 'static) -> Self {
        self.on_room = Some(Arc::new(hear));
        self
    }

    /// Has what happens on this pod in the namespace at a path told: events of other servers to their handler, and rooms, which are
    /// counted, to the program's `on_room`.
    pub(in crate::gateway) fn watch(&self, backplane: &Backplane, path: &str) {
        // The namespace exists now.
        let Some(here) = backplane.local(path) else { return };
        if let Some(handler) = self.server_side.clone() {
            here.on_server_side(Box::new(handler));
        }
        // Children of a dynamic namespace count for that.
        here.count_rooms(gauge!(ROOMS.name, "nsp" => self.path.clone()));
        if let Some(hear) = self.on_room.clone() {
            here.on_room(move |event| {
                let _ = catch_panic("on_room", || hear(event));
            });
        }
    }

    /// Handles the events that other servers of the cluster send to servers (`serverSideEmit` on Node): a name and its
    /// arguments. What it gives goes to a server that asked for an ack: one value, as Node's servers send the first of
    /// `callback(a, b)` alone. Without a handler that is `null`.
    ///
    /// An `async` handler begins in the order in which events come, and the next ones are handled while it waits. It has
    /// `backplane.request_timeout`, which is as long as a pod that asks waits, and up to 256 of a pod wait at a time; who has more
    /// to do spawns a task. One that is not `async` must not block.
    ///
    /// ```
    /// # use roomcast::Namespace;
    /// # use serde_json::{Value, json};
    /// # async fn load(_: &[Value]) -> u32 { 1 }
    /// let workers = Namespace::new("/workers").on_server_side(async |event: String, arguments: Vec<Value>| {
    ///     match event.as_str() {
    ///         "load" => Some(json!(load(&arguments).await)),
    ///         _ => None, // no answer: the server that asks counts this pod as silent
    ///     }
    /// });
    /// let simple = Namespace::new("/simple").on_server_side(|event, arguments| json!([event, arguments]));
    /// # let _ = (workers, simple);
    /// ```
    pub fn on_server_side<M, R: IntoServerAnswer<M>>(
        mut self,
        handler: impl Fn(String, Vec<Value>) -> R + Send + Sync + 'static,
    ) -> Self {
        self.server_side = Some(ServerSideHandler::new(handler));
        self
    }
}
