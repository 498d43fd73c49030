//! Counts what the listeners get in one run.

use std::io;

use hdrhistogram::Histogram;

use super::mark::Mark;

/// Messages to one room in one run that can be told apart.
const SEQUENCES: usize = 1 << 24;
/// The longest time from publish to receipt that is told apart, in microseconds.
const LONGEST: u64 = 600_000_000;

/// What was got in one run.
pub struct Tally {
    run: u16,
    /// By listener: the sequence numbers it has got, a bit for each.
    seen: Vec<Vec<u64>>,
    /// Messages of this run that a listener had not got before.
    pub got: u64,
    /// Messages that a listener got once more.
    pub doubled: u64,
    /// Messages to a room that the listener is not in, and what cannot be read.
    pub astray: u64,
    /// Messages of an earlier run.
    pub late: u64,
    /// Connections that have ended, in any run.
    pub ended: usize,
    /// Microseconds from publish to receipt.
    pub latency: Histogram<u64>,
}

impl Tally {
    /// For this many listeners, before the first run.
    pub fn new(listeners: usize) -> io::Result<Self> {
        Ok(Self {
            run: 0,
            seen: vec![Vec::new(); listeners],
            got: 0,
            doubled: 0,
            astray: 0,
            late: 0,
            ended: 0,
            latency: Histogram::new_with_bounds(1, LONGEST, 3).map_err(io::Error::other)?,
        })
    }

    /// Begins a run, and gives what the one before it has come to.
    pub fn begin(&mut self, run: u16) -> io::Result<Self> {
        let next = Self { run, ended: self.ended, ..Self::new(self.seen.len())? };
        Ok(std::mem::replace(self, next))
    }

    /// How many listeners have got at least one message.
    pub fn reached(&self) -> usize {
        self.seen.iter().filter(|seen| !seen.is_empty()).count()
    }

    /// Counts a message that came to a listener, which is in `room`, at `now`.
    pub fn count(&mut self, listener: usize, room: u16, payload: &[u8], now: u64) {
        let Some(mark) = Mark::read(payload).filter(|mark| mark.room == room) else {
            self.astray += 1;
            return;
        };
        let sequence = mark.sequence as usize;
        if mark.run != self.run || sequence >= SEQUENCES {
            self.late += 1;
            return;
        }
        let seen = &mut self.seen[listener];
        let (word, bit) = (sequence / 64, 1 << (sequence % 64));
        if seen.len() <= word {
            seen.resize(word + 1, 0);
        }
        if seen[word] & bit != 0 {
            self.doubled += 1;
            return;
        }
        seen[word] |= bit;
        self.got += 1;
        self.latency.saturating_record(now.saturating_sub(mark.stamp));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(run: u16, room: u16, sequence: u32) -> [u8; 32] {
        let mut payload = [0; 32];
        Mark { stamp: 1000, run, room, sequence }.write(&mut payload).unwrap();
        payload
    }

    #[test]
    fn each_message_counts_once_for_each_listener() {
        let mut tally = Tally::new(2).unwrap();
        tally.begin(3).unwrap();
        for sequence in [0, 2, 1, 200, 2] {
            tally.count(0, 7, &payload(3, 7, sequence), 1500);
        }
        tally.count(1, 7, &payload(3, 7, 2), 3500);
        assert_eq!((tally.got, tally.doubled), (5, 1));
        assert_eq!(tally.reached(), 2);
        assert_eq!((tally.latency.min(), tally.latency.len()), (500, 5));
    }

    #[test]
    fn what_is_not_of_the_run_or_the_room_is_set_aside() {
        let mut tally = Tally::new(1).unwrap();
        tally.begin(3).unwrap();
        tally.count(0, 7, &payload(2, 7, 0), 1500);
        tally.count(0, 7, &payload(3, 8, 0), 1500);
        tally.count(0, 7, b"no digits", 1500);
        assert_eq!((tally.got, tally.late, tally.astray), (0, 1, 2));
        tally.ended = 1;
        let before = tally.begin(4).unwrap();
        assert_eq!((before.late, before.astray, before.ended), (1, 2, 1));
        assert_eq!((tally.late, tally.astray, tally.ended), (0, 0, 1));
    }
}
