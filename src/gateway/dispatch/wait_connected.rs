//! Waits until a socket is connected, before its first event is handled.
//!
//! Gap: socketioxide answers CONNECT before it takes the socket for connected, and until then drops what is emitted to
//! it. On a busy machine the thread that does the one can be interrupted before the other, and the client's first
//! event is handled by another thread meanwhile: one in 2000 clients heard nothing of its `authenticate`. There is no
//! upstream issue. Way round: that event waits for the other thread, which has only to go on. When upstream
//! takes the socket for connected first, this file can go.

use std::time::{Duration, Instant};

use socketioxide::socket::Socket;

use crate::{backplane::Adapter, gateway::namespaces::connect_progress::ConnectProgress};

/// Longest wait. It is longer than any thread is interrupted. A socket that has disconnected meanwhile is never connected.
const MAX_WAIT: Duration = Duration::from_millis(100);
/// How often other threads are let run before this one sleeps: mostly that is enough.
const YIELDS: u32 = 8;
/// Sleep between two checks after that.
const SLEEP: Duration = Duration::from_micros(500);

/// Waits until events that are emitted to a socket reach it.
pub(in crate::gateway) fn wait_connected(socket: &Socket<Adapter>, progress: &ConnectProgress) {
    if progress.was_connected() {
        return;
    }
    wait(|| socket.connected() || progress.was_connected());
    progress.set_connected();
}

/// Waits until everything has been done that comes with a CONNECT. The CONNECT is answered in the midst of it, so a client may
/// leave before, and a CONNECT that it sends then would be taken for the first one again.
pub(in crate::gateway) fn wait_complete(progress: &ConnectProgress) {
    wait(|| progress.is_complete());
}

/// Waits for another thread to go on, without taking the processor that it may need.
#[expect(
    clippy::disallowed_methods,
    reason = "handlers are called in the loop that reads a client, which cannot be awaited in; no longer than a moment"
)]
fn wait(done: impl Fn() -> bool) {
    let end = Instant::now() + MAX_WAIT;
    let mut yields = YIELDS;
    while !done() && Instant::now() < end {
        if yields > 0 {
            yields -= 1;
            std::thread::yield_now();
        } else {
            std::thread::sleep(SLEEP);
        }
    }
}
