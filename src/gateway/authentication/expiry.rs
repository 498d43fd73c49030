//! Sets who a socket is, and for how long: when it must have authenticated, and what happens when its token expires.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    config::AuthPolicy,
    gateway::{
        namespaces::{
            active_socket::ActiveSocket,
            deadlines::{DeadlineSlot, HasDeadline},
            runtime::now_millis,
        },
        replies::refusal::{Refusal, codes},
        sockets::state::Identity,
    },
};

/// When a socket is looked at again whose deadline passes before it is connected.
const NOT_CONNECTED_RETRY: Duration = Duration::from_millis(100);
/// How long a client has to send a new token when its own has expired, if `auth_timeout` does not say.
const DEFAULT_RENEWAL: Duration = Duration::from_secs(10);

/// Sets who a socket is, and its deadline: when its token expires, or when it must have authenticated.
pub(in crate::gateway) fn set_identity(active: &Arc<ActiveSocket>, identity: Option<Identity>) {
    let now = Instant::now();
    let namespace = &active.runtime.namespace;
    let deadline = match &identity {
        Some(identity) if identity.authenticated => identity.expires,
        _ if namespace.policy == AuthPolicy::Required => {
            namespace.auth_timeout.map(|timeout| now + timeout)
        }
        _ => None,
    };
    active.state.set_identity(identity.map(Arc::new));
    active.runtime.deadlines.set(active, deadline);
}

impl HasDeadline for ActiveSocket {
    fn deadline(&self) -> &DeadlineSlot {
        &self.deadline
    }

    /// Its token has expired, or it has not authenticated in time.
    fn expire(self: Arc<Self>) {
        let now = Instant::now();
        let deadlines = &self.runtime.deadlines;
        let Some(socket) = self.socket() else { return };
        // Its CONNECT waits for other pods. Until it is answered, the client can be neither told nor disconnected.
        if !socket.is_connected() {
            deadlines.set(&self, Some(now + NOT_CONNECTED_RETRY));
            return;
        }
        let Some(identity) = self.state.authenticated_identity() else {
            let refusal = Refusal::new(codes::AUTHENTICATION_TIMEOUT, "authentication timed out");
            emit_unauthenticated(&self, &refusal);
            socket.disconnect(false);
            return;
        };
        // It may have sent another token at this moment.
        if identity.expires.is_none_or(|expires| expires > now) {
            return;
        }
        self.state.set_identity(None);
        let renewal = self.runtime.namespace.auth_timeout.unwrap_or(DEFAULT_RENEWAL);
        deadlines.set(&self, Some(now + renewal));
        let refusal = Refusal::new(codes::TOKEN_INVALID, "the token has expired");
        emit_unauthenticated(&self, &refusal);
    }

    fn give_up(&self) {
        self.state.connection.close();
    }
}

/// Tells a client that it is not authenticated.
pub(in crate::gateway) fn emit_unauthenticated(active: &ActiveSocket, refusal: &Refusal) {
    let time = now_millis();
    let (code, message) = (&refusal.code, &refusal.message);
    active.emit("unauthenticated", &json!({"message": message, "time": time, "code": code}));
}
