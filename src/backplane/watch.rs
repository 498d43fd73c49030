//! When an emit is written to a client: measured by sample.
//!
//! Gap: socketioxide takes what is emitted into a queue for each client, and does not say when it comes out (no upstream
//! issue was found). Way round: for some emits, one of the connections that get them watches what it writes for the packet
//! (`edge/connections/write_watch.rs`). An emit is chosen when it costs little beside what emits cost anyway: to choose one of its sockets,
//! all are listed.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use socketioxide_core::Value;

use super::{
    Source,
    stages::{About, Stage, Stages, now},
};
use crate::telemetry::traces::TraceId;

/// A packet that a connection is to tell of when it has written it.
#[derive(Debug)]
pub struct Watch {
    mark: Mark,
    stages: Arc<Stages>,
    /// Since 1970, by the clock of who published it, if that is known.
    published: Option<Duration>,
    /// When it was in all queues.
    queued: OnceLock<Instant>,
    #[cfg(test)]
    pub told: std::sync::atomic::AtomicBool,
    namespace: Box<str>,
    source: Source,
    recipients: usize,
    trace: Option<TraceId>,
}

/// What a watch is about.
pub(super) struct Watched<'a> {
    pub stages: &'a Arc<Stages>,
    pub published: Option<Duration>,
    pub about: &'a About<'a>,
}

/// By what a packet is known among others.
#[derive(Debug, PartialEq, Eq)]
struct Mark {
    /// Bytes of its message.
    length: usize,
    /// The first of them, and the last.
    begins: Box<[u8]>,
    ends: Box<[u8]>,
    /// Bytes of the frames with its attachments, which follow it.
    attached: usize,
}

/// Bytes at either end by which a packet is known. A packet that differs from it only between them is taken for it.
const KNOWN: usize = 128;

impl Mark {
    /// That of a packet, as it is written to a WebSocket.
    fn of(packet: &Value) -> Self {
        let (text, attachments) = match packet {
            Value::Str(text, attachments) => (text.as_bytes(), attachments.as_ref()),
            Value::Bytes(bytes) => (&bytes[..], None),
        };
        let frame = |length: usize| length + if length < 126 { 2 } else { 4 };
        // Engine.IO writes the type of its packet before text.
        let is_text = matches!(packet, Value::Str(..));
        let first: &[u8] = if is_text { b"4" } else { b"" };
        let begins = [first, &text[..text.len().min(KNOWN)]].concat();
        Self {
            length: first.len() + text.len(),
            begins: begins.into(),
            ends: text[text.len().saturating_sub(KNOWN)..].into(),
            attached: attachments.into_iter().flatten().map(|one| frame(one.len())).sum(),
        }
    }

    fn is(&self, message: &[u8]) -> bool {
        message.len() == self.length
            && message.starts_with(&self.begins)
            && message.ends_with(&self.ends)
    }
}

impl Watch {
    /// For a packet, as the parser writes it.
    pub(super) fn new(packet: &Value, watched: &Watched<'_>) -> Arc<Self> {
        let Watched { stages, published, about } = watched;
        Arc::new(Self {
            mark: Mark::of(packet),
            stages: (*stages).clone(),
            published: *published,
            queued: OnceLock::new(),
            #[cfg(test)]
            told: Default::default(),
            namespace: about.namespace.into(),
            source: about.source,
            recipients: about.recipients.unwrap_or_default(),
            trace: about.trace,
        })
    }

    /// For such a text packet, without what its emit was.
    #[cfg(test)]
    pub fn of(packet: &str, queued: bool) -> Arc<Self> {
        let about = About { namespace: "/", source: Source::Api, recipients: None, trace: None };
        let stages = Arc::new(Stages::new(Duration::ZERO));
        let watched = Watched { stages: &stages, published: None, about: &about };
        let watch = Self::new(&Value::Str(packet.to_owned().into(), None), &watched);
        if queued {
            watch.queued(Instant::now());
        }
        watch
    }

    /// Whether a message of a WebSocket is the packet. In Engine.IO v3, a byte comes before what is binary.
    pub fn is(&self, message: &[u8]) -> bool {
        self.mark.is(message)
            || message.strip_prefix(b"\x04").is_some_and(|rest| self.mark.is(rest))
    }

    /// Bytes of the frames with its attachments, about.
    pub fn attached(&self) -> usize {
        self.mark.attached
    }

    /// It is in the queues of all its sockets.
    pub(super) fn queued(&self, at: Instant) {
        // Once.
        let _ = self.queued.set(at);
    }

    /// Whether it is.
    pub fn is_queued(&self) -> bool {
        self.queued.get().is_some()
    }

    /// It has been written.
    pub fn written(&self) {
        let about = About {
            namespace: &self.namespace,
            source: self.source,
            recipients: Some(self.recipients),
            trace: self.trace,
        };
        #[cfg(test)]
        self.told.store(true, Ordering::Relaxed);
        // Before the last of the queues had it, perhaps.
        let waited = self.queued.get().map(Instant::elapsed).unwrap_or_default();
        self.stages.took(Stage::Write, waited, &about);
        if let Some(published) = self.published {
            self.stages.took(Stage::Total, now().saturating_sub(published), &about);
        }
    }
}

