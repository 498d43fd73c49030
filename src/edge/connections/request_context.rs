//! What the listener knows of the TCP connection that a request came over.

use std::net::SocketAddr;

use super::unread_answer::PollAnswer;
use crate::edge::requests::upgrade_slot::UpgradeSlot;

/// What the listener puts into the extensions of each request.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub address: SocketAddr,
    /// A trusted load balancer says that it came over TLS.
    pub secure: bool,
    pub upgrade: UpgradeSlot,
    pub answered: PollAnswer,
}
