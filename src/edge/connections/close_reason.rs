//! Why connections end, under Socket.IO's names where it has them.

use socketioxide::socket::DisconnectReason;

/// Why a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum CloseReason {
    /// It joined no namespace: it left before, sent nonsense, or ran into `engine.connect_timeout`.
    NoNamespace,
    /// The client closed it, or the network did.
    TransportClose,
    /// It broke.
    TransportError,
    /// The client did not answer a ping.
    PingTimeout,
    /// The client sent what is no packet.
    ParseError,
    /// The client left its last namespace, then went.
    ClientNamespaceDisconnect,
    /// The pod put it out of its last namespace.
    ServerNamespaceDisconnect,
    /// The pod ended.
    ServerShuttingDown,
    /// The client began a message, or announced attachments, and did not go on. Ours: Node waits.
    MessageTimeout,
    /// The client took nothing of what was sent to it. Ours: on Node it runs into the ping timeout.
    WriteTimeout,
    /// The pod gave it away, for another pod to take it. Ours.
    Rebalanced,
    /// More was sent to the client than may wait for it. Ours: Node keeps it all.
    QueueFull,
    /// The client sent too many packets that are no events. Ours: Node answers them all.
    RateLimited,
}

impl CloseReason {
    const ALL: [Self; 13] = [
        Self::NoNamespace,
        Self::TransportClose,
        Self::TransportError,
        Self::PingTimeout,
        Self::ParseError,
        Self::ClientNamespaceDisconnect,
        Self::ServerNamespaceDisconnect,
        Self::ServerShuttingDown,
        Self::MessageTimeout,
        Self::WriteTimeout,
        Self::Rebalanced,
        Self::QueueFull,
        Self::RateLimited,
    ];

    pub(super) fn from_index(index: u8) -> Self {
        Self::ALL.get(usize::from(index)).copied().unwrap_or(Self::NoNamespace)
    }

    /// Its name in Socket.IO's documentation ("disconnecting event"), and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NoNamespace => "no namespace",
            Self::TransportClose => "transport close",
            Self::TransportError => "transport error",
            Self::PingTimeout => "ping timeout",
            Self::ParseError => "parse error",
            Self::ClientNamespaceDisconnect => "client namespace disconnect",
            Self::ServerNamespaceDisconnect => "server namespace disconnect",
            Self::ServerShuttingDown => "server shutting down",
            Self::MessageTimeout => "message timeout",
            Self::WriteTimeout => "write timeout",
            Self::Rebalanced => "rebalanced",
            Self::QueueFull => "queue full",
            Self::RateLimited => "rate limited",
        }
    }
}

impl From<DisconnectReason> for CloseReason {
    fn from(reason: DisconnectReason) -> Self {
        match reason {
            DisconnectReason::TransportClose => Self::TransportClose,
            // Node ends a client that polls twice at once with a transport error as well.
            DisconnectReason::TransportError | DisconnectReason::MultipleHttpPollingError => {
                Self::TransportError
            }
            DisconnectReason::PacketParsingError => Self::ParseError,
            DisconnectReason::HeartbeatTimeout => Self::PingTimeout,
            DisconnectReason::ClientNSDisconnect => Self::ClientNamespaceDisconnect,
            DisconnectReason::ServerNSDisconnect => Self::ServerNamespaceDisconnect,
            DisconnectReason::ClosingServer => Self::ServerShuttingDown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::CONNECTIONS_CLOSED;

    #[test]
    fn each_reason_has_a_series_from_the_start() {
        let mut names = CloseReason::ALL.map(CloseReason::name);
        names.sort_unstable();
        assert_eq!(names.as_slice(), CONNECTIONS_CLOSED.values_of("reason"));
    }

    #[test]
    fn a_reason_survives_its_index() {
        for reason in CloseReason::ALL {
            assert_eq!(CloseReason::from_index(reason as u8), reason);
        }
    }
}
