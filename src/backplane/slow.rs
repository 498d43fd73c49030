//! Sockets whose clients have not taken all that was sent to them, and how much waits since: packets and bytes.
//!
//! Gap: a broadcast says how many queues were full, not whose, and queues are counted in packets (no upstream issue was
//! found). But a queue only fills while its client takes nothing, and the edge sees that. So what is sent is counted for those
//! sockets alone: a full queue is that of the socket with the most packets, and one with more bytes than
//! `limits.send_queue_bytes` is full too. Nothing is counted while all take what they are sent.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicUsize, Ordering},
};

use parking_lot::Mutex;
use socketioxide_core::{Sid, Value};

/// The sockets that are behind, of all namespaces: a client has one id in all that it connects to.
#[derive(Debug, Default)]
pub struct Slow {
    waiting: Mutex<HashMap<Sid, Waiting>>,
    /// How many there are, to be read without the lock.
    sockets: AtomicUsize,
    /// Bytes that may wait for each.
    limit: usize,
}

/// What waits for one client.
#[derive(Debug, Default)]
struct Waiting {
    packets: u64,
    bytes: usize,
    /// Its WebSocket does not take what is written; else it polls, and may do so again in a moment.
    blocked: bool,
}

impl Slow {
    /// None yet. So many bytes may wait for each.
    pub fn new(limit: usize) -> Self {
        Self { limit, ..Self::default() }
    }

    /// A client does not take what it is sent; `blocked` if its WebSocket does not take what is written, and not if it has
    /// no poll under way. Twice does no harm.
    pub fn begins(&self, socket: Sid, blocked: bool) {
        let mut waiting = self.waiting.lock();
        waiting.entry(socket).or_default().blocked |= blocked;
        self.sockets.store(waiting.len(), Ordering::Release);
    }

    /// It has taken all, or has gone.
    pub fn ends(&self, socket: Sid) {
        let mut waiting = self.waiting.lock();
        waiting.remove(&socket);
        self.sockets.store(waiting.len(), Ordering::Release);
    }

    /// How many are behind.
    pub(super) fn count(&self) -> usize {
        self.sockets.load(Ordering::Acquire)
    }

    /// Packets and bytes that were sent to each since it had taken all; without those that only have no poll under way.
    pub fn behind(&self) -> Vec<(u64, usize)> {
        let waiting = self.waiting.lock();
        let behind = waiting.values().filter(|one| one.blocked || one.packets > 0);
        behind.map(|one| (one.packets, one.bytes)).collect()
    }

    /// How many packets have been sent to a client since it is behind.
    pub fn waiting(&self, socket: Sid) -> u64 {
        if self.count() == 0 {
            return 0;
        }
        self.waiting.lock().get(&socket).map_or(0, |waiting| waiting.packets)
    }

    /// Whether packets wait for it.
    pub fn has_waiting(&self, socket: Sid) -> bool {
        self.count() > 0
            && self.waiting.lock().get(&socket).is_some_and(|waiting| waiting.packets > 0)
    }

    /// A packet of so many bytes waits for those of these sockets that are behind. Gives those for which too much does.
    pub(super) fn note(&self, sockets: impl IntoIterator<Item = Sid>, bytes: usize) -> Vec<Sid> {
        let mut waiting = self.waiting.lock();
        let add = |socket: &Sid| waiting.get_mut(socket).is_some_and(|one| self.add(one, bytes));
        sockets.into_iter().filter(add).collect()
    }

    /// The same for all that are behind and get it: for a packet that more get than are behind.
    pub(super) fn note_all(&self, gets: impl Fn(Sid) -> bool, bytes: usize) -> Vec<Sid> {
        let mut waiting = self.waiting.lock();
        let full = waiting.iter_mut().filter(|(socket, _)| gets(**socket));
        full.filter_map(|(socket, one)| self.add(one, bytes).then_some(*socket)).collect()
    }

    /// Says whether there is now more than there may be.
    fn add(&self, waiting: &mut Waiting, bytes: usize) -> bool {
        waiting.packets += 1;
        waiting.bytes = waiting.bytes.saturating_add(bytes);
        waiting.bytes > self.limit
    }

    /// So many of those that get a packet, those with the most waiting first.
    pub(super) fn most_behind(&self, count: usize, gets: impl Fn(Sid) -> bool) -> Vec<Sid> {
        let waiting = self.waiting.lock();
        let mut sockets: Vec<_> = waiting.iter().filter(|(socket, _)| gets(**socket)).collect();
        sockets.sort_unstable_by_key(|(_, waiting)| std::cmp::Reverse(waiting.packets));
        sockets.into_iter().take(count).map(|(socket, _)| *socket).collect()
    }
}

/// Bytes of an event, with its attachments.
pub(super) fn size(payload: &Value) -> usize {
    match payload {
        Value::Str(text, attachments) => {
            let attachments = attachments.iter().flatten().map(bytes::Bytes::len);
            text.len() + attachments.sum::<usize>()
        }
        Value::Bytes(bytes) => bytes.len(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_most_waiting_is_furthest_behind() {
        let slow = Slow::new(usize::MAX);
        let [a, b, c] = [Sid::new(), Sid::new(), Sid::new()];
        slow.note_all(|_| true, 1);
        slow.begins(a, false);
        slow.note_all(|_| true, 1);
        slow.begins(b, false);
        slow.begins(c, false);
        slow.note([a, b], 1);
        assert_eq!([a, b, c].map(|socket| slow.has_waiting(socket)), [true, true, false]);
        assert_eq!(slow.most_behind(2, |_| true), [a, b]);
        assert_eq!(slow.most_behind(2, |socket| socket == c), [c]);
        slow.ends(a);
        slow.begins(a, false);
        assert_eq!(slow.most_behind(1, |_| true), [b], "it has taken all since");
    }

    #[test]
    fn who_has_too_many_bytes_waiting_is_full_and_nobody_else() {
        let slow = Slow::new(100);
        let [a, b, fast] = [Sid::new(), Sid::new(), Sid::new()];
        slow.begins(a, false);
        slow.begins(b, false);
        assert!(slow.note([a, fast], 60).is_empty());
        assert!(slow.note_all(|socket| socket == b, 100).is_empty());
        assert_eq!(slow.note([a, fast], 41), [a]);
        assert_eq!(slow.note_all(|_| true, 1).len(), 2);
        slow.ends(b);
        slow.begins(b, false);
        assert!(slow.note([b], 100).is_empty(), "it has taken all since");
    }

    #[test]
    fn who_has_no_poll_under_way_is_behind_once_something_waits_for_it() {
        let slow = Slow::new(usize::MAX);
        let [polls, blocked] = [Sid::new(), Sid::new()];
        slow.begins(polls, false);
        slow.begins(blocked, true);
        assert_eq!(slow.behind(), [(0, 0)]);
        slow.note([polls], 7);
        slow.note([polls], 7);
        let mut behind = slow.behind();
        behind.sort_unstable();
        assert_eq!(behind, [(0, 0), (2, 14)]);
        slow.ends(polls);
        slow.ends(blocked);
        assert!(slow.behind().is_empty());
    }
}
