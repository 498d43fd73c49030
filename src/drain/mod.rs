//! How a pod ends.
//!
//! The order never changes: say so first, refuse new sessions, then close what is there. A client
//! that is closed comes back at once, and must not meet a pod that still lets it in but has closed
//! its namespaces: it would be told "Invalid namespace", and the stock client then stays away.
//!
//! `server` calls [`run`], and says by [`Drainable`] how its parts end. All others only ask the [`Lifecycle`] in which phase
//! the pod is; the API and a panic in a task announce a drain by it. The folder needs `config` and `telemetry`.

mod lifecycle;
mod rollout;

use std::{convert::Infallible, future::Future, time::Duration};

use metrics::gauge;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until};

use crate::{
    config::Drain,
    telemetry::{
        metrics::DRAIN_REMAINING,
        traces::{self, Span},
    },
};

pub use lifecycle::{Lifecycle, Phase};
pub use rollout::Rollout;

/// How often the log says how far a drain has come.
const PROGRESS: Duration = Duration::from_secs(1);

/// The last of `drain.timeout` is for leaving the cluster, though connections are left: this at most.
const LEAVING: Duration = Duration::from_secs(1);
/// How long it may take in a hurry. Where Redis answers, that is enough.
const HASTE: Duration = Duration::from_millis(100);

/// What a drain does to its pod.
pub trait Drainable {
    /// Connections that are open.
    fn connections(&self) -> usize;
    /// Whether newer pods replace it.
    fn rollout(&self) -> impl Future<Output = Rollout>;
    /// Tells each connection to close, over this time.
    fn close_all(&self, window: Duration) -> impl Future<Output = ()>;
    /// Waits until all have gone.
    fn gone(&self) -> impl Future<Output = ()>;
    /// Leaves the cluster.
    fn leave(&self) -> impl Future<Output = ()>;
    /// Waits for the answers to requests that are under way.
    fn answered(&self) -> impl Future<Output = ()>;
}

/// How a drain went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// Connections when closing began.
    pub connections: usize,
    /// Those that were still there at `drain.timeout` and were cut.
    pub cut: usize,
    /// From the signal, or the announcement, to the end.
    pub took: Duration,
    /// How much of it was the wait for a rollout.
    pub waited: Duration,
    /// The task whose panic ended the pod, if one did.
    pub panicked: Option<&'static str>,
}

/// How it began to end.
struct Begun {
    at: Instant,
    /// For a rollout.
    waited: Duration,
    in_no_hurry: bool,
}

/// Waits until the pod is to end, by `stop` or by an announcement, and ends its work: after `stop` waits for a rollout,
/// `rollout_wait` at most; waits `delay`, closes every connection over `window`, leaves the cluster, and is done after
/// `timeout` whatever hangs. `hurry` ends all waiting.
pub async fn run(
    lifecycle: &Lifecycle,
    config: &Drain,
    stop: impl Future<Output = ()>,
    hurry: impl Future<Output = ()>,
    pod: &impl Drainable,
) -> Outcome {
    tokio::pin!(hurry);
    let Begun { at: begun, waited, in_no_hurry } =
        announced(lifecycle, config, stop, &mut hurry, pod).await;
    let span = traces::drain(begun.elapsed());
    if !waited.is_zero() {
        span.event_ago("waiting", begun.elapsed());
        span.event_ago("announced", begun.elapsed().saturating_sub(waited));
    }
    let ended = end(lifecycle, config, in_no_hurry, hurry, pod, &span);
    let (connections, cut) = span.scope().within(ended).await;
    let count = |count| i64::try_from(count).unwrap_or(i64::MAX);
    span.set("roomcast.drain.connections", count(connections));
    span.set("roomcast.drain.cut", count(cut));
    Outcome { connections, cut, took: begun.elapsed(), waited, panicked: None }
}

/// Closes the connections and leaves the cluster: how many there were, and how many of them were cut.
async fn end(
    lifecycle: &Lifecycle,
    config: &Drain,
    mut in_no_hurry: bool,
    mut hurry: impl Future<Output = ()> + Unpin,
    pod: &impl Drainable,
    span: &Span,
) -> (usize, usize) {
    span.event("closing");
    let end = Instant::now() + config.timeout;
    let open = pod.connections();
    tracing::info!(connections = open, window = ?config.window, timeout = ?config.timeout, "closing connections");
    let (window, limit) = if in_no_hurry {
        (config.window, config.timeout - for_leaving(config))
    } else {
        (Duration::ZERO, Duration::ZERO)
    };
    let closed = async {
        pod.close_all(window).await;
        lifecycle.advance(Phase::Flushing);
        pod.gone().await;
    };
    tokio::select! {
        biased; // even in a hurry, each connection is asked to close once
        () = closed => {}
        () = &mut hurry, if in_no_hurry => in_no_hurry = false,
        () = sleep(limit) => {}
        never = tell_progress(lifecycle, pod) => match never {},
    }
    let cut = pod.connections();
    span.event("flushing");
    gauge!(DRAIN_REMAINING.name).set(cut as f64);
    lifecycle.advance(Phase::Flushing);
    let left = async {
        pod.leave().await;
        lifecycle.advance(Phase::Stopped);
        pod.answered().await;
    };
    let hurried = async {
        if in_no_hurry {
            hurry.await;
        }
        sleep(HASTE).await;
    };
    tokio::select! {
        () = left => {}
        () = sleep_until(end) => tracing::warn!("drain.timeout is over: not waiting for what hangs"),
        () = hurried => tracing::warn!("in a hurry: not waiting for what hangs"),
    }
    lifecycle.advance(Phase::Stopped);
    (open, cut)
}

