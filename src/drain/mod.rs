//! How a pod ends.
//!
//! The order never changes: say so first, refuse new sessions, then close what is there. A client
//! that is closed comes back at once, and must not meet a pod that still lets it in but has closed
//! its namespaces: it would be told "Invalid namespace", and the stock client then stays away.
//!
//! This version closes connections evenly over `drain.window`, in no order. A drain that looks at
//! what each of them is doing goes where `close_all` is called.

use std::{
    future::Future,
    time::{Duration, Instant},
};

use metrics::gauge;
use tokio::sync::watch;

use crate::{config::Drain, telemetry::metrics::PHASE};

/// Where a pod is in its life. It only moves down this list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ready; new sessions are welcome.
    Serving,
    /// Not ready, new sessions get 503, and those that are here are served as before.
    Announced,
    /// Connections are being closed.
    Closing,
    /// Nothing is left.
    Stopped,
}

impl Phase {
    const ALL: [Self; 4] = [Self::Serving, Self::Announced, Self::Closing, Self::Stopped];

    /// Its name in metrics, logs and `/readyz`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Announced => "announced",
            Self::Closing => "closing",
            Self::Stopped => "stopped",
        }
    }
}

/// The phase of a pod, shared by all that depend on it.
#[derive(Debug, Clone)]
pub struct Lifecycle(watch::Sender<Phase>);

impl Default for Lifecycle {
    fn default() -> Self {
        let lifecycle = Self(watch::Sender::new(Phase::Serving));
        lifecycle.report(Phase::Serving);
        lifecycle
    }
}

impl Lifecycle {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        *self.0.borrow()
    }

    /// Whether new sessions are welcome.
    pub fn accepts_sessions(&self) -> bool {
        self.phase() == Phase::Serving
    }

    /// Waits for a phase, or a later one.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives in `self`, so the channel is open.
        let _ = self.0.subscribe().wait_for(|now| *now >= phase).await;
    }

    /// Moves on to a phase; never back.
    pub fn advance(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let forward = phase > *now;
            *now = phase.max(*now);
            forward
        });
        self.report(self.phase());
    }

    fn report(&self, now: Phase) {
        for phase in Phase::ALL {
            gauge!(PHASE.name, "phase" => phase.name()).set(f64::from(u8::from(phase == now)));
        }
    }
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Connections when closing began.
    pub connections: usize,
    /// Those that were still there at `drain.timeout` and were cut.
    pub cut: usize,
    /// From the signal to the end.
    pub took: Duration,
}

/// Ends the work of a pod: announces, waits `delay`, closes every connection, and gives up waiting
/// for them at `timeout`. `hurry` ends the waiting early.
///
/// `connections` counts those that are open; `close_all` closes them over a time, and is done when none
/// is left; `finish` does what remains to be done once the pod is stopped.
pub async fn run(
    lifecycle: &Lifecycle,
    config: &Drain,
    hurry: impl Future<Output = ()>,
    connections: impl Fn() -> usize,
    close_all: impl AsyncFnOnce(Duration),
    finish: impl Future<Output = ()>,
) -> Outcome {
    let begun = Instant::now();
    tokio::pin!(hurry);
    lifecycle.advance(Phase::Announced);
    tracing::info!(delay = ?config.delay, connections = connections(), "stopping: new sessions are refused");
    let in_no_hurry = tokio::select! {
        () = tokio::time::sleep(config.delay) => true,
        () = &mut hurry => false,
    };

    lifecycle.advance(Phase::Closing);
    let open = connections();
    tracing::info!(connections = open, timeout = ?config.timeout, "closing connections");
    let (window, patience) = if in_no_hurry {
        (config.window, config.timeout)
    } else {
        (Duration::ZERO, Duration::ZERO)
    };
    tokio::select! {
        biased; // even in a hurry, each connection is asked to close once
        () = close_all(window) => {}
        () = &mut hurry, if in_no_hurry => {}
        () = tokio::time::sleep(patience) => {}
    }
    lifecycle.advance(Phase::Stopped);
    let cut = connections();
    finish.await;
    Outcome { connections: open, cut, took: begun.elapsed() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn config(delay: Duration, timeout: Duration) -> Drain {
        Drain { delay, window: Duration::ZERO, timeout }
    }

    #[tokio::test]
    async fn connections_are_closed_and_counted() {
        let lifecycle = Lifecycle::default();
        let open = AtomicUsize::new(3);
        let outcome = run(
            &lifecycle,
            &config(Duration::ZERO, Duration::from_secs(5)),
            std::future::pending(),
            || open.load(Ordering::SeqCst),
            async |window| {
                assert_eq!(window, Duration::ZERO);
                assert_eq!(lifecycle.phase(), Phase::Closing);
                open.store(0, Ordering::SeqCst);
            },
            async { assert_eq!(lifecycle.phase(), Phase::Stopped) },
        )
        .await;
        assert_eq!((outcome.connections, outcome.cut), (3, 0));
        assert_eq!(lifecycle.phase(), Phase::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_close_is_cut_at_the_timeout() {
        let lifecycle = Lifecycle::default();
        let begun = tokio::time::Instant::now();
        let config = config(Duration::from_secs(2), Duration::from_secs(3));
        let outcome = run(
            &lifecycle,
            &config,
            std::future::pending(),
            || 2,
            async |_| std::future::pending().await,
            std::future::ready(()),
        )
        .await;
        assert_eq!((outcome.connections, outcome.cut), (2, 2));
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test]
    async fn phases_only_move_forward() {
        let lifecycle = Lifecycle::default();
        lifecycle.advance(Phase::Closing);
        lifecycle.advance(Phase::Announced);
        assert_eq!(lifecycle.phase(), Phase::Closing);
        assert!(!lifecycle.accepts_sessions());
    }
}
