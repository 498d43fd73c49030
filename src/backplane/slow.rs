//! Sockets whose clients have not taken all that was sent to them, and how many packets wait since.
//!
//! Gap: a broadcast says how many queues were full, not whose (no upstream issue was found). But a queue only
//! fills while its client takes nothing, and the edge sees that. So packets are counted for those sockets
//! alone, and a full queue is that of the socket with the most of them. Nothing is counted while all take
//! what they are sent.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use socketioxide_core::Sid;

/// The sockets that are behind, of all namespaces: a client has one id in all that it connects to.
#[derive(Debug, Default)]
pub struct Slow {
    waiting: Mutex<HashMap<Sid, u64>>,
    /// How many there are, to be read without the lock.
    sockets: AtomicUsize,
}

impl Slow {
    /// A client does not take what it is sent. Twice does no harm.
    pub fn begins(&self, socket: Sid) {
        let mut waiting = self.waiting.lock();
        waiting.entry(socket).or_default();
        self.sockets.store(waiting.len(), Ordering::Release);
    }

    /// It has taken all, or has gone.
    pub fn ends(&self, socket: Sid) {
        let mut waiting = self.waiting.lock();
        waiting.remove(&socket);
        self.sockets.store(waiting.len(), Ordering::Release);
    }

    /// Whether packets wait for it.
    pub fn has_waiting(&self, socket: Sid) -> bool {
        self.sockets.load(Ordering::Acquire) > 0
            && self.waiting.lock().get(&socket).is_some_and(|count| *count > 0)
    }

    /// One more packet waits for those that get it.
    pub(super) fn note(&self, gets: impl Fn(Sid) -> bool) {
        if self.sockets.load(Ordering::Acquire) > 0 {
            let mut waiting = self.waiting.lock();
            waiting
                .iter_mut()
                .filter(|(socket, _)| gets(**socket))
                .for_each(|(_, count)| *count += 1);
        }
    }

    /// So many of those that get a packet, those with the most waiting first.
    pub(super) fn furthest(&self, count: usize, gets: impl Fn(Sid) -> bool) -> Vec<Sid> {
        let waiting = self.waiting.lock();
        let mut sockets: Vec<_> = waiting.iter().filter(|(socket, _)| gets(**socket)).collect();
        sockets.sort_unstable_by_key(|(_, waiting)| std::cmp::Reverse(**waiting));
        sockets.into_iter().take(count).map(|(socket, _)| *socket).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_most_waiting_is_furthest_behind() {
        let slow = Slow::default();
        let [a, b, c] = [Sid::new(), Sid::new(), Sid::new()];
        slow.note(|_| true);
        slow.begins(a);
        slow.note(|_| true);
        slow.begins(b);
        slow.begins(c);
        slow.note(|socket| socket != c);
        assert_eq!([a, b, c].map(|socket| slow.has_waiting(socket)), [true, true, false]);
        assert_eq!(slow.furthest(2, |_| true), [a, b]);
        assert_eq!(slow.furthest(2, |socket| socket == c), [c]);
        slow.ends(a);
        slow.begins(a);
        assert_eq!(slow.furthest(1, |_| true), [b], "it has taken all since");
    }
}
