//! Whether a socket may act: a namespace may require that its client has authenticated.

use super::{active_socket::ActiveSocket, socket::Socket};
use crate::config::AuthPolicy;

/// Whether a socket may emit events and be in rooms. If not, it has to authenticate first.
pub(super) fn may_act(active: &ActiveSocket) -> bool {
    active.runtime.namespace.policy != AuthPolicy::Required || active.state.is_authenticated()
}

/// Tells the program of a socket that has connected or authenticated, if it may act now.
pub(super) fn announce_if_allowed(active: &ActiveSocket, socket: &Socket) {
    if may_act(active) {
        active.announce(socket);
    }
}
