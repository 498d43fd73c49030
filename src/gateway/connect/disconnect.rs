//! A client leaves a namespace, and may send another CONNECT right behind its DISCONNECT.
//!
//! Gap: socketioxide spawns a task for a disconnect handler that is a function, and forgets the socket when that has
//! ended. Until then, a CONNECT that the client sent right behind its DISCONNECT counts as a second one of the same
//! socket and is never answered, and its events still come here. Way round: a handler of our own type, which is called
//! in the loop that reads the client, has done all of it before the client's next packet is read. There is no upstream
//! issue.

use std::sync::Arc;

use socketioxide::{
    handler::DisconnectHandler,
    socket::{DisconnectReason, Socket as IoSocket},
};

use crate::{
    backplane::Adapter,
    edge::CloseReason,
    gateway::{
        dispatch::wait_connected::wait_complete, namespaces::active_socket::ActiveSocket,
        replies::catch_panic::catch_panic,
    },
    tasks,
};

/// Called when a socket disconnects.
pub(in crate::gateway) struct Disconnector(pub Arc<ActiveSocket>);

impl DisconnectHandler<Adapter, Self> for Disconnector {
    fn call_with_defer(
        &self,
        socket: Arc<IoSocket<Adapter>>,
        reason: DisconnectReason,
        remove: fn(Arc<IoSocket<Adapter>>),
    ) {
        let Self(active) = self;
        let active = active.clone();
        // Also after a panic: socketioxide would keep the socket, and a CONNECT of the client would never be answered.
        let removed = Removed(Some(socket), remove);
        let leave = move || {
            tasks::piece("disconnect", || disconnected(&active, CloseReason::from(reason)));
            drop(removed);
        };
        if reason == DisconnectReason::ClientNSDisconnect {
            wait_complete(&self.0.progress);
            leave();
        } else {
            // No packet follows, or the pod put it out: perhaps within a handler, which may hold what another one of
            // the program needs.
            tasks::spawn("disconnect", async move { leave() });
        }
    }
}

/// Has socketioxide forget a socket when it is dropped.
struct Removed(Option<Arc<IoSocket<Adapter>>>, fn(Arc<IoSocket<Adapter>>));

impl Drop for Removed {
    fn drop(&mut self) {
        if let Some(socket) = self.0.take() {
            self.1(socket);
        }
    }
}

/// Does what belongs to the end of a socket.
fn disconnected(active: &ActiveSocket, reason: CloseReason) {
    // An event that waits for the socket to be connected need not wait any longer.
    active.progress.set_connected();
    let reason = active.state.connection.ended(reason);
    active.progress.never_announce();
    if let Some(on_disconnect) = &active.runtime.namespace.on_disconnect
        && let Some(socket) = active.socket()
    {
        let _ = catch_panic("on_disconnect", || on_disconnect(&socket, reason.name()));
    }
    active.depart();
}
