//! A socket that is disconnected once the client has got the answer to its last event.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

/// Time between the last packet to a client and the end of its socket. An event that comes after the end closes the whole
/// connection, as on Node. What the client sent before it knew is read in this time, and ignored.
pub(in crate::gateway) const DISMISSAL_DELAY: Duration = Duration::from_millis(50);

/// Whether a socket is to be disconnected.
#[derive(Default)]
pub(in crate::gateway) struct Dismissal {
    dismissed: AtomicBool,
    begun: AtomicBool,
}

impl Dismissal {
    /// From now on, events of the socket are ignored. It is disconnected once its last event is answered.
    pub fn dismiss(&self) {
        self.dismissed.store(true, Ordering::Release);
    }

    /// Whether the socket is to be disconnected.
    pub fn is_dismissed(&self) -> bool {
        self.dismissed.load(Ordering::Acquire)
    }

    /// Whether the caller has to disconnect the socket: once for each that is dismissed.
    pub fn begin(&self) -> bool {
        self.is_dismissed() && !self.begun.swap(true, Ordering::AcqRel)
    }
}