/// What measures the emits of a pod.
#[derive(Debug)]
pub(super) struct Measuring {
    pub stages: Arc<Stages>,
    pub sample: Sample,
}

impl Measuring {
    /// With what takes longer being slow.
    pub fn new(slow: Duration) -> Self {
        Self { stages: Arc::new(Stages::new(slow)), sample: Sample::default() }
    }
}

/// Which emits are chosen, and which of their sockets.
#[derive(Debug)]
pub(super) struct Sample {
    begun: Instant,
    /// What may be spent on it, in instructions, about.
    credit: AtomicI64,
    /// When the last one was chosen, in milliseconds since then.
    last: AtomicU64,
    turn: AtomicU64,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            begun: Instant::now(),
            credit: AtomicI64::default(),
            last: AtomicU64::default(),
            turn: AtomicU64::default(),
        }
    }
}

/// Instructions that are spent for each emit, and for each of its sockets: few beside the 4600 that a delivery takes.
const SPENT: (i64, i64) = (100, 10);
/// What it costs to choose one, for each emit and each of its sockets.
const COST: (i64, i64) = (800, 120);
/// One is chosen, whatever it costs, when none has been for so long.
const LONGEST_PAUSE: u64 = 100;

impl Sample {
    /// Whether an emit to so many sockets is chosen.
    pub fn chooses(&self, recipients: usize, now: Instant) -> bool {
        let sockets = i64::try_from(recipients).unwrap_or(i64::MAX / 1000);
        let of = |(emit, socket): (i64, i64)| emit.saturating_add(socket.saturating_mul(sockets));
        let (spent, cost) = (of(SPENT), of(COST));
        let credit = self.credit.fetch_add(spent, Ordering::Relaxed).saturating_add(spent);
        let time = now.saturating_duration_since(self.begun).as_millis();
        let time = u64::try_from(time).unwrap_or(u64::MAX);
        let pause = time.saturating_sub(self.last.load(Ordering::Relaxed));
        if credit < cost && pause < LONGEST_PAUSE {
            return false;
        }
        self.last.store(time, Ordering::Relaxed);
        // What was saved for large rooms is not spent on small ones.
        self.credit.store(0, Ordering::Relaxed);
        true
    }

    /// Where in a list of so many to begin to look for one: another place each time.
    pub fn begin(&self, length: usize) -> usize {
        // Not one after the other: emits to two rooms in turn would begin at the same sockets each time.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed).wrapping_mul(SPREAD) >> 32;
        usize::try_from(turn).unwrap_or_default() % length.max(1)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{HashSet, VecDeque};

    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_packet_is_known_by_its_length_and_both_ends() {
        let text = |text: &str| Value::Str(text.to_owned().into(), None);
        let mark = Mark::of(&text("2[\"news\",1]"));
        assert!(mark.is(b"42[\"news\",1]"));
        for other in ["42[\"news\",2]", "42[\"news\",11]", "2[\"news\",1]", ""] {
            assert!(!mark.is(other.as_bytes()), "{other}");
        }
        let long = |middle: char| {
            let (side, middle) = ("x".repeat(KNOWN), middle.to_string().repeat(3 * KNOWN));
            format!("2[\"news\",\"{side}{middle}{side}\"]")
        };
        let mark = Mark::of(&text(&long('a')));
        assert!(mark.is(format!("4{}", long('a')).as_bytes()));
        assert!(mark.begins.len() + mark.ends.len() <= 2 * KNOWN + 1);
    }

    #[test]
    fn attachments_belong_to_it() {
        let attachments =
            VecDeque::from([Bytes::from_static(&[0; 100]), Bytes::from(vec![0; 1000])]);
        let packet = Value::Str("52-[\"news\"]".into(), Some(attachments));
        assert_eq!(Mark::of(&packet).attached, 102 + 1004);
        let packet = Value::Bytes(Bytes::from_static(b"\x83msgpack"));
        assert!(Mark::of(&packet).is(b"\x83msgpack"));
    }

    #[test]
    fn what_is_chosen_costs_little_beside_what_emits_cost() {
        for recipients in [1, 50, 10_000] {
            let sample = Sample::default();
            let begun = sample.begun;
            let emits = 10_000;
            let chosen = (0..emits).filter(|_| sample.chooses(recipients, begun)).count();
            let cost = (COST.0 + COST.1 * recipients as i64) * chosen as i64;
            let spent = (SPENT.0 + SPENT.1 * recipients as i64) * i64::from(emits);
            assert!(chosen > 0 && cost <= spent, "{chosen} of emits to {recipients}");
        }
        let sample = Sample::default();
        let begun = sample.begun;
        assert!(!sample.chooses(1_000_000, begun));
        assert!(sample.chooses(1_000_000, begun + Duration::from_secs(1)), "none was for long");
    }

    #[test]
    fn all_sockets_of_a_room_have_their_turn() {
        let sample = Sample::default();
        let seen: HashSet<_> = (0..1000).map(|_| sample.begin(20)).collect();
        assert_eq!(seen.len(), 20);
        assert_eq!(sample.begin(0), 0);
    }
}
