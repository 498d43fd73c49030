//! What is counted of an emit.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;
use socketioxide_core::adapter::errors::SocketError;

use super::Source;
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
    static HANDLER: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("handler"));
    static BACKPLANE: LazyLock<(Counter, Histogram)> = LazyLock::new(|| register("backplane"));
    match source {
        Source::Client => &CLIENT,
        Source::Api => &API,
        Source::Handler => &HANDLER,
        Source::Backplane => &BACKPLANE,
    }
}

/// Gap: a broadcast says how many sockets it could not reach, not which (no upstream issue was found).
/// So they are counted here, and end by `limits.write_timeout`.
pub(super) fn report_dropped(namespace: &str, errors: &[SocketError]) {
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
