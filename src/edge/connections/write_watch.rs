//! Tells when a packet that was queued for a client has been written to its WebSocket: for the sample that measures how long emits
//! take (`backplane/watch.rs`). A connection tells of one packet at a time.
//!
//! The packet is recognised among what is written. Others may look the same: those that are known to wait before it are passed
//! over. So it is with a client that is behind, where it matters; what was queued before it got behind is not known.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use parking_lot::Mutex;

use crate::{
    backplane::Watch,
    edge::frames::frame_counter::{FrameCounter, first_header},
};

/// A queue that has been empty so often has not held the packet.
const EMPTY: u8 = 3;

/// What one connection tells of.
#[derive(Debug, Default)]
pub(crate) struct WriteWatch {
    /// Whether there is something, to be read without the lock.
    is_on: AtomicBool,
    place: Mutex<Option<Box<Watched>>>,
    /// Frames that have been written since the client is behind.
    taken: AtomicU32,
}

#[derive(Debug)]
struct Watched {
    watch: Arc<Watch>,
    /// Frames that are written before it.
    before: u64,
    /// One that looks like it has been passed over.
    passed: bool,
    /// Once it has been recognised, how many bytes of it are left.
    left: Option<usize>,
    /// How often the queue has been empty since it was queued.
    empty: u8,
}

impl WriteWatch {
    /// Watches for a packet that is about to be queued, behind so many that wait since the client is behind. Not if another
    /// is watched for.
    pub fn begin(&self, watch: &Arc<Watch>, waiting: u64) -> bool {
        let mut place = self.place.lock();
        if place.is_some() {
            return false;
        }
        let before = waiting.saturating_sub(self.taken.load(Ordering::Relaxed).into());
        let watch = watch.clone();
        *place = Some(Box::new(Watched { watch, before, passed: false, left: None, empty: 0 }));
        self.is_on.store(true, Ordering::Release);
        true
    }

