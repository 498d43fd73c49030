//! The way of an event into the queues of this pod's sockets, and what is counted of it.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;
use socketioxide_core::{Sid, Value, adapter::errors::SocketError};

use super::{Source, Target, members::Members};
use crate::telemetry::metrics::{EMIT_DURATION, EMITS, PACKETS_DROPPED};

/// The metrics of an emit, looked up once: this is on the way of every message.
pub(super) fn handles(source: Source) -> &'static (Counter, Histogram) {
    fn register(source: &'static str) -> (Counter, Histogram) {
        (
            counter!(EMITS.name, "source" => source),
            histogram!(EMIT_DURATION.name, "source" => source),
        )
    }
    static CLIENT: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("client"));
    static API: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("api"));
    static STREAM: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("stream"));
    static HANDLER: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("handler"));
    static BACKPLANE: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("backplane"));
    match source {
        Source::Client => &CLIENT,
        Source::Api => &API,
        Source::Stream => &STREAM,
        Source::Handler | Source::Presence => &HANDLER,
        Source::Backplane => &BACKPLANE,
    }
}

/// Puts an event in the queues of this pod's sockets, and counts it, whoever asked for it.
pub(super) fn deliver(
    members: &Members,
    payload: Value,
    target: &Target,
    from: Option<Sid>,
    volatile: bool,
    source: Source,
) {
    let begun = Instant::now();
    let told = (source == Source::Presence).then(|| members.told(target));
    let target = told.as_ref().unwrap_or(target);
    if let Err(errors) = members.emit(payload, target, from, volatile) {
        report_dropped(members.local.path(), &errors);
    }
    let (emits, duration) = handles(source);
    emits.increment(1);
    duration.record(begun.elapsed());
}

/// A client whose queue is full has been told to go; here it is counted what it misses.
fn report_dropped(namespace: &str, errors: &[SocketError]) {
    errors.iter().for_each(count_dropped);
    let full =
        errors.iter().filter(|error| matches!(error, SocketError::InternalChannelFull)).count();
    if full > 0 && once_a_second() {
        tracing::warn!(
            namespace,
            clients = full,
            "packets dropped: clients do not read, limits.send_queue is full"
        );
    }
}

/// Counts a packet that a client will not get.
pub(crate) fn count_dropped(error: &SocketError) {
    let reason = match error {
        SocketError::InternalChannelFull => "queue full",
        SocketError::Closed => "closed",
    };
    counter!(PACKETS_DROPPED.name, "reason" => reason).increment(1);
}

/// Lets one line a second into the log: the metric has the rest.
fn once_a_second() -> bool {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock();
    let due = last.is_none_or(|last| last.elapsed() >= Duration::from_secs(1));
    if due {
        *last = Some(Instant::now());
    }
    due
}