/// How much of `drain.timeout` connections may not take: never of the window, during which they are closed.
fn for_leaving(config: &Drain) -> Duration {
    (config.timeout.saturating_sub(config.window) / 4).min(LEAVING)
}

/// Serves until an announcement has stood for `delay`, or there is a hurry.
async fn announced(
    lifecycle: &Lifecycle,
    config: &Drain,
    stop: impl Future<Output = ()>,
    mut hurry: impl Future<Output = ()> + Unpin,
    pod: &impl Drainable,
) -> Begun {
    let delay = config.delay;
    tokio::pin!(stop);
    let mut told = false;
    loop {
        tokio::select! {
            () = &mut stop, if !told => {
                told = true;
                if config.rollout_wait.is_zero() {
                    lifecycle.announce(true);
                } else {
                    lifecycle.wait();
                }
            }
            () = lifecycle.reached(Phase::Waiting) => {}
        }
        let at = Instant::now();
        tracing::info!(
            ?delay,
            connections = pod.connections(),
            "stopping: new sessions are refused"
        );
        let mut waited = Duration::ZERO;
        if lifecycle.phase() == Phase::Waiting {
            let in_no_hurry = rollout::wait(lifecycle, config.rollout_wait, &mut hurry, pod).await;
            waited = at.elapsed();
            lifecycle.announce(true);
            if !in_no_hurry {
                lifecycle.begin_closing();
                return Begun { at, waited, in_no_hurry };
            }
        }
        let (over, progress) = (sleep(delay), tell_progress(lifecycle, pod));
        tokio::pin!(over, progress);
        let in_no_hurry = loop {
            tokio::select! {
                () = &mut stop, if !told => {
                    told = true;
                    lifecycle.announce(true);
                }
                () = &mut over => break true,
                () = &mut hurry => break false,
                () = lifecycle.resumed() => break true,
                never = &mut progress => match never {},
            }
        };
        if lifecycle.begin_closing() {
            return Begun { at, waited, in_no_hurry };
        }
        gauge!(DRAIN_REMAINING.name).set(0.0);
        tracing::info!("serving again: the drain was taken back");
    }
}

