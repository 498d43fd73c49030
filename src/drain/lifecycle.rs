//! Where a pod is in its life, shared by all that depend on it.

use metrics::gauge;
use tokio::sync::watch;

use crate::telemetry::metrics::PHASE;

/// Where a pod is in its life. It moves down this list, and back only from `Announced` to `Serving`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Ready; new sessions are welcome.
    Serving,
    /// Not ready, new sessions get 503, and those that are here are served as before, while newer pods replace this
    /// one and those of its kind.
    Waiting,
    /// Not ready, new sessions get 503, and those that are here are served as before.
    Announced,
    /// Connections are being closed.
    Closing,
    /// All have been told; what is queued for them is written, then the pod leaves its cluster.
    Flushing,
    /// Nothing is left.
    Stopped,
}

impl Phase {
    const ALL: [Self; 6] = [
        Self::Serving,
        Self::Waiting,
        Self::Announced,
        Self::Closing,
        Self::Flushing,
        Self::Stopped,
    ];

    /// Its name in metrics, logs, `/readyz` and the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Serving => "serving",
            Self::Waiting => "waiting",
            Self::Announced => "announced",
            Self::Closing => "closing",
            Self::Flushing => "flushing",
            Self::Stopped => "stopped",
        }
    }
}

/// The phase of a pod. Clones are the same.
#[derive(Debug, Clone)]
pub struct Lifecycle(watch::Sender<State>);

#[derive(Debug, Clone, Copy)]
struct State {
    phase: Phase,
    /// A drain that was announced is not taken back.
    bound: bool,
}

impl Default for Lifecycle {
    fn default() -> Self {
        let lifecycle = Self(watch::Sender::new(State { phase: Phase::Serving, bound: false }));
        report(Phase::Serving);
        lifecycle
    }
}

impl Lifecycle {
    /// The phase now.
    pub fn phase(&self) -> Phase {
        self.0.borrow().phase
    }

    /// Whether new sessions are welcome.
    pub fn accepts_sessions(&self) -> bool {
        self.phase() == Phase::Serving
    }

    /// Waits for a phase, or a later one.
    pub async fn reached(&self, phase: Phase) {
        self.wait_for(|now| now >= phase).await;
    }

    /// Waits until an announced drain has been taken back.
    pub(super) async fn resumed(&self) {
        self.wait_for(|now| now == Phase::Serving).await;
    }

    /// Waits for another phase than this one.
    pub async fn left(&self, phase: Phase) {
        self.wait_for(|now| now != phase).await;
    }

    async fn wait_for(&self, mut condition: impl FnMut(Phase) -> bool) {
        // The sender lives in `self`, so the channel is open.
        let _ = self.0.subscribe().wait_for(|state| condition(state.phase)).await;
    }

    /// The pod is to end for good, once it is known that it need not wait for a rollout.
    pub(super) fn wait(&self) {
        self.change(|state| {
            state.bound = true;
            state.phase = state.phase.max(Phase::Waiting);
        });
    }

    /// Announces that the pod is about to end, and ends its wait. `bound`: for good.
    pub fn announce(&self, bound: bool) {
        self.change(|state| {
            state.bound |= bound;
            state.phase = state.phase.max(Phase::Announced);
        });
    }

    /// Takes the announcement back, and says whether the pod serves: it was not for good, and nothing has
    /// been closed.
    pub fn resume(&self) -> bool {
        self.change(|state| {
            if state.phase == Phase::Announced && !state.bound {
                state.phase = Phase::Serving;
            }
        });
        self.phase() == Phase::Serving
    }

    /// Moves on from an announcement, and says whether it still stands.
    pub(super) fn begin_closing(&self) -> bool {
        self.change(|state| {
            if state.phase == Phase::Announced {
                state.phase = Phase::Closing;
            }
        });
        self.phase() == Phase::Closing
    }

    /// Moves on to a phase; never back.
    pub fn advance(&self, phase: Phase) {
        self.change(|state| state.phase = state.phase.max(phase));
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        self.0.send_if_modified(|state| {
            let before = state.phase;
            change(state);
            let changed = state.phase != before;
            if changed {
                report(state.phase);
            }
            changed
        });
    }
}

fn report(now: Phase) {
    for phase in Phase::ALL {
        gauge!(PHASE.name, "phase" => phase.name()).set(f64::from(u8::from(phase == now)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_phase_has_a_series_from_the_start() {
        let mut names = Phase::ALL.map(Phase::name);
        names.sort_unstable();
        assert_eq!(names.as_slice(), PHASE.values_of("phase"));
    }

    #[test]
    fn phases_only_move_forward() {
        let lifecycle = Lifecycle::default();
        lifecycle.advance(Phase::Closing);
        lifecycle.announce(true);
        assert_eq!(lifecycle.phase(), Phase::Closing);
        assert!(!lifecycle.accepts_sessions() && !lifecycle.resume());
    }

    #[test]
    fn an_announcement_is_taken_back_unless_it_is_for_good() {
        let lifecycle = Lifecycle::default();
        lifecycle.announce(false);
        assert!(!lifecycle.accepts_sessions());
        assert!(lifecycle.resume());
        assert!(!lifecycle.begin_closing(), "it does not stand any longer");
        lifecycle.announce(false);
        lifecycle.announce(true);
        assert!(!lifecycle.resume());
        assert!(lifecycle.begin_closing());
    }

    #[test]
    fn a_wait_is_for_good_and_an_announcement_ends_it() {
        let lifecycle = Lifecycle::default();
        lifecycle.wait();
        assert!(!lifecycle.accepts_sessions() && !lifecycle.resume());
        assert!(!lifecycle.begin_closing(), "it is not announced");
        lifecycle.announce(false);
        lifecycle.wait();
        assert_eq!(lifecycle.phase(), Phase::Announced);
        assert!(!lifecycle.resume());
        assert!(lifecycle.begin_closing());
    }
}
