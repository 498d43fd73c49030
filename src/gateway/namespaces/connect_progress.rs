//! How far a socket has come: connected, let in, announced to the program.

use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Once;

/// How far a socket has come.
pub(in crate::gateway) struct ConnectProgress {
    /// Whether socketioxide has been seen to take it for connected.
    connected: AtomicBool,
    /// Whether everything has been done that comes with its CONNECT.
    complete: AtomicBool,
    /// Done once the program has been told of it, or will not be.
    announced: Once,
}

impl ConnectProgress {
    pub fn new() -> Self {
        Self {
            connected: AtomicBool::new(false),
            complete: AtomicBool::new(false),
            announced: Once::new(),
        }
    }

    /// Whether the socket has been connected. It may have disconnected since.
    pub fn was_connected(&self) -> bool {
        self.connected.load(Ordering::Relaxed)
    }

    /// The socket is connected, or will never be: nobody has to wait for it.
    pub fn set_connected(&self) {
        self.connected.store(true, Ordering::Relaxed);
    }

    /// Whether everything has been done that comes with its CONNECT.
    pub fn is_complete(&self) -> bool {
        self.complete.load(Ordering::Acquire)
    }

    /// Everything has been done that comes with its CONNECT.
    pub fn set_complete(&self) {
        self.complete.store(true, Ordering::Release);
    }

    /// Whether the program has been told of the socket.
    pub fn is_announced(&self) -> bool {
        self.announced.state().done()
    }

    /// Tells the program of the socket, if nobody has. Others wait meanwhile. Returns whether this call did.
    pub fn announce(&self, tell: impl FnOnce()) -> bool {
        let mut first = false;
        self.announced.call_once(|| {
            first = true;
            tell();
        });
        first
    }

    /// The socket has gone: the program is not told of it any more. Waits for the end of a call that tells it.
    pub fn never_announce(&self) {
        self.announced.call_once(|| ());
    }
}
