//! A socket as the backplane knows it: what reaches it from other sockets, pods and Node servers.

use std::{any::Any, cell::Cell, sync::Arc};

use serde_json::{Value, json};
use socketioxide_core::Value as Payload;

use crate::{
    backplane::{MemberSocket, Watch},
    gateway::{
        authentication::policy::announce_if_allowed,
        broadcast::{error::RoomcastError, operator::BroadcastOperator},
        events::outgoing::Outgoing,
        namespaces::active_socket::ActiveSocket,
        replies::catch_panic::catch_panic,
        rules::access::{Action, with_subject},
        sockets::socket::Socket,
    },
};

impl MemberSocket for ActiveSocket {
    fn connected(&self) {
        if let Some(socket) = self.socket() {
            announce_if_allowed(self, &socket);
        }
        self.progress.set_connected();
        self.progress.set_complete();
        self.state.connection.connected(&self.runtime.context.path);
    }

    fn is_connected(&self) -> bool {
        self.progress.is_complete() && self.socket().is_some_and(|socket| socket.is_connected())
    }

    fn upgraded(&self) {
        self.call_upgraded();
    }

    fn handshake(&self) -> Value {
        let socket = self.socket();
        let uri = socket.as_ref().map(|socket| &socket.io.req_parts().uri);
        self.state.connection.handshake(uri)
    }

    fn data(&self) -> Value {
        let mut data = match self.state.data() {
            Value::Object(noted) => noted,
            Value::Null => serde_json::Map::new(),
            // Data that is no object is passed on as it is, as on Node. It has no place for claims.
            other => return other,
        };
        if let Some(identity) = self.state.identity() {
            data.entry("claims").or_insert_with(|| json!(identity.claims));
        }
        Value::Object(data)
    }

    fn claims(&self) -> Option<Value> {
        let fits = match self.state.data() {
            Value::Object(noted) => !noted.contains_key("claims"),
            noted => noted.is_null(),
        };
        self.state.identity().filter(|_| !fits).map(|identity| json!(identity.claims))
    }

    fn is_told_of(&self, room: &str) -> bool {
        let Some(rules) = &self.runtime.namespace.rules else { return true };
        with_subject(&self.state, |who| rules.allows(who, Action::Presence, room))
    }

    fn close_connection(&self) {
        self.state.connection.close();
    }

    fn overflowed(&self) {
        self.state.connection.overflowed();
    }

    fn watch(&self, watch: &Arc<Watch>) -> bool {
        self.state.connection.watch(watch)
    }

    fn heartbeat(&self, time: u64) {
        if self.state.is_authenticated() {
            self.emit("heartbeat", &json!({ "time": time }));
        }
    }

    fn outgoing(&self, event: &Payload) {
        let Some(outgoing) = self.socket().and_then(|socket| Outgoing::new(socket, event)) else {
            return;
        };
        // Listeners are not called for what a listener emits: that would never end.
        thread_local!(static LISTENING: Cell<bool> = const { Cell::new(false) });
        if LISTENING.replace(true) {
            return;
        }
        for listen in &self.runtime.namespace.outgoing_listeners {
            let _ = catch_panic("on_any_outgoing", || listen(&outgoing));
        }
        LISTENING.set(false);
    }
}

/// The handle to a socket that the backplane knows. `None` once it has gone.
fn socket_of(member: Arc<dyn MemberSocket>) -> Option<Socket> {
    let member: Arc<dyn Any + Send + Sync> = member;
    member.downcast::<ActiveSocket>().ok()?.socket()
}

impl BroadcastOperator {
    /// Those of the sockets that this pod has, themselves: `io.of(…).sockets` on Node. With many, to emit to a room is far cheaper
    /// than to each of its sockets.
    ///
    /// ```
    /// # fn example(roomcast: roomcast::Roomcast) -> Result<(), roomcast::RoomcastError> {
    /// for socket in roomcast.of("/").local_sockets()? {
    ///     println!("{} uses {}", socket.id(), socket.transport());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the pod does not run, or the namespace does not exist.
    pub fn local_sockets(self) -> Result<Vec<Socket>, RoomcastError> {
        self.check()?;
        let here = self.namespace()?.here();
        let here = here.map(|here| here.members_of(&self.target)).unwrap_or_default();
        Ok(here.into_iter().filter_map(socket_of).filter(Socket::is_connected).collect())
    }
}
