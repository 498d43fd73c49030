//! Where a socket of the client is on its way from disconnected to connected.

use std::fmt;

/// Where a socket is.
///
/// `Disconnected` → `Connecting` → `Connected` ↔ `Authenticated`; from there to `Reconnecting` when
/// the connection is lost, to `Disconnected` when one side ends it; to `Closed` for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// `connect` was called, and there was no connection yet.
    Connecting,
    /// The server let it in.
    Connected,
    /// The server accepted its token in the event `authenticated`. A token that is sent with the
    /// handshake (`auth`) is checked before `Connected`, and makes no difference here.
    Authenticated,
    /// The connection was lost, and is being made again.
    Reconnecting,
    /// It does not try: not asked to yet, disconnected by either side, refused, or it gave up.
    Disconnected,
    /// It was shut down.
    Closed,
}

impl State {
    /// Whether events can be sent: `Connected` or `Authenticated`.
    pub fn is_connected(self) -> bool {
        matches!(self, Self::Connected | Self::Authenticated)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting => "connecting",
            Self::Connected => "connected",
            Self::Authenticated => "authenticated",
            Self::Reconnecting => "reconnecting",
            Self::Disconnected => "disconnected",
            Self::Closed => "closed",
        })
    }
}
