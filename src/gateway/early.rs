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
/// How often another thread is let go first: mostly it has only to be.
const YIELDS: u32 = 8;
/// Time between two looks when that was not enough.
const NAP: Duration = Duration::from_micros(500);

/// Waits until what is emitted to a socket reaches it.
pub(super) fn hear_out(socket: &Socket<Adapter>, member: &Member) {
    if member.was_connected() {
        return;
    }
    wait(|| socket.connected() || member.was_connected());
    member.note_connected();
}

/// Waits until letting a client in has ended, which its CONNECT was answered in the midst of: it may leave before, and a
/// CONNECT that it sends then would be taken for the same one again.
pub(super) fn let_in(member: &Member) {
    wait(|| member.is_let_in());
}

/// Waits for another thread to go on, without taking the processor that it may need.
#[expect(
    clippy::disallowed_methods,
    reason = "handlers are called in the loop that reads a client, which cannot be awaited in; no longer than a moment"
)]
fn wait(done: impl Fn() -> bool) {
    let end = Instant::now() + MOMENT;
    let mut yields = YIELDS;
    while !done() && Instant::now() < end {
        if yields > 0 {
            yields -= 1;
            std::thread::yield_now();
        } else {
            std::thread::sleep(NAP);
        }
    }
}
