//! The deadlines of the sockets of a namespace: when they must have authenticated, or again. One timer serves all of them.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use tokio::{sync::Notify, time::sleep_until};

use crate::tasks;

/// A time, and a number that tells apart deadlines at the same time.
type Deadline = (Instant, u64);

/// Something that has one deadline at most.
pub(in crate::gateway) trait HasDeadline: Send + Sync + 'static {
    /// Where its deadline is noted.
    fn deadline(&self) -> &DeadlineSlot;
    /// Its deadline has passed.
    fn expire(self: Arc<Self>);
    /// That panicked: it is to go.
    fn give_up(&self);
}

/// The deadline of a socket. A box, because many sockets have none.
#[derive(Default)]
pub(in crate::gateway) struct DeadlineSlot(Mutex<Option<Box<Deadline>>>);

impl DeadlineSlot {
    fn get(&self) -> Option<Deadline> {
        self.0.lock().as_deref().copied()
    }

    fn replace(&self, deadline: Option<Deadline>) -> Option<Deadline> {
        let mut slot = self.0.lock();
        std::mem::replace(&mut *slot, deadline.map(Box::new)).map(|before| *before)
    }
}

/// The deadlines of a namespace. A socket removes its own when it goes.
#[derive(Default)]
pub(in crate::gateway) struct Deadlines {
    queue: Mutex<BTreeMap<Deadline, Weak<dyn HasDeadline>>>,
    next: AtomicU64,
    /// The earliest deadline may have changed.
    changed: Notify,
}

impl Deadlines {
    /// Replaces the deadline of a socket.
    pub fn set<T: HasDeadline>(&self, socket: &Arc<T>, at: Option<Instant>) {
        let deadline = at.map(|at| (at, self.next.fetch_add(1, Ordering::Relaxed)));
        let before = socket.deadline().replace(deadline);
        if before.is_none() && deadline.is_none() {
            return;
        }
        let weak: Weak<T> = Arc::downgrade(socket);
        let mut queue = self.queue.lock();
        if let Some(before) = before {
            queue.remove(&before);
        }
        if let Some(deadline) = deadline {
            queue.insert(deadline, weak);
            if queue.first_key_value().is_some_and(|(first, _)| *first == deadline) {
                self.changed.notify_one();
            }
        }
    }

    /// Removes the deadline of a socket that goes.
    pub fn remove(&self, socket: &impl HasDeadline) {
        if let Some(deadline) = socket.deadline().replace(None) {
            self.queue.lock().remove(&deadline);
        }
    }

    /// Expires each socket whose deadline passes, for as long as this runs.
    pub async fn run(&self) -> Infallible {
        loop {
            let first = self.queue.lock().first_key_value().map(|((at, _), _)| *at);
            let wait = async {
                match first {
                    Some(at) => sleep_until(at.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = wait => {}
                () = self.changed.notified() => continue,
            }
            for socket in self.take_due(Instant::now()) {
                let expire = || socket.clone().expire();
                if tasks::attempt("namespace deadlines", expire).is_none() {
                    socket.give_up();
                }
            }
        }
    }

    /// Takes the sockets whose deadlines have passed.
    fn take_due(&self, now: Instant) -> Vec<Arc<dyn HasDeadline>> {
        let mut queue = self.queue.lock();
        let later = queue.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut *queue, later);
        drop(queue);
        // Two tasks may set the deadline of a socket at once. Only the one that the socket has counts.
        let current = |(deadline, socket): (Deadline, Weak<dyn HasDeadline>)| {
            socket.upgrade().filter(|socket| socket.deadline().get() == Some(deadline))
        };
        due.into_iter().filter_map(current).collect()
    }
}
