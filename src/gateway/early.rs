//! The first words of a client, in the moment in which it is let in.
//!
//! Gap: socketioxide answers CONNECT before it takes the socket for connected, and until then drops what is emitted to
//! it. On a busy machine the thread that does the one can be interrupted before the other, and the client's first
//! event is handled by another thread meanwhile: one in 2000 clients heard nothing of its `authenticate`. There is no
//! upstream issue. Way round: that event waits for the other thread, which has only to go on. When upstream
//! takes the socket for connected first, this file can go.

use std::time::{Duration, Instant};

use socketioxide::socket::Socket;

use super::member::Member;
use crate::backplane::Adapter;

/// Longer than any thread is kept from going on; one that has been put out meanwhile is never connected.
const MOMENT: Duration = Duration::from_millis(100);

/// Waits until what is emitted to a socket reaches it.
pub(super) fn hear_out(socket: &Socket<Adapter>, member: &Member) {
    if member.was_connected() {
        return;
    }
    let end = Instant::now() + MOMENT;
    while !socket.connected() && Instant::now() < end {
        std::thread::yield_now();
    }
    member.note_connected();
}
