//! Where a request came from.

use std::net::SocketAddr;

use super::{unread::Answered, upgrade_slot::UpgradeSlot};

/// Where a request came from, put into it by the listener.
#[derive(Clone)]
pub(super) struct Peer {
    pub address: SocketAddr,
    /// A trusted load balancer says that it came over TLS.
    pub secure: bool,
    pub upgrade: UpgradeSlot,
    pub answered: Answered,
}
