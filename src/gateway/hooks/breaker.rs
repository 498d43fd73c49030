//! The circuit breaker: a hook that fails several times in a row is not called for a while.
//!
//! closed → (failures in a row) → open → (time) → half-open: one call at a time finds out → closed, or open again.
//!
//! Only what says that the hook is not there counts: no connection, no answer in time, an answer of a gateway or of a
//! hook that has too much to do. A 500 or a garbled answer does not: it came in time, and a client that finds a way
//! to provoke it must not shut off the hook for all others.
//!
//! The crates for this (`failsafe`, `recloser`) let every call through once the time is over: each would wait
//! for a hook that still hangs.

use std::{sync::Arc, time::Duration};

use metrics::{Gauge, gauge};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::telemetry::metrics::HOOK_BREAKER;

/// The circuit breaker of one hook.
pub struct Breaker {
    label: String,
    /// Failures in a row that open it.
    failures: u32,
    /// How long it stays open.
    open: Duration,
    state: Mutex<State>,
    gauges: [(Phase, Gauge); 3],
}

struct State {
    phase: Phase,
    /// In a row, while it is closed.
    failed: u32,
    /// When it opened last.
    opened: Instant,
    /// Whether a call is finding out whether the hook is back.
    probing: bool,
    /// How often it opened: calls that began before do not count any longer.
    epoch: u64,
}

/// What the breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// All pass.
    Closed,
    /// None.
    Open,
    /// One at a time.
    HalfOpen,
}

impl Phase {
    fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Breaker {
    /// A closed one.
    pub fn new(label: &str, failures: u32, open: Duration) -> Arc<Self> {
        let gauges = [Phase::Closed, Phase::Open, Phase::HalfOpen].map(|phase| {
            let labels = [("hook", label.to_owned()), ("state", phase.name().to_owned())];
            (phase, gauge!(HOOK_BREAKER.name, &labels))
        });
        let breaker = Self {
            label: label.to_owned(),
            failures,
            open,
            state: Mutex::new(State {
                phase: Phase::Closed,
                failed: 0,
                opened: Instant::now(),
                probing: false,
                epoch: 0,
            }),
            gauges,
        };
        breaker.update_gauges(Phase::Closed);
        Arc::new(breaker)
    }

    /// Lets a call through, or not.
    pub fn admit(self: &Arc<Self>) -> Option<BreakerPermit> {
        let mut state = self.state.lock();
        if state.phase == Phase::Open && state.opened.elapsed() >= self.open {
            self.set_phase(&mut state, Phase::HalfOpen);
        }
        match state.phase {
            Phase::Closed => {}
            Phase::HalfOpen if !state.probing => state.probing = true,
            Phase::HalfOpen | Phase::Open => return None,
        }
        let probe = state.phase == Phase::HalfOpen;
        Some(BreakerPermit { breaker: self.clone(), probe, epoch: state.epoch })
    }

    fn set_phase(&self, state: &mut State, phase: Phase) {
        state.phase = phase;
        state.failed = 0;
        state.probing = false;
        if phase == Phase::Open {
            state.opened = Instant::now();
            state.epoch += 1;
        }
        self.update_gauges(phase);
    }

    fn update_gauges(&self, current: Phase) {
        for (phase, gauge) in &self.gauges {
            gauge.set(if *phase == current { 1.0 } else { 0.0 });
        }
    }
}

/// A call that the breaker lets through. If it is dropped, as when its client goes, it says nothing of the hook.
pub struct BreakerPermit {
    breaker: Arc<Breaker>,
    probe: bool,
    epoch: u64,
}

impl BreakerPermit {
    /// The hook has answered.
    pub fn answered(self) {
        let mut state = self.breaker.state.lock();
        if state.epoch != self.epoch {
            return;
        }
        state.failed = 0;
        if self.probe {
            self.breaker.set_phase(&mut state, Phase::Closed);
            tracing::info!(hook = self.breaker.label, "the hook is back");
        }
    }

    /// The hook has not answered.
    pub fn failed(self) {
        let mut state = self.breaker.state.lock();
        if state.epoch != self.epoch {
            return;
        }
        state.failed += 1;
        if self.probe || state.phase == Phase::Closed && state.failed >= self.breaker.failures {
            self.breaker.set_phase(&mut state, Phase::Open);
            if !self.probe {
                let open = self.breaker.open;
                tracing::warn!(
                    hook = self.breaker.label,
                    ?open,
                    "the hook fails; it is left alone"
                );
            }
        }
    }
}

impl Drop for BreakerPermit {
    fn drop(&mut self) {
        let mut state = self.breaker.state.lock();
        if self.probe && state.epoch == self.epoch {
            state.probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    const OPEN: Duration = Duration::from_secs(10);

    impl Breaker {
        fn phase(&self) -> Phase {
            self.state.lock().phase
        }
    }

    fn breaker() -> Arc<Breaker> {
        Breaker::new("http://hook/", 3, OPEN)
    }

    fn fail(breaker: &Arc<Breaker>, times: usize) {
        for _ in 0..times {
            breaker.admit().unwrap().failed();
        }
    }

    #[test]
    fn each_state_has_a_series_from_the_start() {
        let mut names = [Phase::Closed, Phase::Open, Phase::HalfOpen].map(Phase::name);
        names.sort_unstable();
        assert_eq!(names.as_slice(), HOOK_BREAKER.values_of("state"));
    }

    #[tokio::test(start_paused = true)]
    async fn failures_in_a_row_open_it() {
        let breaker = breaker();
        fail(&breaker, 2);
        breaker.admit().unwrap().answered();
        fail(&breaker, 2);
        assert_eq!(breaker.phase(), Phase::Closed);
        fail(&breaker, 1);
        assert_eq!(breaker.phase(), Phase::Open);
        assert!(breaker.admit().is_none());
        advance(OPEN - Duration::from_millis(1)).await;
        assert!(breaker.admit().is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_at_a_time_finds_out() {
        let breaker = breaker();
        fail(&breaker, 3);
        advance(OPEN).await;
        let probe = breaker.admit().unwrap();
        assert!(breaker.admit().is_none());
        probe.failed();
        assert_eq!(breaker.phase(), Phase::Open);
        assert!(breaker.admit().is_none());
        advance(OPEN).await;
        // A probe whose client goes leaves its place to another one.
        drop(breaker.admit().unwrap());
        breaker.admit().unwrap().answered();
        assert_eq!(breaker.phase(), Phase::Closed);
        fail(&breaker, 2);
        assert_eq!(breaker.phase(), Phase::Closed);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_from_before_it_opened_do_not_count() {
        let breaker = breaker();
        let late = [breaker.admit().unwrap(), breaker.admit().unwrap()];
        fail(&breaker, 3);
        let [answered, failed] = late;
        answered.answered();
        assert_eq!(breaker.phase(), Phase::Open);
        advance(OPEN).await;
        let probe = breaker.admit().unwrap();
        failed.failed();
        assert_eq!(breaker.phase(), Phase::HalfOpen);
        assert!(breaker.admit().is_none());
        probe.answered();
        assert_eq!(breaker.phase(), Phase::Closed);
    }
}
