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

// The folder is for programs that connect to a server, and for tests and the load generator. No other part of the crate
// calls it. It needs `config` for `Secret` alone.
// Inside, `builder` makes the `handle` and the task (`manager`), which makes a `session` for each connection.

mod auth;
mod backoff;
mod builder;
mod command;
mod engine;
mod error;
mod handle;
mod manager;
mod options;
mod outbox;
mod packets;
mod restore;
mod rooms;
mod session;
mod socket;
mod state;
mod subscriptions;
mod transport;

pub use auth::Auth;
pub use backoff::Backoff;
pub use builder::Builder;
pub use error::{ClientError, Reason, RejectedRoom, TransportError, Unauthenticated};
pub use handle::Client;
pub use rooms::{JoinedRooms, LeftRooms};
pub use state::State;
pub use subscriptions::{Event, Events, Lagged};
pub use transport::Transport;
