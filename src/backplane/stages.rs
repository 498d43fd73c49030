//! How long emits take, stage by stage (`docs/latency.md`), and a line in the log for those that take too long.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use metrics::{Counter, Histogram, counter, histogram};
use parking_lot::Mutex;
use socketioxide_core::Str;

use super::Source;
use crate::telemetry::{
    metrics::{EMIT_LATENCY, SLOW_EMITS},
    traces::{self, TraceId},
};

/// A part of the way of an emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// From its acceptance until Redis has confirmed it.
    Publish,
    /// From the publisher's clock until another pod has it.
    Receive,
    /// From its acceptance, or from then, until it is in the queues of the sockets.
    Queue,
    /// From then until it is written to one of them.
    Write,
    /// From the publisher's clock until then.
    Total,
}

const STAGES: [(Stage, &str); 5] = [
    (Stage::Publish, "publish"),
    (Stage::Receive, "receive"),
    (Stage::Queue, "queue"),
    (Stage::Write, "write"),
    (Stage::Total, "total"),
];

impl Stage {
    fn name(self) -> &'static str {
        STAGES[self as usize].1
    }

    /// Looked up once: this is on the way of every emit.
    fn handles(self) -> &'static (Histogram, Counter) {
        static ALL: LazyLock<[(Histogram, Counter); 5]> = LazyLock::new(|| {
            STAGES.map(|(_, name)| {
                (
                    histogram!(EMIT_LATENCY.name, "stage" => name),
                    counter!(SLOW_EMITS.name, "stage" => name),
                )
            })
        });
        &ALL[self as usize]
    }
}

/// Measures the stages of emits.
#[derive(Debug)]
pub(super) struct Stages {
    /// What takes longer is slow.
    slow: Duration,
    /// When the log had the last slow one.
    told: Mutex<Option<Instant>>,
}

/// An emit, as the log has it.
#[derive(Debug)]
pub(super) struct About<'a> {
    pub namespace: &'a str,
    pub source: Source,
    /// Sockets of this pod, once that is known.
    pub recipients: Option<usize>,
    pub trace: Option<TraceId>,
}

/// An emit on its way to Redis.
#[derive(Debug)]
pub(super) struct Accepted {
    pub at: Instant,
    pub namespace: Str,
    pub source: Source,
    pub trace: Option<TraceId>,
}

impl Accepted {
    fn about(&self) -> About<'_> {
        About {
            namespace: &self.namespace,
            source: self.source,
            recipients: None,
            trace: self.trace,
        }
    }
}

impl Stages {
    /// With what takes longer being slow; nothing is if that is zero.
    pub fn new(slow: Duration) -> Self {
        let slow = if slow.is_zero() { Duration::MAX } else { slow };
        Self { slow, told: Mutex::new(None) }
    }

    /// A stage of an emit took so long.
    pub fn took(&self, stage: Stage, time: Duration, about: &About<'_>) {
        let (histogram, slow) = stage.handles();
        histogram.record(time);
        if time > self.slow {
            slow.increment(1);
            self.tell(stage, time, about);
        }
    }

    /// Redis has confirmed an emit.
    pub fn published(&self, accepted: &Accepted, now: Instant) {
        let time = now.saturating_duration_since(accepted.at);
        self.took(Stage::Publish, time, &accepted.about());
    }

    /// Lets one line a second into the log: the metric has the rest.
    #[cold]
    fn tell(&self, stage: Stage, time: Duration, about: &About<'_>) {
        const PAUSE: Duration = Duration::from_secs(1);
        let now = Instant::now();
        let mut told = self.told.lock();
        if told.is_some_and(|told| now.saturating_duration_since(told) < PAUSE) {
            return;
        }
        *told = Some(now);
        drop(told);
        let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let About { namespace, source, recipients, trace } = about;
        // Within a span, each line has its ids.
        tracing::warn!(
            stage = stage.name(),
            milliseconds,
            namespace,
            source = source.name(),
            recipients,
            trace_id = trace.filter(|_| traces::ids().is_none()).map(tracing::field::display),
            "a slow emit: a stage took longer than telemetry.slow_emit"
        );
    }
}

/// Time since 1970.
pub(super) fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_named_as_they_are_numbered() {
        for (index, (stage, name)) in STAGES.into_iter().enumerate() {
            assert_eq!((stage as usize, stage.name()), (index, name));
        }
    }

    #[test]
    fn one_line_a_second_is_for_what_is_slow_and_none_where_nothing_is() {
        let about = About { namespace: "/", source: Source::Api, recipients: Some(1), trace: None };
        let told = |stages: &Stages| *stages.told.lock();
        let stages = Stages::new(Duration::from_millis(250));
        stages.took(Stage::Queue, Duration::from_millis(250), &about);
        assert_eq!(told(&stages), None);
        stages.took(Stage::Queue, Duration::from_millis(251), &about);
        let first = told(&stages);
        assert!(first.is_some());
        stages.took(Stage::Write, Duration::from_secs(9), &about);
        assert_eq!(told(&stages), first);
        let off = Stages::new(Duration::ZERO);
        off.took(Stage::Write, Duration::from_secs(9), &about);
        assert_eq!(told(&off), None);
    }
}
