//! An async client for Socket.IO servers: Roomcast, Node, or any other of version 3 or later.
//!
//! ```no_run
//! use roomcast::client::{Client, ClientError};
//!
//! # async fn example() -> Result<(), ClientError> {
//! // Built first, so that no event comes before its subscription.
//! let client = Client::builder("https://rooms.example.com").build()?;
//! client.on_disconnected(|reason| println!("disconnected: {reason}"));
//! client.subscribe("chat", |event| {
//!     if let Ok((room, text)) = event.arguments::<(String, String)>() {
//!         println!("{room}: {text}");
//!     }
//! })?;
//!
//! client.connect().await?;
//! client.join_rooms(["public-lobby"]).await?;
//! client.emit("chat", &("public-lobby", "hello"))?;
//! let answer: serde_json::Value = client.emit_with_ack("question", &42).await?;
//! println!("{answer}");
//! client.shutdown().await;
//! # Ok(()) }
//! ```
//!
//! # Arguments
//!
//! What serde can write and read. A tuple is several arguments, `()` none, anything else one.
//! Binary data is [`bytes::Bytes`], also deep inside of other values; it is sent as attachments.
//!
//! # Callbacks
//!
//! They run one after the other, in the order of the events, in the task that keeps the connection
//! alive: they must not block. A longer work is spawned, or takes its events from [`Client::events`].
//! A callback that holds a clone of the client keeps it alive until [`Client::shutdown`].
//!
//! # Reconnection
//!
//! A connection that is lost is made again by itself ([`Backoff`]), and so is one that could not be
//! made, for instance while the server drains (503). The client then authenticates with the last
//! token that the server accepted, and joins the rooms again that it joined with
//! [`Client::join_rooms`]. What waited to be sent is lost, and nothing is kept while there is no
//! connection: [`Client::emit`] says so. When the server disconnects the socket, or refuses it, the
//! client stays away until [`Client::connect`] is called again.

mod backoff;
mod builder;
mod engine;
mod error;
mod handle;
mod manager;
mod outbox;
mod packets;
mod rooms;
mod session;
mod socket;
mod subscriptions;
mod transport;

use std::{fmt, sync::Arc};

pub use backoff::Backoff;
pub use builder::Builder;
pub use error::{ClientError, Reason, TransportError, Unauthenticated};
pub use handle::Client;
pub use rooms::{JoinedRooms, LeftRooms, RejectedRoom};
pub use subscriptions::{Event, Events, Lagged};
pub use transport::Transport;

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

/// The credentials of a socket: the stock client's `auth`.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// The same each time.
    Fixed(serde_json::Value),
    /// Asked for each time: [`Auth::provider`].
    Provider(Arc<dyn Fn() -> socket::AuthFuture + Send + Sync>),
}

impl Auth {
    /// Credentials that are asked for before each connection, such as tokens that expire. When it
    /// fails it is called again, with the patience of [`Backoff`].
    pub fn provider<F, W>(provider: F) -> Self
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = socket::AuthResult> + Send + 'static,
    {
        Self::Provider(Arc::new(move || Box::pin(provider())))
    }
}

impl From<serde_json::Value> for Auth {
    fn from(auth: serde_json::Value) -> Self {
        Self::Fixed(auth)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Auth(none)",
            Self::Fixed(_) | Self::Provider(_) => "Auth(hidden)",
        })
    }
}
