//! When a call may be made again, and after which pause.
//!
//! Each attempt of a call has the same `webhook-id`, by which a hook can tell a double. A question (`authenticate`,
//! `connect`, `join`) and a notification (`disconnect`) may come twice to a hook that does not look. An `event` is
//! sent again only if the hook cannot have handled it.

use std::time::Duration;

use super::{Down, Kind, attempt::Failure};

/// Longest pause that is not the hook's own wish.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Whether another attempt does no harm, and may help.
pub fn is_safe(failure: &Failure, kind: Kind) -> bool {
    match failure.down {
        // Nothing was sent.
        Down::Unreachable => true,
        // The hook puts it off. Without a time to come back, a proxy may have lost it half-way.
        Down::Status(503) if failure.retry_after.is_some() => true,
        // It may have been handled.
        Down::Status(_) | Down::Timeout | Down::Lost => kind != Kind::Event,
        // The next answer would be the same.
        Down::Redirect | Down::Unreadable | Down::TooLarge => false,
        // A client does not wait for that; a notification can.
        Down::BreakerOpen | Down::InFlightLimit => kind == Kind::Disconnect,
    }
}

/// The pause before the next attempt, after so many: twice as long each time, cut by up to a half at random, and
/// never shorter than the hook asked for.
pub fn pause(failure: &Failure, backoff: Duration, attempts: u32) -> Duration {
    let full =
        backoff.saturating_mul(2_u32.saturating_pow(attempts)).min(LONGEST_PAUSE.max(backoff));
    let pause = full.mul_f64(0.5 + fastrand::f64() / 2.0);
    pause.max(failure.retry_after.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(down: Down, retry_after: Option<u64>) -> Failure {
        Failure { down, retry_after: retry_after.map(Duration::from_secs) }
    }

    #[test]
    fn an_event_is_sent_again_only_if_it_was_not_handled() {
        for (down, retry_after, question, event) in [
            (Down::Unreachable, None, true, true),
            (Down::Status(503), Some(1), true, true),
            (Down::Status(503), None, true, false),
            (Down::Status(500), Some(1), true, false),
            (Down::Timeout, None, true, false),
            (Down::Lost, None, true, false),
            (Down::Redirect, None, false, false),
            (Down::TooLarge, None, false, false),
            (Down::BreakerOpen, None, false, false),
            (Down::InFlightLimit, None, false, false),
        ] {
            let failure = failure(down, retry_after);
            assert_eq!(is_safe(&failure, Kind::Join), question, "{down}");
            assert_eq!(is_safe(&failure, Kind::Event), event, "{down}");
        }
        for down in [Down::BreakerOpen, Down::InFlightLimit, Down::Status(429)] {
            assert!(is_safe(&failure(down, None), Kind::Disconnect), "{down}");
        }
    }

    #[test]
    fn pauses_double_up_to_a_bound_and_heed_the_hook() {
        let backoff = Duration::from_millis(100);
        for (attempts, longest) in [(0, 100), (1, 200), (2, 400), (6, 5000), (40, 5000)] {
            let pause = pause(&failure(Down::Timeout, None), backoff, attempts);
            let longest = Duration::from_millis(longest);
            assert!(pause >= longest / 2 && pause <= longest, "{attempts}: {pause:?}");
        }
        let asked = failure(Down::Status(503), Some(7));
        assert_eq!(pause(&asked, backoff, 0), Duration::from_secs(7));
    }
}
