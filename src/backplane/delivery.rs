//! The way of an event into the queues of this pod's sockets, and what is counted of it.

use std::{
    sync::LazyLock,
    time::{Duration, Instant},
};

use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;
use socketioxide_core::adapter::errors::SocketError;

use super::{
    Emit, Source,
    members::Members,
    stages::{About, Stage, now},
    watch::{Measuring, Watched},
    wire::Meta,
};
use crate::telemetry::{
    metrics::{DELIVERIES, EMIT_DURATION, EMIT_RECIPIENTS, EMITS, PACKETS_DROPPED},
    traces::Trace,
};

/// An emit has come to this pod.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrived {
    pub at: Instant,
    /// Since 1970, by the clock of who published it, if that is known.
    pub published: Option<Duration>,
}

impl Arrived {
    /// It is published here and now.
    pub fn now() -> Self {
        Self { at: Instant::now(), published: Some(now()) }
    }

    /// What other pods are told of it.
    pub fn stamp(&self, trace: Option<Trace>, presence: bool) -> Option<Meta> {
        self.published.map(|time| {
            let time = u64::try_from(time.as_millis()).unwrap_or_default();
            Meta::new(time, trace, presence)
        })
    }
}

/// The metrics of emits, looked up once: this is on the way of every message.
struct Handles {
    emits: Counter,
    duration: Histogram,
    deliveries: Counter,
    recipients: Histogram,
}

impl Handles {
    fn of(source: Source) -> &'static Self {
        static ALL: LazyLock<[Handles; 8]> = LazyLock::new(|| Source::ALL.map(Handles::new));
        &ALL[source as usize]
    }

    fn new(source: Source) -> Self {
        let name = source.name();
        Self {
            emits: counter!(EMITS.name, "source" => name),
            duration: match source {
                // The answer of a hook goes to one socket: nothing to measure.
                Source::Hook => Histogram::noop(),
                _ => histogram!(EMIT_DURATION.name, "source" => name),
            },
            deliveries: counter!(DELIVERIES.name, "source" => name),
            recipients: histogram!(EMIT_RECIPIENTS.name, "source" => name),
        }
    }

    fn count(&self, recipients: usize, dropped: usize) {
        self.emits.increment(1);
        self.deliveries.increment(recipients.saturating_sub(dropped) as u64);
        self.recipients.record(recipients as f64);
    }
}

/// Counts an emit to one socket.
pub(crate) fn count_one(source: Source) {
    count(source, 1);
}

/// Counts an emit to so many sockets of this pod.
pub(super) fn count(source: Source, recipients: usize) {
    Handles::of(source).count(recipients, 0);
}

/// Puts an event in the queues of this pod's sockets, and counts it, whoever asked for it.
pub(super) fn deliver(members: &Members, emit: Emit, arrived: Arrived) {
    let Emit { payload, target, from, volatile, source, traceparent } = emit;
    let begun = Instant::now();
    let target =
        if source == Source::Presence { members.recipients().told(&target) } else { target };
    let namespace = members.local.path().as_str();
    let Measuring { stages, sample } = &members.shared.measuring;

    let known = members.recipients().count(&target, from);
    let chosen = known.is_none_or(|count| count > 0 && !volatile && sample.chooses(count, begun));
    let sockets = chosen.then(|| members.recipients().hearing(&target, from));
    let recipients = known.or(sockets.as_ref().map(Vec::len)).unwrap_or_default();
    let about = About {
        namespace,
        source,
        recipients: Some(recipients),
        trace: traceparent.as_ref().map(Trace::id),
    };
    // What is volatile may be dropped: it would be waited for in vain.
    let watch = sockets.filter(|_| !volatile).and_then(|sockets| {
        let watched = Watched { stages, published: arrived.published, about: &about };
        members.queues().watch(&sockets, sample.begin(sockets.len()), &payload, &watched)
    });

    let errors = members.queues().emit(payload, &target, from, volatile).err().unwrap_or_default();
    let queued = Instant::now();
    if let Some(watch) = watch {
        watch.queued(queued);
    }
    if !errors.is_empty() {
        report_dropped(namespace, &errors);
    }
    let handles = Handles::of(source);
    handles.count(recipients, errors.len());
    handles.duration.record(queued.saturating_duration_since(begun));
    if recipients > 0 {
        stages.took(Stage::Queue, queued.saturating_duration_since(arrived.at), &about);
    }
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
