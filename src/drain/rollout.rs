//! Waits for a rollout: a pod that newer pods replace stays with its clients until the others of its kind have been told
//! to end, too. Clients that came back sooner could land on one of those, and would have to move again.

use std::{future::Future, time::Duration};

use metrics::counter;
use tokio::time::{Instant, sleep};

use super::{Drainable, Lifecycle, Phase};
use crate::telemetry::metrics::ROLLOUT_WAITS;

/// How often the other pods are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What is known of a rollout that replaces this pod.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rollout {
    /// No newer pods are there.
    None,
    /// They are; so many others of this pod's kind are ready yet.
    UnderWay { ready: usize },
    /// The other pods cannot be known at the moment.
    Unknown,
}

/// Why a wait is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    /// All others of the kind have been told to end.
    Complete,
    /// There are no newer pods any more.
    Cancelled,
    /// No clients are left.
    Empty,
    /// Somebody asked for the drain by hand.
    Asked,
    /// It took `drain.rollout_wait`.
    Timeout,
    /// A second signal.
    Hurry,
}

impl Ended {
    /// Its name in metrics and logs.
    fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
            Self::Empty => "empty",
            Self::Asked => "asked",
            Self::Timeout => "timeout",
            Self::Hurry => "hurry",
        }
    }
}

/// Waits until the rollout that replaces this pod needs it no longer, if there is one, so long at most. Says whether there
/// is no hurry.
pub(super) async fn wait(
    lifecycle: &Lifecycle,
    most: Duration,
    hurry: impl Future<Output = ()>,
    pod: &impl Drainable,
) -> bool {
    let begun = Instant::now();
    let ended = tokio::select! {
        ended = over(most, pod) => ended,
        () = sleep(most) => Some(Ended::Timeout),
        () = lifecycle.reached(Phase::Announced) => Some(Ended::Asked),
        () = hurry => Some(Ended::Hurry),
    };
    let Some(ended) = ended else { return true };
    counter!(ROLLOUT_WAITS.name, "ended" => ended.name()).increment(1);
    let (because, seconds) = (ended.name(), begun.elapsed().as_secs_f64());
    if ended == Ended::Timeout {
        tracing::warn!(
            seconds,
            connections = pod.connections(),
            "drain.rollout_wait is over, and the rollout is not known to be: clients may move once more"
        );
    } else {
        tracing::info!(because, seconds, "the wait for the rollout is over");
    }
    ended != Ended::Hurry
}

/// Looks at the other pods until nothing is to be waited for; `None` if there was no rollout.
async fn over(most: Duration, pod: &impl Drainable) -> Option<Ended> {
    let (mut before, mut under_way) = (Rollout::None, false);
    loop {
        if pod.connections() == 0 {
            return under_way.then_some(Ended::Empty);
        }
        let now = pod.rollout().await;
        match now {
            Rollout::None => return under_way.then_some(Ended::Cancelled),
            Rollout::UnderWay { ready: 0 } => return Some(Ended::Complete),
            Rollout::UnderWay { ready } if now != before => {
                under_way = true;
                tracing::info!(
                    ready,
                    at_most = ?most,
                    "a rollout is under way: staying with the clients while pods of this template are ready"
                );
            }
            Rollout::Unknown if now != before => tracing::info!(
                at_most = ?most,
                "whether a rollout is under way cannot be known: staying with the clients until it can"
            ),
            _ => {}
        }
        before = now;
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending};

    use super::*;
    /// What the pod sees, second by second; the last for ever.
    struct Seen(&'static [Rollout], Cell<usize>);

    impl Seen {
        fn new(seen: &'static [Rollout]) -> Self {
            Self(seen, Cell::new(0))
        }
    }

    impl Drainable for Seen {
        fn connections(&self) -> usize {
            7
        }

        async fn rollout(&self) -> Rollout {
            let at = self.1.replace(self.1.get() + 1);
            self.0[at.min(self.0.len() - 1)]
        }

        async fn close_all(&self, _: Duration) {}
        async fn gone(&self) {}
        async fn leave(&self) {}
        async fn answered(&self) {}
    }

    const MOST: Duration = Duration::from_secs(300);
    const TWO: Rollout = Rollout::UnderWay { ready: 2 };
    const ONE: Rollout = Rollout::UnderWay { ready: 1 };
    const LAST: Rollout = Rollout::UnderWay { ready: 0 };

    #[tokio::test(start_paused = true)]
    async fn it_is_over_when_nothing_is_to_be_waited_for_and_at_its_bound() {
        for (seen, ended, looks) in [
            (&[Rollout::None][..], None, 0),
            (&[LAST], Some(Ended::Complete), 0),
            (&[TWO, TWO, ONE, LAST], Some(Ended::Complete), 3),
            (&[TWO, Rollout::None], Some(Ended::Cancelled), 1),
            // What cannot be known is waited for; that it was no rollout is no end of one.
            (&[Rollout::Unknown, Rollout::Unknown, Rollout::None], None, 2),
            (&[TWO, Rollout::Unknown, ONE, LAST], Some(Ended::Complete), 3),
        ] {
            let begun = Instant::now();
            assert_eq!(over(MOST, &Seen::new(seen)).await, ended, "{seen:?}");
            assert_eq!(begun.elapsed(), LOOK * looks, "{seen:?}");
        }
        for seen in [&[TWO, ONE][..], &[Rollout::Unknown]] {
            let begun = Instant::now();
            assert!(wait(&Lifecycle::default(), MOST, pending(), &Seen::new(seen)).await);
            assert_eq!(begun.elapsed(), MOST, "{seen:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hurry_and_a_drain_by_hand_end_it() {
        let lifecycle = Lifecycle::default();
        lifecycle.wait();
        let begun = Instant::now();
        let hurry = sleep(Duration::from_secs(5));
        assert!(!wait(&lifecycle, MOST, hurry, &Seen::new(&[TWO])).await);
        assert_eq!(begun.elapsed(), Duration::from_secs(5));
        let seen = Seen::new(&[TWO]);
        let asked = async {
            sleep(Duration::from_secs(5)).await;
            lifecycle.announce(false);
        };
        let (in_no_hurry, ()) = tokio::join!(wait(&lifecycle, MOST, pending(), &seen), asked);
        assert!(in_no_hurry);
        assert_eq!(begun.elapsed(), Duration::from_secs(10));
    }

    #[test]
    fn each_end_has_a_series_from_the_start() {
        let mut names = [
            Ended::Complete,
            Ended::Cancelled,
            Ended::Empty,
            Ended::Asked,
            Ended::Timeout,
            Ended::Hurry,
        ]
        .map(Ended::name);
        names.sort_unstable();
        assert_eq!(names.as_slice(), ROLLOUT_WAITS.values_of("ended"));
    }
}
