//! How busy the runtime is, and how late its tasks run.

use std::{convert::Infallible, time::Duration};

use metrics::{gauge, histogram};
use tokio::{
    runtime::Handle,
    time::{Instant, sleep_until},
};

use super::metrics::{RUNTIME_BUSY, RUNTIME_DELAY};

/// How often a timer wakes a task that looks how late it is.
const TURN: Duration = Duration::from_millis(100);
/// Over so long it is looked how busy the workers are.
const SPAN: Duration = Duration::from_secs(5);

/// Measures the runtime that it runs on, until it is dropped.
pub async fn watch() -> Infallible {
    let (busy, delay) = (gauge!(RUNTIME_BUSY.name), histogram!(RUNTIME_DELAY.name));
    let (mut before, mut since) = (worked(), Instant::now());
    loop {
        let due = Instant::now() + TURN;
        sleep_until(due).await;
        let now = Instant::now();
        delay.record(now.saturating_duration_since(due));
        let passed = now - since;
        if passed >= SPAN {
            let worked = worked();
            busy.set(share(worked.saturating_sub(before), passed, workers()));
            (before, since) = (worked, now);
        }
    }
}

fn workers() -> usize {
    Handle::current().metrics().num_workers()
}

/// How long all workers together had tasks to run. A worker says so when it next has none.
fn worked() -> Duration {
    let metrics = Handle::current().metrics();
    (0..metrics.num_workers()).map(|worker| metrics.worker_total_busy_duration(worker)).sum()
}

/// Of what the workers could have done.
fn share(worked: Duration, passed: Duration, workers: usize) -> f64 {
    let most = passed.as_secs_f64() * workers as f64;
    // What was begun before is told after.
    (worked.as_secs_f64() / most).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods)]

    use super::*;

    #[test]
    fn a_share_is_of_all_workers_and_never_above_1() {
        let seconds = Duration::from_secs;
        assert!((share(seconds(5), seconds(5), 2) - 0.5).abs() < 1e-9);
        assert!((share(seconds(7), seconds(5), 1) - 1.0).abs() < 1e-9);
        assert!(share(Duration::ZERO, seconds(5), 4).abs() < 1e-9);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_worker_that_works_is_busy() {
        let before = worked();
        let work = Duration::from_millis(20);
        let task = tokio::spawn(async move {
            let begun = Instant::now();
            while begun.elapsed() < work {
                std::hint::spin_loop();
            }
        });
        assert!(task.await.is_ok());
        // It is told when the worker next has nothing to do.
        let begun = Instant::now();
        while worked() - before < work {
            assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", worked() - before);
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}
