//! What other servers ask of this pod: which sockets it has, and which rooms.
//!
//! The answers take time, as much as there are sockets. So they have a thread of their own, which emits do not wait
//! for, and a queue that is bounded. A question that does not fit is dropped and counted: who asked hears that this
//! pod is silent.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
    mpsc::{Receiver, SyncSender, sync_channel},
};

use metrics::counter;
use tokio::runtime::Handle;

use super::{Cluster, local_sockets::describe};
use crate::{
    backplane::{
        Target,
        members::Members,
        redis::Sizable,
        wire::{Answer, Message},
    },
    tasks,
    telemetry::metrics::BACKPLANE_DROPPED,
};

/// Most questions that wait.
const MOST: usize = 256;
/// Bytes of them, but for one that is larger by itself.
const MOST_BYTES: usize = 1 << 20;

/// A question of another server.
pub(super) struct Asked {
    pub members: Arc<Members>,
    pub from: Option<String>,
    pub message: Message,
    /// Bytes that it came in.
    pub size: usize,
}

impl Sizable for Asked {
    fn size(&self) -> usize {
        self.size
    }
}

/// Questions that wait for their answers.
pub(super) struct Questioned<T = Asked> {
    queue: SyncSender<T>,
    /// Bytes in the queue.
    waiting: Arc<AtomicUsize>,
}

impl Questioned {
    /// Answers questions for as long as this lives.
    pub fn start(cluster: Arc<Cluster>) -> Self {
        let (this, questions) = Self::new();
        let (waiting, runtime) = (this.waiting.clone(), Handle::current());
        let thread = std::thread::Builder::new().name("backplane-questions".into());
        let thread = thread.spawn(move || {
            let _runtime = runtime.enter();
            for asked in questions {
                waiting.fetch_sub(asked.size, Ordering::AcqRel);
                tasks::piece("backplane questions", || cluster.answer(asked));
            }
        });
        if let Err(error) = thread {
            // All questions are dropped.
            tracing::error!(%error, "the thread that answers other servers cannot be started");
        }
        this
    }
}

impl<T: Sizable> Questioned<T> {
    fn new() -> (Self, Receiver<T>) {
        let (queue, questions) = sync_channel(MOST);
        (Self { queue, waiting: Arc::default() }, questions)
    }

    /// Lets a question wait for its answer.
    pub fn push(&self, asked: T) {
        let size = asked.size();
        // Only one thread adds.
        let waiting = self.waiting.fetch_add(size, Ordering::AcqRel);
        let fits = waiting == 0 || waiting + size <= MOST_BYTES;
        if !fits || self.queue.try_send(asked).is_err() {
            self.waiting.fetch_sub(size, Ordering::AcqRel);
            counter!(BACKPLANE_DROPPED.name, "reason" => "question queue full").increment(1);
            tracing::debug!("a question of another server is not answered: too many wait");
        }
    }
}

impl Cluster {
    fn answer(&self, Asked { members, from, message, .. }: Asked) {
        let (question, answer) = match message {
            Message::FetchSockets { question, target } => {
                let sockets = describe(Some(&self.pod), &members, &target);
                (question, Answer::Sockets(sockets))
            }
            Message::AllRooms { question } => (question, Answer::Rooms(members.lookup().rooms())),
            Message::SocketIds { question, rooms } => {
                let target = Target { rooms, except: Vec::new() };
                let ids = members
                    .recipients()
                    .matching(&target)
                    .iter()
                    .map(ToString::to_string)
                    .collect();
                (question, Answer::SocketIds(ids))
            }
            // Nothing else is a question that waits here.
            _ => return,
        };
        self.publisher().reply(members.local.path(), from.as_deref(), &question, answer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Of(usize);

    impl Sizable for Of {
        fn size(&self) -> usize {
            self.0
        }
    }

    #[test]
    fn questions_that_do_not_fit_are_dropped_and_the_queue_is_free_again_when_they_are_answered() {
        let (questioned, questions) = Questioned::new();
        let answered = || {
            let all: Vec<_> = questions.try_iter().collect();
            all.iter().for_each(|Of(size)| {
                questioned.waiting.fetch_sub(*size, Ordering::AcqRel);
            });
            all.len()
        };
        (0..1000).for_each(|_| questioned.push(Of(1)));
        assert_eq!((answered(), questioned.waiting.load(Ordering::Acquire)), (MOST, 0));
        // A large one, by itself.
        (0..10).for_each(|_| questioned.push(Of(2 * MOST_BYTES)));
        assert_eq!((answered(), questioned.waiting.load(Ordering::Acquire)), (1, 0));
        (0..10).for_each(|_| questioned.push(Of(MOST_BYTES / 4)));
        assert_eq!(answered(), 4);
    }
}
