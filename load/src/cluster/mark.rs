//! What a message carries: when it was published, in which run, to which room, and its number there.
//!
//! Decimal digits of a fixed width, first in a text that is filled up with `x`, so that a reader finds them at
//! a known place and a writer may replace them: `peers/emitter.mjs` writes the same.

use std::io::Write;

use rustix::time::{ClockId, clock_gettime};

/// The name of the event that all messages are.
pub const EVENT: &str = "news";
/// Bytes of a message's only argument.
pub const PAYLOAD: usize = 200;
/// Bytes of the digits at its beginning.
pub const LENGTH: usize = STAMP + RUN + ROOM + SEQUENCE;
const STAMP: usize = 16;
const RUN: usize = 4;
const ROOM: usize = 4;
const SEQUENCE: usize = 8;

/// The digits of a message.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Mark {
    /// Microseconds of [`now`] when it was published.
    pub stamp: u64,
    pub run: u16,
    pub room: u16,
    /// Counts from 0 in each room in each run.
    pub sequence: u32,
}

impl Mark {
    /// Reads the digits at the beginning of a payload.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let (stamp, rest) = number(payload, STAMP)?;
        let (run, rest) = number(rest, RUN)?;
        let (room, rest) = number(rest, ROOM)?;
        let (sequence, _) = number(rest, SEQUENCE)?;
        // The widths are such that nothing is cut.
        Some(Self { stamp, run: run as u16, room: room as u16, sequence: sequence as u32 })
    }

    /// Writes the digits over the first [`LENGTH`] bytes.
    pub fn write(&self, mut payload: &mut [u8]) -> std::io::Result<()> {
        let Self { stamp, run, room, sequence } = self;
        write!(payload, "{stamp:0STAMP$}{run:0RUN$}{room:0ROOM$}{sequence:0SEQUENCE$}")
    }
}

fn number(text: &[u8], width: usize) -> Option<(u64, &[u8])> {
    let (digits, rest) = text.split_at_checked(width)?;
    let number = digits.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + u64::from(byte - b'0'))
    })?;
    Some((number, rest))
}

/// Microseconds of CLOCK_MONOTONIC. All processes of a machine read the same, Node's
/// `process.hrtime()` too, and nobody sets it.
pub fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        let mark = Mark { stamp: now(), run: 9999, room: 19, sequence: 12_345_678 };
        let mut payload = [b'x'; PAYLOAD];
        mark.write(&mut payload).unwrap();
        assert_eq!(Mark::read(&payload), Some(mark));
        assert!(payload[LENGTH..].iter().all(|byte| *byte == b'x'));
    }

    #[test]
    fn what_is_no_mark_is_not_read_as_one() {
        assert_eq!(Mark::read(&[b'1'; LENGTH - 1]), None);
        let mut payload = [b'1'; LENGTH];
        payload[LENGTH - 1] = b'"';
        assert_eq!(Mark::read(&payload), None);
    }
}
