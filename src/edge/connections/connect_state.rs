//! The CONNECTs of a connection: which are pending, and which refusals its client has not been told.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use parking_lot::Mutex;

use crate::edge::packets::namespace_connect::PendingConnects;

/// The state of the CONNECTs of a connection.
#[derive(Debug, Default)]
pub(crate) struct ConnectState {
    /// CONNECTs that have not been answered.
    pub(super) pending: Mutex<PendingConnects>,
    /// Refusals that are on their way to the client (`packets/connect_error.rs`).
    refusals: AtomicU32,
    /// A CONNECT has been answered with a success.
    pub(super) connected: AtomicBool,
    /// The connection has been in a namespace, if it is in none now.
    pub(super) was_in: AtomicBool,
}

impl ConnectState {
    /// A CONNECT is refused now.
    pub(super) fn refuse(&self) {
        self.refusals.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether a CONNECT has been refused, and the client has not been told.
    pub fn is_refused(&self) -> bool {
        self.refusals.load(Ordering::Acquire) > 0
    }

    /// The client has been told of so many refusals.
    pub fn told_refusals(&self, told: u32) {
        let less = |refusals: u32| Some(refusals.saturating_sub(told));
        let _ = self.refusals.fetch_update(Ordering::AcqRel, Ordering::Acquire, less);
    }
}
