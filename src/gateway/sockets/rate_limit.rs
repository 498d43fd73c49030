//! A rate limit of one socket.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

/// How many events one socket may send a second.
pub(in crate::gateway) struct RateLimit(DefaultDirectRateLimiter);

impl RateLimit {
    /// So many a second, and so many at once. `None` without a rate. Without a burst, it is as large as the rate.
    pub fn new(per_second: u32, burst: u32) -> Option<Self> {
        let rate = NonZeroU32::new(per_second)?;
        let burst = NonZeroU32::new(burst).unwrap_or(rate);
        Some(Self(RateLimiter::direct(Quota::per_second(rate).allow_burst(burst))))
    }

    /// Takes one, and says whether it was allowed.
    pub fn check(&self) -> bool {
        self.0.check().is_ok()
    }
}
