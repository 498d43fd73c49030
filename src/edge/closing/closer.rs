//! Closes connections at the transport, at a pace: evenly over a time, with jitter, so that the clients that
//! come back do not come back in waves. Idle ones go first; a connection that is waited for (an ack is
//! pending) or that has not yet taken what was sent to it goes last.

use std::{
    iter,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use socketioxide_core::Sid;
use tokio::time::{Instant, sleep, sleep_until};

use super::close_order::CloseOrder;
use crate::{
    edge::connections::{
        close_reason::CloseReason, connection::Connection, relayed::RelayedSession,
        service::Service, sessions::Sessions,
    },
    tasks,
};

/// How often connections that are still there are asked to close once more.
const CLOSE_AGAIN: Duration = Duration::from_millis(250);
/// How often it is looked whether they are gone.
const LOOK_AGAIN: Duration = Duration::from_millis(5);
/// A polling client that is not waiting for an answer is, soon: it gets what is queued for it then. One that
/// does not ask for so long is closed all the same.
const NEXT_POLL: Duration = Duration::from_secs(2);

/// What ends the connections of a pod.
#[derive(Clone)]
pub(crate) struct Closer {
    sessions: Arc<Sessions>,
    service: Service,
}

/// What can be closed.
enum Closable {
    Connection(Weak<Connection>),
    /// A request of another pod's session, which this pod relays.
    Relayed(RelayedSession),
}

impl Closable {
    /// The session that it is of, by which all pods have them in the same order. So a WebSocket that passes through one of
    /// them is closed by both at about the same point of their time, when they close theirs at once, as at the end of a
    /// rollout; of two points of their own it would be the sooner one, and more clients would come back at the beginning.
    fn session(&self) -> Option<Sid> {
        match self {
            Self::Connection(connection) => connection.upgrade().and_then(|open| open.sid()),
            Self::Relayed(relayed) => Some(relayed.session),
        }
    }

    fn is_busy(&self) -> bool {
        match self {
            Self::Connection(connection) => {
                connection.upgrade().is_some_and(|open| open.backlog().is_busy())
            }
            Self::Relayed(_) => false,
        }
    }

    /// Whether it has ended by itself.
    fn is_gone(&self) -> bool {
        match self {
            Self::Connection(connection) => connection.strong_count() == 0,
            Self::Relayed(relayed) => relayed.end.strong_count() == 0,
        }
    }
}

impl Closer {
    pub fn new(sessions: Arc<Sessions>, service: Service) -> Self {
        Self { sessions, service }
    }

    /// Tells all connections to close, evenly over a time.
    pub async fn close_all(&self, window: Duration) {
        self.sessions.closing();
        let here = self.sessions.table.all().into_iter().map(Closable::Connection);
        let relayed = self.sessions.relayed.in_time().into_iter().map(Closable::Relayed);
        let mut all: Vec<_> = here.chain(relayed).collect();
        all.sort_by_cached_key(Closable::session);
        let order = CloseOrder::new(all.into_iter(), Closable::is_busy);
        let count = order.len();
        let closed = AtomicUsize::new(0);
        self.close(order, count, window, CloseReason::ServerShuttingDown, &closed).await;
    }

    /// Closes polling sessions whose queues are full, for as long as the pod lives.
    pub async fn close_overflowed(&self) {
        loop {
            for connection in self.sessions.to_close.take().await {
                self.end(Closable::Connection(connection), CloseReason::QueueFull);
            }
        }
    }

    /// Waits until all have gone.
    pub async fn gone(&self) {
        // Some may have been in the middle of their handshake, or of an upgrade.
        while !self.all_gone_within(CLOSE_AGAIN).await {
            for relayed in self.sessions.relayed.in_time() {
                self.end(Closable::Relayed(relayed), CloseReason::ServerShuttingDown);
            }
            for connection in self.sessions.table.all() {
                self.end(Closable::Connection(connection), CloseReason::ServerShuttingDown);
            }
        }
    }

    /// How many connections a share of all is.
    pub fn count(&self, share: f64) -> usize {
        (self.sessions.open() as f64 * share).round() as usize
    }

    /// Tells so many connections to close, evenly over a time, and counts them.
    pub async fn shed(&self, count: usize, window: Duration, closed: &AtomicUsize) {
        let order = CloseOrder::new(
            self.sessions.table.all().into_iter().map(Closable::Connection),
            Closable::is_busy,
        );
        self.close(order, count, window, CloseReason::Rebalanced, closed).await;
    }

    async fn close(
        &self,
        mut order: CloseOrder<Closable>,
        count: usize,
        window: Duration,
        reason: CloseReason,
        closed: &AtomicUsize,
    ) {
        let begun = Instant::now();
        let all = count == order.len();
        for turn in 0..count {
            let due = due(turn, count, window);
            if due > begun.elapsed() {
                sleep_until(begun + due).await;
            }
            let mut next = iter::from_fn(|| order.next(Closable::is_busy));
            // Where all are closed, the turn of one that has gone by itself is nobody's: with as many turns as connections that
            // are left, the others would have theirs sooner, and more come back in a second than were to.
            let next = if all { next.next() } else { next.find(|open| !open.is_gone()) };
            match next {
                Some(next) if next.is_gone() => {
                    if self.sessions.to_end() == 0 {
                        return;
                    }
                }
                Some(next) => {
                    self.end(next, reason);
                    closed.fetch_add(1, Ordering::Relaxed);
                }
                None => return,
            }
        }
    }

    async fn all_gone_within(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        while self.sessions.to_end() > 0 && begun.elapsed() < limit {
            sleep(LOOK_AGAIN).await;
        }
        self.sessions.to_end() == 0
    }

    /// Closes one at the transport, so that the stock client comes back by itself.
    fn end(&self, open: Closable, reason: CloseReason) {
        match open {
            Closable::Relayed(relayed) => {
                if let Some(end) = relayed.end.upgrade() {
                    end.notify_one();
                }
            }
            Closable::Connection(connection) => {
                let Some(connection) = connection.upgrade() else { return };
                connection.end_stream(reason);
                // During an upgrade it has both.
                if let Some(sid) = connection.polling_sid()
                    && connection.close.begin()
                {
                    let service = self.service.clone();
                    let (again, closing) = (self.service.clone(), connection.clone());
                    // It is being closed: nobody else would.
                    let otherwise = async move { again.end_polling(&closing, sid).await };
                    let end = async move {
                        if let Some(polling) = connection.polling() {
                            polling.await_idle_poll(NEXT_POLL).await;
                        }
                        // Not by the packet `1`, as Node's server does: clients in Python take it for a farewell, and stay
                        // away.
                        service.end_polling(&connection, sid).await;
                    };
                    tasks::spawn_or("polling end", end, otherwise);
                }
            }
        }
    }
}

/// When one of so many is closed: at a random time of its own part of the window. So no second has many more of them than
/// another.
fn due(turn: usize, count: usize, window: Duration) -> Duration {
    window.mul_f64((turn as f64 + fastrand::f64()) / count as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The most of these that are within a second.
    fn most_in_a_second(mut times: Vec<Duration>) -> usize {
        times.sort_unstable();
        let until =
            |from: Duration| times.partition_point(|at| *at < from + Duration::from_secs(1));
        (0..times.len()).map(|first| until(times[first]) - first).max().unwrap_or_default()
    }

    #[test]
    fn of_pods_that_close_at_once_no_second_has_over_a_twentieth_of_all_clients() {
        const WINDOW: Duration = Duration::from_secs(30);
        for (pods, each) in [(1, 200), (3, 200), (3, 10_000), (20, 500)] {
            let of_a_pod = || (0..each).map(|turn| due(turn, each, WINDOW));
            let all: Vec<_> = (0..pods).flat_map(|_| of_a_pod()).collect();
            let (most, all) = (most_in_a_second(all), pods * each);
            assert!(20 * most <= all, "{most} of {all} in a second");
        }
    }

    #[test]
    fn nor_where_most_pass_through_another_of_them() {
        const WINDOW: Duration = Duration::from_secs(30);
        for sessions in [2_000, 20_000] {
            let mut pods = vec![Vec::new(); 3];
            for session in 0..sessions {
                // Which pod has it, and which one the load balancer chose.
                let [home, chosen] = [(); 2].map(|()| fastrand::usize(..3));
                pods[home].push(session);
                if chosen != home {
                    pods[chosen].push(session);
                }
            }
            let mut closed = vec![WINDOW; sessions];
            for pod in &pods {
                for (turn, session) in pod.iter().enumerate() {
                    closed[*session] = closed[*session].min(due(turn, pod.len(), WINDOW));
                }
            }
            let most = most_in_a_second(closed);
            assert!(20 * most <= sessions, "{most} of {sessions} in a second");
        }
    }
}