async fn tell_progress(lifecycle: &Lifecycle, pod: &impl Drainable) -> Infallible {
    let mut tick = interval(PROGRESS / 10);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut last = Instant::now();
    loop {
        tick.tick().await;
        let remaining = pod.connections();
        gauge!(DRAIN_REMAINING.name).set(remaining as f64);
        if last.elapsed() >= PROGRESS && lifecycle.phase() > Phase::Announced {
            last = Instant::now();
            tracing::info!(remaining, phase = lifecycle.phase().name(), "draining");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::{pending, ready},
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    struct Pod {
        lifecycle: Lifecycle,
        open: AtomicUsize,
        /// Connections that do not go.
        stuck: usize,
        /// Redis does not answer.
        hangs: bool,
        /// A rollout is under way for so long.
        rollout: Duration,
        begun: Instant,
    }

    impl Pod {
        fn new(open: usize, stuck: usize) -> Self {
            Self {
                lifecycle: Lifecycle::default(),
                open: AtomicUsize::new(open),
                stuck,
                hangs: false,
                rollout: Duration::ZERO,
                begun: Instant::now(),
            }
        }
    }

    impl Drainable for Pod {
        fn connections(&self) -> usize {
            self.open.load(Ordering::SeqCst)
        }

        async fn rollout(&self) -> Rollout {
            assert_eq!(self.lifecycle.phase(), Phase::Waiting);
            assert!(!self.lifecycle.accepts_sessions());
            let ready = usize::from(self.begun.elapsed() < self.rollout);
            Rollout::UnderWay { ready }
        }

        async fn close_all(&self, _: Duration) {
            assert_eq!(self.lifecycle.phase(), Phase::Closing);
            self.open.store(self.stuck, Ordering::SeqCst);
        }

        async fn gone(&self) {
            assert_eq!(self.lifecycle.phase(), Phase::Flushing);
            if self.stuck > 0 {
                pending().await
            }
        }

        async fn leave(&self) {
            assert_eq!(self.lifecycle.phase(), Phase::Flushing);
            if self.hangs {
                pending().await
            }
        }

        async fn answered(&self) {
            assert_eq!(self.lifecycle.phase(), Phase::Stopped);
        }
    }

    fn config(delay: u64, timeout: u64) -> Drain {
        let [delay, timeout] = [delay, timeout].map(Duration::from_secs);
        Drain { rollout_wait: Duration::ZERO, delay, window: Duration::ZERO, timeout }
    }

    #[tokio::test]
    async fn connections_are_closed_and_counted() {
        let pod = Pod::new(3, 0);
        let outcome = run(&pod.lifecycle, &config(0, 5), ready(()), pending(), &pod).await;
        assert_eq!((outcome.connections, outcome.cut), (3, 0));
        assert_eq!(pod.lifecycle.phase(), Phase::Stopped);
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_close_is_cut_at_the_timeout() {
        let pod = Pod::new(2, 2);
        let begun = tokio::time::Instant::now();
        let outcome = run(&pod.lifecycle, &config(2, 3), ready(()), pending(), &pod).await;
        assert_eq!((outcome.connections, outcome.cut), (2, 2));
        assert_eq!(begun.elapsed(), Duration::from_secs(5) - for_leaving(&config(2, 3)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_hangs_does_not_hang_the_end() {
        for stuck in [0, 2] {
            let pod = Pod { hangs: true, ..Pod::new(2, stuck) };
            let begun = tokio::time::Instant::now();
            let outcome = run(&pod.lifecycle, &config(2, 3), ready(()), pending(), &pod).await;
            assert_eq!(outcome.cut, stuck);
            assert_eq!(begun.elapsed(), Duration::from_secs(5), "one deadline for all of it");
            assert_eq!(pod.lifecycle.phase(), Phase::Stopped);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hurry_ends_whatever_is_waited_for() {
        // While it is announced, while connections are left, while the cluster is left.
        for (stuck, at) in [(0, 1), (2, 3), (0, 3)] {
            let pod = Pod { hangs: true, ..Pod::new(2, stuck) };
            let begun = tokio::time::Instant::now();
            let hurry = sleep(Duration::from_secs(at));
            run(&pod.lifecycle, &config(2, 3600), ready(()), hurry, &pod).await;
            let late = begun.elapsed() - Duration::from_secs(at);
            assert!(late < 2 * HASTE, "{late:?} after {at} s");
            assert_eq!(pod.lifecycle.phase(), Phase::Stopped);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_waits_for_the_rollout_before_the_delay_and_a_drain_by_hand_does_not() {
        let [second, most] = [1, 600].map(Duration::from_secs);
        let drain = Drain { rollout_wait: most, ..config(10, 3) };
        for (rollout, waited) in [(0, 0), (60, 60), (6000, 600)] {
            let pod = Pod { rollout: second * rollout, ..Pod::new(3, 0) };
            let outcome = run(&pod.lifecycle, &drain, ready(()), pending(), &pod).await;
            assert_eq!(outcome.waited, second * waited);
            assert_eq!(outcome.took, second * (waited + 10), "the delay comes after the wait");
        }
        let pod = Pod { rollout: second * 60, ..Pod::new(3, 0) };
        pod.lifecycle.announce(false);
        let outcome = run(&pod.lifecycle, &drain, pending(), pending(), &pod).await;
        assert_eq!((outcome.took, outcome.waited), (second * 10, Duration::ZERO));
        // A hurry skips the delay, too.
        let pod = Pod { rollout: second * 60, ..Pod::new(3, 0) };
        let outcome = run(&pod.lifecycle, &drain, ready(()), sleep(second * 5), &pod).await;
        assert_eq!((outcome.connections, outcome.waited), (3, second * 5));
        assert!(outcome.took - outcome.waited < 2 * HASTE, "{:?}", outcome.took);
    }

    #[test]
    fn leaving_takes_nothing_of_the_window() {
        let [window, timeout] = [10_000, 10_400].map(Duration::from_millis);
        let tight = Drain { window, timeout, ..config(0, 0) };
        assert_eq!(for_leaving(&tight), Duration::from_millis(100));
        assert_eq!(for_leaving(&config(0, 3600)), LEAVING);
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_that_was_taken_back_can_begin_again() {
        let pod = Pod::new(1, 0);
        let stop = async {
            pod.lifecycle.announce(false);
            sleep(Duration::from_secs(5)).await;
            assert!(pod.lifecycle.resume());
            sleep(Duration::from_secs(60)).await;
            assert_eq!(pod.lifecycle.phase(), Phase::Serving);
        };
        let begun = tokio::time::Instant::now();
        run(&pod.lifecycle, &config(10, 3), stop, pending(), &pod).await;
        assert_eq!(begun.elapsed(), Duration::from_secs(75));
    }

    #[tokio::test(start_paused = true)]
    async fn a_signal_makes_an_announced_drain_final() {
        let pod = Pod::new(1, 0);
        let stop = async {
            pod.lifecycle.announce(false);
            sleep(Duration::from_secs(5)).await;
        };
        let (begun, config) = (tokio::time::Instant::now(), config(10, 3));
        tokio::join!(run(&pod.lifecycle, &config, stop, pending(), &pod), async {
            sleep(Duration::from_secs(6)).await;
            assert!(!pod.lifecycle.resume());
        });
        assert_eq!(begun.elapsed(), Duration::from_secs(10), "the delay is not begun anew");
    }
}
