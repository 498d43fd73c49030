#![allow(clippy::unwrap_used)]

use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

use super::*;

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_header(first, payload.len() as u64, None, &mut frame);
    frame.extend_from_slice(payload);
    frame
}

/// What is written for these bytes, given in such pieces, where the client takes so many bytes at once.
fn write(
    deflating: &mut Deflater,
    mut bytes: &[u8],
    pieces: impl IntoIterator<Item = usize>,
    taken: impl IntoIterator<Item = usize>,
) -> Vec<u8> {
    let (mut pieces, mut taken) = (pieces.into_iter(), taken.into_iter());
    let mut all = Vec::new();
    let mut next = || taken.next().unwrap_or(usize::MAX).max(1);
    while !bytes.is_empty() || !deflating.out.left().is_empty() {
        if !deflating.out.left().is_empty() {
            let length = deflating.out.left().len().min(next());
            all.extend_from_slice(&deflating.out.left()[..length]);
            deflating.out.wrote(length);
            continue;
        }
        let piece = &bytes[..pieces.next().unwrap_or(usize::MAX).clamp(1, bytes.len())];
        let passes = deflating.passes(piece);
        let length = if passes > 0 {
            let length = passes.min(next());
            all.extend_from_slice(&piece[..length]);
            deflating.passed(piece, length);
            length
        } else {
            deflating.take(piece)
        };
        assert!(length > 0 && deflating.out.left().len() <= 33 * 1024);
        bytes = &bytes[length..];
    }
    assert!(matches!(deflating.state, State::Header { read: 0, .. }));
    all
}

/// The first bytes of the frames, and the messages as the client sees them.
fn read(mut bytes: &[u8]) -> (Vec<u8>, Vec<(u8, Vec<u8>)>) {
    let (mut firsts, mut messages, mut open) = (Vec::new(), Vec::new(), None);
    while let Some(frame) = Frame::read(bytes) {
        let first = bytes[0];
        firsts.push(first);
        let (payload, rest) = bytes[frame.header..].split_at(frame.length as usize);
        bytes = rest;
        let (_, _, all) = open.get_or_insert((frame.opcode, first & COMPRESSED, Vec::new()));
        all.extend_from_slice(payload);
        if frame.is_last {
            let (opcode, compressed, mut all) = open.take().unwrap();
            if compressed != 0 {
                all.extend(TAIL);
                let mut inflated = Vec::with_capacity(2_000_000);
                let mut inflate = Decompress::new(false);
                inflate.decompress_vec(&all, &mut inflated, FlushDecompress::Sync).unwrap();
                assert_eq!(inflate.total_in(), all.len() as u64);
                all = inflated;
            }
            messages.push((opcode, all));
        }
    }
    assert!(bytes.is_empty() && open.is_none());
    (firsts, messages)
}

fn noise(length: usize) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(length as u64);
    std::iter::repeat_with(|| rng.u8(..)).take(length).collect()
}

#[test]
fn what_is_large_enough_is_compressed() {
    for (first, bytes, window, expected) in [
        (0x81, vec![b'x'; 99], 15, &[0x81][..]),
        (0x81, vec![b'x'; 100], 15, &[0xc1]),
        (0x82, vec![b'x'; 32 * 1024], 15, &[0xc2]),
        (0x82, vec![b'x'; 32 * 1024 + 1], 15, &[0x42, 0x80]),
        (0x82, vec![b'x'; 2049], 10, &[0x42, 0x00, 0x80]),
        (0x82, noise(100_000), 15, &[0x82]),
        (0x82, [vec![b'x'; 32 * 1024], noise(40_000)].concat(), 15, &[0x42, 0x00, 0x80]),
        (0x89, vec![b'x'; 125], 15, &[0x89]),
        // Not as a whole.
        (0x01, vec![b'x'; 200], 15, &[0x01]),
        (0x80, vec![b'x'; 200], 15, &[0x80]),
    ] {
        let mut deflating = Deflater::new(DeflateParams::of(100, window));
        let written = write(&mut deflating, &frame(first, &bytes), [], []);
        let mut frames = Vec::new();
        let mut rest = &written[..];
        while let Some(frame) = Frame::read(rest) {
            frames.push(rest[0]);
            rest = &rest[frame.whole() as usize..];
        }
        assert_eq!(frames, expected, "{} bytes", bytes.len());
    }
}

#[test]
fn a_window_is_kept_to() {
    // What comes again is further away than the window is wide.
    let bytes = noise(1500).repeat(4);
    let compressed = |window| {
        let mut deflating = Deflater::new(DeflateParams::of(100, window));
        write(&mut deflating, &frame(0x82, &bytes), [], []).len()
    };
    assert!(compressed(15) < 2000);
    assert!(compressed(10) > 6000);
}

proptest! {
    #[test]
    fn it_does_not_matter_where_writes_end(
        texts in prop::collection::vec((any::<u8>(), 0..100_000_usize, 0..3_u8), 1..5),
        pieces in prop::collection::vec(prop_oneof![1..20_usize, 1..50_000_usize], 1..20),
        taken in prop::collection::vec(prop_oneof![1..20_usize, 1..50_000_usize], 1..20),
    ) {
        let mut frames = Vec::new();
        let mut expected = Vec::new();
        for (seed, length, kind) in texts {
            let bytes = match kind {
                0 => noise(length),
                1 => (0..length).map(|at| seed.wrapping_mul((at / 100) as u8)).collect(),
                _ => vec![seed; length % 200],
            };
            frames.extend(frame(0x82, &bytes));
            expected.push((2, bytes));
        }
        let mut deflating = Deflater::new(DeflateParams::of(100, 15));
        let written = write(&mut deflating, &frames, pieces.into_iter().cycle(), taken.into_iter().cycle());
        prop_assert_eq!(read(&written).1, &expected[..]);
        let written = write(&mut deflating, &frames, [], []);
        prop_assert_eq!(read(&written).1, expected);
    }
}
