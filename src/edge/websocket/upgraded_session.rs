//! A polling session that a WebSocket has taken over.

use std::sync::Arc;

use socketioxide_core::Sid;
use tokio::runtime::Handle;

use crate::edge::connections::{connection::Connection, service::Service};

/// A polling session that a WebSocket has taken over. It ends with that WebSocket, also when socketioxide has not gone
/// through with the upgrade: socketioxide never takes an upgrade back, so the client would poll in vain.
pub(super) struct UpgradedSession {
    service: Service,
    connection: Arc<Connection>,
    sid: Sid,
}

impl UpgradedSession {
    pub fn new(service: Service, connection: Arc<Connection>, sid: Sid) -> Self {
        Self { service, connection, sid }
    }
}

impl Drop for UpgradedSession {
    fn drop(&mut self) {
        let (service, connection, sid) = (self.service.clone(), self.connection.clone(), self.sid);
        // Without a runtime, the pod is over.
        if Handle::try_current().is_ok() {
            service.end_polling_soon(connection, sid);
        }
    }
}
