//! How much one socket may send.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{Event, Refusal, codes, member::Member};
use crate::config::Limits;

/// How fast one socket may send.
pub(super) struct Pace(DefaultDirectRateLimiter);

impl Pace {
    /// As the limits say; none if they do not.
    pub fn new(limits: &Limits) -> Option<Self> {
        Self::of(limits.events_per_second, limits.events_burst)
    }

    /// So much a second, and so much at once; none without a rate.
    pub fn of(rate: u32, burst: u32) -> Option<Self> {
        let rate = NonZeroU32::new(rate)?;
        let burst = NonZeroU32::new(burst).unwrap_or(rate);
        Some(Self(RateLimiter::direct(Quota::per_second(rate).allow_burst(burst))))
    }

    /// Whether there is room for one more.
    pub fn allows(&self) -> bool {
        self.0.check().is_ok()
    }
}

/// Whether a socket may send another event now, whatever it is.
pub(super) fn check_pace(member: &Member) -> Result<(), Refusal> {
    if let Some(pace) = member.pace.as_deref()
        && !pace.allows()
    {
        let message = format!("more than {} events a second", member.limits.events_per_second);
        return Err(Refusal::new(codes::RATE_LIMITED, message));
    }
    Ok(())
}

/// Whether an event is within the limits of its namespace.
pub(super) fn check(event: &Event<'_>) -> Result<(), Refusal> {
    let limits = &event.socket.member.limits;
    if event.name().len() > limits.name_length {
        return Err(Refusal::new(codes::BAD_EVENT, "the name of the event is too long"));
    }
    if event.size() > limits.max_payload {
        let message = format!("more than {} bytes", limits.max_payload);
        return Err(Refusal::new(codes::PAYLOAD_TOO_LARGE, message));
    }
    Ok(())
}
