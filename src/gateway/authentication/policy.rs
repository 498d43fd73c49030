//! Whether a socket may act: a namespace may require that its client has authenticated.

use crate::{
    config::AuthPolicy,
    gateway::{namespaces::active_socket::ActiveSocket, sockets::socket::Socket},
};

/// Whether a socket may emit events and be in rooms. If not, it has to authenticate first.
pub(in crate::gateway) fn may_act(active: &ActiveSocket) -> bool {
    active.runtime.namespace.policy != AuthPolicy::Required || active.state.is_authenticated()
}

/// Tells the program of a socket that has connected or authenticated, if it may act now.
pub(in crate::gateway) fn announce_if_allowed(active: &ActiveSocket, socket: &Socket) {
    if may_act(active) {
        active.announce(socket);
    }
}
