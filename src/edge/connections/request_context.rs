//! Where a request came from.

use std::net::SocketAddr;

use super::unread_answer::PollAnswer;
use crate::edge::requests::upgrade_slot::UpgradeSlot;

/// Where a request came from, put into it by the listener.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub address: SocketAddr,
    /// A trusted load balancer says that it came over TLS.
    pub secure: bool,
    pub upgrade: UpgradeSlot,
    pub answered: PollAnswer,
}
