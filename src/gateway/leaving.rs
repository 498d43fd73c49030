//! A client leaves a namespace, and may come back in the same breath.
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

use super::{connect::left, early::let_in, member::Member};
use crate::{backplane::Adapter, edge::CloseReason};

/// What is done when a socket goes.
pub(super) struct Leaving(pub Arc<Member>);

impl DisconnectHandler<Adapter, Self> for Leaving {
    fn call_with_defer(
        &self,
        socket: Arc<IoSocket<Adapter>>,
        reason: DisconnectReason,
        forget: fn(Arc<IoSocket<Adapter>>),
    ) {
        let Self(member) = self;
        let member = member.clone();
        let leave = move || {
            left(&member, CloseReason::from(reason));
            forget(socket);
        };
        if reason == DisconnectReason::ClientNSDisconnect {
            let_in(&self.0);
            leave();
        } else {
            // No packet follows, or the pod put it out: perhaps within a handler, which may hold what another one of
            // the program needs.
            tokio::spawn(async move { leave() });
        }
    }
}
