//! The connections that are open, and how each of them begins.
//!
//! Gap: socketioxide says nothing of a connection that is in no namespace. So a [`Connection`] is owned by what ends
//! with it, and dropping it is its end, however it came: by its sockets, and by its WebSocket stream or, if it polls,
//! the handshake request, which socketioxide keeps as long as the session. But a session that ends before it
//! joins a namespace is kept until `engine.connect_timeout` (its timer owns it), so the edge also
//! says what it knows itself: [`Connection::end`].

use std::sync::Arc;

use metrics::{counter, gauge};

use super::{
    address_limit::AddressPermit, connection::Connection, opening_request::NewConnection,
    registry::Registry, traffic::name,
};
use crate::telemetry::metrics::{CONNECTIONS, CONNECTIONS_OPENED};

/// All connections of a pod.
pub type Sessions = Registry<Connection>;

impl Sessions {
    /// Begins a connection: it is over when the last clone of the `Arc` is dropped.
    pub(crate) fn begin(
        self: &Arc<Self>,
        began: NewConnection,
        permit: Option<AddressPermit>,
    ) -> Arc<Connection> {
        let transport = began.transport;
        counter!(CONNECTIONS_OPENED.name, "transport" => name(transport)).increment(1);
        gauge!(CONNECTIONS.name, "transport" => name(transport)).increment(1);
        let connection = Arc::new(Connection::new(self.clone(), began, permit));
        self.table.insert(&connection);
        connection
    }
}

#[cfg(test)]
mod tests {
    use socketioxide_core::Sid;

    use super::*;
    use crate::config::Transport;

    #[test]
    fn a_connection_counts_and_is_found_while_it_lives() {
        let sessions = Arc::new(Sessions::default());
        let sid = Sid::new();
        let connection = sessions.begin(NewConnection::by(Transport::Polling), None);
        connection.has_id(sid);
        assert_eq!(sessions.open(), 1);
        assert!(sessions.find(sid).is_some());
        drop(connection);
        assert_eq!(sessions.open(), 0);
        assert!(sessions.find(sid).is_none());
    }

    #[test]
    fn one_that_ends_before_its_id_is_known_is_not_found_by_it() {
        let sessions = Arc::new(Sessions::default());
        let connection = sessions.begin(NewConnection::by(Transport::Websocket), None);
        connection.end();
        connection.has_id(Sid::new());
        assert_eq!(sessions.open(), 0);
    }
}
