//! The limits of events: how many a second, how long a name, how many bytes.

use crate::{
    config::Limits,
    gateway::{
        events::event::Event,
        replies::refusal::{Refusal, codes},
        sockets::rate_limit::RateLimit,
    },
};

/// Refuses an event that comes too soon, whatever it is.
pub(in crate::gateway) fn check_rate(
    rate: Option<&RateLimit>,
    limits: &Limits,
) -> Result<(), Refusal> {
    if rate.is_none_or(RateLimit::check) {
        return Ok(());
    }
    let message = format!("more than {} events a second", limits.events_per_second);
    Err(Refusal::new(codes::RATE_LIMITED, message))
}

/// Refuses an event that is larger than events of its namespace may be.
pub(in crate::gateway) fn check_size(event: &Event<'_>, limits: &Limits) -> Result<(), Refusal> {
    if event.name().len() > limits.name_length {
        return Err(Refusal::new(codes::BAD_EVENT, "the name of the event is too long"));
    }
    if event.size() > limits.max_payload {
        let message = format!("more than {} bytes", limits.max_payload);
        return Err(Refusal::new(codes::PAYLOAD_TOO_LARGE, message));
    }
    Ok(())
}
