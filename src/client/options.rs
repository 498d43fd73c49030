//! What a connection is made with, once the builder has checked it.

use std::{sync::Arc, time::Duration};

use super::{Auth, Backoff, Transport, transport::Address};

/// The settings of a connection.
pub(super) struct Options {
    pub address: Arc<Address>,
    pub transports: Arc<[Transport]>,
    pub auth: Auth,
    pub reconnect: Backoff,
    pub ack_timeout: Duration,
    pub close_timeout: Duration,
    pub max_attachments: usize,
    /// Packets and bytes.
    pub queue: (usize, usize),
}
