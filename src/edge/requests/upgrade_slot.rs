//! How a request that becomes a WebSocket tells the listener what to do with its TCP stream, once HTTP lets go of it.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::{net::TcpStream, sync::mpsc};

/// Takes the TCP stream over from HTTP. The bytes are what the client sent right behind its handshake. The sender is held
/// by what the listener has to wait for when the pod ends.
pub(crate) type TakeOver = Box<dyn FnOnce(TcpStream, Bytes, mpsc::Sender<()>) + Send>;

/// Where the last request of a TCP connection leaves its [`TakeOver`], if its upgrade was accepted. Clones are the same.
#[derive(Clone, Default)]
pub(crate) struct UpgradeSlot(Arc<Mutex<Option<TakeOver>>>);

impl UpgradeSlot {
    pub fn put(&self, take_over: impl FnOnce(TcpStream, Bytes, mpsc::Sender<()>) + Send + 'static) {
        *self.0.lock() = Some(Box::new(take_over));
    }

    pub fn take(&self) -> Option<TakeOver> {
        self.0.lock().take()
    }
}
