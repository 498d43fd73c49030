//! How long to wait before the next attempt to connect.

use std::time::Duration;

/// When to try again after a connection was lost or could not be made. The default is the stock
/// client's: after 1 s, then twice as long each time up to 5 s, half of it more or less, for ever.
///
/// The jitter comes after the maximum, so that many clients that lost the same server stay spread
/// however long it is away. (In the stock client they are in step once the maximum is reached.)
#[derive(Debug, Clone)]
pub struct Backoff {
    pub(super) first: Duration,
    pub(super) max: Duration,
    pub(super) factor: f64,
    pub(super) jitter: f64,
    pub(super) attempts: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            max: Duration::from_secs(5),
            factor: 2.0,
            jitter: 0.5,
            attempts: None,
        }
    }
}

impl Backoff {
    /// Never tries again (`reconnection: false`).
    pub fn never() -> Self {
        Self::default().attempts(0)
    }

    /// The wait before the first attempt (`reconnectionDelay`).
    pub fn first(mut self, first: Duration) -> Self {
        self.first = first;
        self
    }

    /// The longest wait, before the jitter (`reconnectionDelayMax`).
    pub fn max(mut self, max: Duration) -> Self {
        self.max = max;
        self
    }

    /// How much longer each wait is than the one before; at least 1.
    pub fn factor(mut self, factor: f64) -> Self {
        self.factor = factor.max(1.0);
        self
    }

    /// By which part of itself a wait may be shorter or longer: 0 to 1 (`randomizationFactor`).
    pub fn jitter(mut self, jitter: f64) -> Self {
        self.jitter = jitter.clamp(0.0, 1.0);
        self
    }

    /// How many attempts there are before the client gives up (`reconnectionAttempts`).
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.attempts = Some(attempts);
        self
    }
}

/// The waits of one time without a connection.
pub(super) struct Delays {
    policy: Backoff,
    made: u32,
}

impl Delays {
    pub fn new(policy: Backoff) -> Self {
        Self { policy, made: 0 }
    }

    /// The next wait, or nothing if it is time to give up.
    pub fn next(&mut self) -> Option<Duration> {
        if self.policy.attempts.is_some_and(|most| self.made >= most) {
            return None;
        }
        let Backoff { first, max, factor, jitter, .. } = self.policy;
        let exponent = i32::try_from(self.made).unwrap_or(i32::MAX);
        let base = (first.as_secs_f64() * factor.powi(exponent)).min(max.as_secs_f64());
        self.made = self.made.saturating_add(1);
        let spread = 1.0 + jitter * (fastrand::f64() * 2.0 - 1.0);
        Some(Duration::try_from_secs_f64(base * spread).unwrap_or(max))
    }

    /// How many attempts there were.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// There is a connection: the next loss begins anew.
    pub fn reset(&mut self) {
        self.made = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn waits_double_up_to_the_maximum() {
        let mut delays = Delays::new(Backoff::default().jitter(0.0));
        let waits: Vec<_> = (0..5).filter_map(|_| delays.next()).collect();
        assert_eq!(waits, [ms(1000), ms(2000), ms(4000), ms(5000), ms(5000)]);
        delays.reset();
        assert_eq!(delays.next(), Some(ms(1000)));
    }

    #[test]
    fn the_jitter_stays_in_its_bounds_and_does_spread_at_the_maximum() {
        let mut delays = Delays::new(Backoff::default());
        for _ in 0..3 {
            delays.next();
        }
        let waits: Vec<_> = (0..1000).filter_map(|_| delays.next()).collect();
        assert!(waits.iter().all(|wait| (ms(2500)..=ms(7500)).contains(wait)));
        assert!(waits.iter().any(|wait| *wait < ms(3500)));
        assert!(waits.iter().any(|wait| *wait > ms(6500)));
    }

    #[test]
    fn it_gives_up_after_so_many() {
        let mut delays = Delays::new(Backoff::default().attempts(2));
        assert!(delays.next().is_some() && delays.next().is_some() && delays.next().is_none());
        assert_eq!(delays.made(), 2);
        assert!(Delays::new(Backoff::never()).next().is_none());
    }

    #[test]
    fn odd_settings_are_no_panic() {
        let wild = Backoff::default().factor(f64::INFINITY).jitter(f64::NAN).max(Duration::MAX);
        let mut delays = Delays::new(wild);
        for _ in 0..3 {
            assert!(delays.next().is_some());
        }
    }
}
