//! When sockets must have authenticated, or must again: one timer for all of a namespace, not one for each.

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

use super::member::Member;

/// A time, and a number that tells apart those that have the same.
pub(super) type Deadline = (Instant, u64);

/// The deadlines of a namespace. One for each socket at most, gone with it.
#[derive(Default)]
pub(super) struct Deadlines {
    queue: Mutex<BTreeMap<Deadline, Weak<Member>>>,
    next: AtomicU64,
    /// The first one may be another now.
    changed: Notify,
}

impl Deadlines {
    /// From now on, this is the deadline of a socket; none, if it has none.
    pub fn set(&self, member: &Arc<Member>, at: Option<Instant>) {
        let deadline = at.map(|at| (at, self.next.fetch_add(1, Ordering::Relaxed)));
        let before = member.exchange_deadline(deadline);
        if before.is_none() && deadline.is_none() {
            return;
        }
        let mut queue = self.queue.lock();
        if let Some(before) = before {
            queue.remove(&before);
        }
        if let Some(deadline) = deadline {
            queue.insert(deadline, Arc::downgrade(member));
            if queue.first_key_value().is_some_and(|(first, _)| *first == deadline) {
                self.changed.notify_one();
            }
        }
    }

    /// Forgets that of a socket that is gone.
    pub fn forget(&self, member: &Member) {
        if let Some(deadline) = member.exchange_deadline(None) {
            self.queue.lock().remove(&deadline);
        }
    }

    /// Calls `over` for each socket whose deadline has come, for as long as this runs.
    pub async fn watch(&self, over: impl Fn(&Arc<Member>)) -> Infallible {
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
            for member in self.due(Instant::now()) {
                over(&member);
            }
        }
    }

    /// Takes those that have come.
    fn due(&self, now: Instant) -> Vec<Arc<Member>> {
        let mut queue = self.queue.lock();
        let later = queue.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut *queue, later);
        drop(queue);
        // Only those that have not got another meanwhile: two may be set at once.
        let still = |(deadline, member): (Deadline, Weak<Member>)| {
            member.upgrade().filter(|member| member.deadline() == Some(deadline))
        };
        due.into_iter().filter_map(still).collect()
    }
}