    /// Whether a packet is watched for.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Acquire)
    }

    /// The client begins to be behind.
    pub fn behind(&self) {
        self.taken.store(0, Ordering::Relaxed);
    }

    /// It has taken so many frames since.
    pub fn took(&self, frames: u64) {
        // One that is behind for four billion frames is not watched well.
        self.taken.fetch_add(u32::try_from(frames).unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// So many of these bytes have been written. `counted` is where the first of them is; a frame that begins among them is
    /// there whole.
    pub fn wrote(&self, mut counted: FrameCounter, bytes: &[u8], length: usize) {
        let mut place = self.place.lock();
        let Some(watched) = place.as_mut() else { return };
        if let Some(left) = &mut watched.left {
            *left = left.saturating_sub(length);
            return;
        }
        let mut at = 0;
        while counted.unfinished() > 0 && at < length {
            let next = counted.unfinished().min(length - at);
            counted.count(&bytes[at..at + next]);
            at += next;
        }
        while at < length {
            let Some((header, payload)) = first_header(&bytes[at..]) else { return };
            let begin = at.saturating_add(header);
            at = begin.saturating_add(payload);
            let Some(message) = bytes.get(begin..at) else { return };
            if watched.is_it(message) {
                let end = at.saturating_add(watched.watch.attached());
                watched.left = Some(end.saturating_sub(length));
                return;
            }
        }
    }

    /// What has been taken to be written is so: nothing is held back.
    pub fn is_written(&self) {
        let mut place = self.place.lock();
        if place.as_ref().is_some_and(|watched| watched.left == Some(0)) {
            self.tell(place.take());
        }
    }

    /// Nothing waits for the client.
    pub fn is_empty(&self) {
        let mut place = self.place.lock();
        let Some(watched) = place.as_mut() else { return };
        if watched.passed || watched.left.is_some() {
            return self.tell(place.take());
        }
        if watched.watch.is_queued() {
            watched.before = 0;
            watched.empty += 1;
            if watched.empty == EMPTY {
                // It left the namespace meanwhile, or another packet of the same look was taken for it.
                self.end_with(&mut place);
            }
        }
    }

    /// The connection is over: what was not written will not be.
    pub fn end(&self) {
        self.end_with(&mut self.place.lock());
    }

    fn end_with(&self, place: &mut Option<Box<Watched>>) {
        *place = None;
        self.is_on.store(false, Ordering::Release);
    }

    fn tell(&self, watched: Option<Box<Watched>>) {
        self.is_on.store(false, Ordering::Release);
        if let Some(watched) = watched {
            watched.watch.written();
        }
    }
}

impl Watched {
    /// Whether the next message is it.
    fn is_it(&mut self, message: &[u8]) -> bool {
        let waits = self.before > 0;
        self.before = self.before.saturating_sub(1);
        if !self.watch.is(message) {
            return false;
        }
        self.passed |= waits;
        !waits
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn frame(payload: &str) -> Vec<u8> {
        let length = payload.len() as u16;
        let header = match length {
            0..126 => vec![0x81, length as u8],
            _ => [&[0x81, 126][..], &length.to_be_bytes()].concat(),
        };
        [&header, payload.as_bytes()].concat()
    }

    fn told(watch: &Watch) -> bool {
        watch.told.load(Ordering::Relaxed)
    }

    #[test]
    fn it_tells_once_the_last_byte_is_written_wherever_writes_end() {
        let (long, other) = (format!("2[\"{}\"]", "x".repeat(300)), frame("42[\"other\"]"));
        let bytes = [&other[..], &frame(&format!("4{long}")), &other].concat();
        let last = bytes.len() - other.len();
        for piece in [1, 2, 3, 100, bytes.len()] {
            let (watching, watch) = (WriteWatch::default(), Watch::of(&long, true));
            assert!(watching.begin(&watch, 0) && watching.is_on());
            assert!(!watching.begin(&watch, 0), "one at a time");
            let mut counted = FrameCounter::default();
            let mut at = 0;
            while at < bytes.len() {
                let length = piece.min(bytes.len() - at);
                watching.wrote(counted, &bytes[at..], length);
                watching.is_written();
                counted.count(&bytes[at..at + length]);
                at += length;
                assert_eq!(told(&watch), at >= last, "{at} of {last}, in pieces of {piece}");
                assert_eq!(watching.is_on(), at < last);
            }
        }
    }

    #[test]
    fn what_is_taken_and_held_back_is_not_written() {
        let (watching, watch) = (WriteWatch::default(), Watch::of("2[\"a\"]", true));
        watching.begin(&watch, 0);
        let bytes = frame("42[\"a\"]");
        watching.wrote(FrameCounter::default(), &bytes, bytes.len());
        assert!(!told(&watch) && watching.is_on());
        watching.is_empty();
        assert!(told(&watch) && !watching.is_on());
    }

    #[test]
    fn packets_of_the_same_look_that_wait_are_passed_over() {
        let watching = WriteWatch::default();
        watching.behind();
        watching.took(2);
        // Five were sent since it is behind, of which it has taken two.
        let watch = Watch::of("2[\"a\"]", true);
        watching.begin(&watch, 5);
        let bytes = frame("42[\"a\"]");
        for _ in 0..3 {
            watching.wrote(FrameCounter::default(), &bytes, bytes.len());
            watching.is_written();
            assert!(!told(&watch));
        }
        watching.wrote(FrameCounter::default(), &bytes, bytes.len());
        watching.is_written();
        assert!(told(&watch));

        // Fewer waited than it seemed: it was among those that were passed over.
        let watch = Watch::of("2[\"a\"]", true);
        watching.begin(&watch, 9);
        watching.wrote(FrameCounter::default(), &bytes, bytes.len());
        watching.is_empty();
        assert!(told(&watch));
    }

    #[test]
    fn what_never_came_is_not_watched_for_ever_nor_told_of() {
        let watching = WriteWatch::default();
        let watch = Watch::of("2[\"a\"]", false);
        watching.begin(&watch, 0);
        (0..100).for_each(|_| watching.is_empty());
        assert!(watching.is_on(), "it may be queued yet");
        let watching = WriteWatch::default();
        let watch = Watch::of("2[\"a\"]", true);
        watching.begin(&watch, 0);
        (0..EMPTY).for_each(|_| watching.is_empty());
        assert!(!watching.is_on() && !told(&watch));
        watching.begin(&watch, 0);
        watching.end();
        assert!(!watching.is_on() && !told(&watch));
        assert_eq!(Arc::strong_count(&watch), 1);
    }
}
