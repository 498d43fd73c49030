#![allow(clippy::unwrap_used)]

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::*;

const MASK: [u8; 4] = [0x11, 0x22, 0x33, 0x44];

fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    write_header(first, payload.len() as u64, Some(MASK), &mut frame);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

fn deflate(bytes: &[u8], flush: FlushCompress) -> Vec<u8> {
    let mut into = Vec::with_capacity(bytes.len() * 2 + 256);
    Compress::new(Compression::best(), false).compress_vec(bytes, &mut into, flush).unwrap();
    into
}

/// As a message has it.
fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut compressed = deflate(bytes, FlushCompress::Sync);
    compressed.truncate(compressed.len() - TAIL.len());
    compressed
}

/// A message in frames, the ends of which are there.
fn message(opcode: u8, bytes: &[u8], ends: &[usize]) -> Vec<u8> {
    let compressed = compressed(bytes);
    let mut ends: Vec<_> = ends.iter().map(|end| end % (compressed.len() + 1)).collect();
    ends.sort_unstable();
    ends.push(compressed.len());
    let (mut frames, mut from, mut first) = (Vec::new(), 0, opcode | COMPRESSED);
    for (at, end) in ends.iter().enumerate() {
        let last = if at + 1 == ends.len() { LAST } else { 0 };
        frames.extend(frame(first | last, &compressed[from..*end]));
        (from, first) = (*end, 0);
    }
    frames
}

/// All that is passed on of pieces of so many bytes; nothing is ever held that would be more than a piece.
fn pass(input: &[u8], pieces: impl IntoIterator<Item = usize>) -> (Vec<u8>, Inflater) {
    let mut pieces = pieces.into_iter();
    let (mut inflating, mut all, mut at) = (Inflater::new(1_000_000), Vec::new(), 0);
    while at < input.len() {
        let end = (at + pieces.next().unwrap_or(input.len()).max(1)).min(input.len());
        while at < end || inflating.has_more() {
            let mut out = Vec::new();
            at += inflating.pass(&input[at..end], &mut out);
            assert!(out.len() <= 2 * PIECE + FIRST + LONGEST_MASKED);
            all.extend(out);
        }
    }
    (all, inflating)
}

/// First bytes and payloads of frames.
fn read(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let Some(frame) = Frame::read(bytes) {
        let (header, rest) = bytes.split_at(frame.header);
        let (payload, rest) = rest.split_at(frame.length as usize);
        let unmasked = payload.iter().enumerate().map(|(at, byte)| byte ^ frame.mask_at(at));
        frames.push((header[0], unmasked.collect()));
        bytes = rest;
    }
    assert!(bytes.is_empty());
    frames
}

#[test]
fn a_small_message_is_one_frame() {
    for bytes in [&b""[..], b"2probe", &[b'x'; PIECE - 1]] {
        let (passed, inflating) = pass(&message(1, bytes, &[]), []);
        assert_eq!(read(&passed), [(0x81, bytes.to_vec())]);
        assert!(!inflating.holds());
    }
}

#[test]
fn a_large_one_is_fragments_none_of_which_is_small() {
    let bytes = vec![b'x'; 5 * PIECE + 10];
    let (passed, _) = pass(&message(2, &bytes, &[]), []);
    let frames = read(&passed);
    let firsts: Vec<_> = frames.iter().map(|(first, _)| *first).collect();
    assert_eq!(firsts, [2, 0, 0, 0, 0, 0x80]);
    assert!(frames[..5].iter().all(|(_, payload)| payload.len() >= PIECE));
    assert_eq!(frames.concat_payloads(), bytes);
}

trait Payloads {
    fn concat_payloads(&self) -> Vec<u8>;
}

impl Payloads for Vec<(u8, Vec<u8>)> {
    fn concat_payloads(&self) -> Vec<u8> {
        self.iter().flat_map(|(_, payload)| payload.clone()).collect()
    }
}

#[test]
fn each_fragment_of_a_client_is_one_at_least() {
    // So that those are counted which are small.
    let (passed, _) = pass(&message(1, b"hello", &[0, 0, 1, 2, 3]), []);
    assert_eq!(read(&passed).len(), 6);
}

#[test]
fn what_ends_by_itself_goes_on() {
    // RFC 7692, section 7.2.3.4.
    let hello = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    assert_eq!(read(&pass(&frame(0xc1, &hello), []).0), [(0x81, b"Hello".to_vec())]);
    let mut twice = deflate(b"Hello", FlushCompress::Finish);
    twice.extend(compressed(b", you"));
    assert_eq!(read(&pass(&frame(0xc1, &twice), []).0), [(0x81, b"Hello, you".to_vec())]);
    // Not for ever: each time costs what a whole message does.
    let nothing = deflate(b"", FlushCompress::Finish).repeat(1000);
    assert!(pass(&frame(0xc1, &nothing), []).0.ends_with(&REFUSED));
}

#[test]
fn one_frame_in_another_passes() {
    let ping = frame(0x89, b"ping");
    let frames = [message(1, b"hello", &[2])[..8].to_vec(), ping.clone()].concat();
    let begun = compressed(b"hello");
    let whole = [frame(0x41, &begun[..2]), ping.clone(), frame(0x80, &begun[2..])].concat();
    assert_eq!(&frames[..8], &whole[..8]);
    let read = read(&pass(&whole, []).0);
    assert_eq!(read[1], (0x89, b"ping".to_vec()));
    assert_eq!([&read[0].1[..], &read[2].1].concat(), b"hello");
}

#[test]
fn what_makes_no_sense_is_passed_on_and_refused() {
    let begun = frame(0x41, &compressed(b"hello")[..2]);
    for (before, wrong) in [
        // On a continuation, with and without a message; on frames that control; bits of other extensions.
        (&begun[..], frame(0x40, b"x")),
        (&[], frame(0x40, b"x")),
        (&begun, frame(0xc9, b"x")),
        (&[], frame(0xc8, b"")),
        (&[], frame(0xe1, b"x")),
        (&[], frame(0xa2, b"x")),
        // A message in another.
        (&begun, frame(0xc1, b"x")),
        (&begun, frame(0x81, b"x")),
    ] {
        let (passed, _) = pass(&[before, &wrong, &frame(0x81, b"more")].concat(), []);
        assert!(read(&passed).contains(&(wrong[0], read(&wrong)[0].1.clone())), "{wrong:?}");
    }
    let unmasked = [0xc1, 2, 0, 0];
    assert_eq!(pass(&unmasked, []).0, unmasked);
    for corrupt in [&b"\xff\xff\xff"[..], b"\x07", b"\x00\x01\x00\x00\x00x"] {
        assert!(pass(&frame(0xc1, corrupt), []).0.ends_with(&REFUSED), "{corrupt:?}");
    }
}

#[test]
fn a_message_points_at_none_before_it() {
    // What the one before had is not there.
    let mut compress = Compress::new(Compression::best(), false);
    let mut taken_over = Vec::new();
    let secret = b"a secret that is long enough to be pointed at";
    for _ in 0..2 {
        taken_over = Vec::with_capacity(256);
        compress.compress_vec(secret, &mut taken_over, FlushCompress::Sync).unwrap();
    }
    assert!(taken_over.len() < 20);
    let frames =
        [message(1, secret, &[]), frame(0xc1, &taken_over[..taken_over.len() - 4])].concat();
    let (passed, _) = pass(&frames, []);
    let again = passed.windows(secret.len()).filter(|window| window == secret).count();
    assert_eq!(again, 1);
}

#[test]
fn one_that_is_longer_than_it_may_be_is_refused_at_once() {
    let mut long = vec![0xc1, 0xff];
    long.extend(1_000_001_u64.to_be_bytes());
    long.extend(MASK);
    assert_eq!(pass(&long, []).0, REFUSED);
    // Blocks that say nothing.
    let nothing = [0, 0, 0, 0xff, 0xff].repeat(150_000);
    let (passed, _) = pass(&[frame(0x41, &nothing), frame(0, &nothing)].concat(), []);
    assert!(passed.ends_with(&REFUSED));
}

#[test]
fn what_is_held_is_known() {
    let whole = message(1, &[b'x'; 10_000], &[]);
    for end in 1..whole.len() {
        let (passed, inflating) = pass(&whole[..end], []);
        assert!(passed.is_empty() && inflating.holds() && !inflating.has_more());
    }
    let mut inflating = Inflater::new(1_000_000);
    // Blocks that say nothing are no progress.
    let nothing = [0, 0, 0, 0xff, 0xff].repeat(1000);
    inflating.pass(&frame(0x41, &nothing)[..4000], &mut Vec::new());
    assert!(inflating.holds() && !inflating.take_progress());
    let mut inflating = Inflater::new(1_000_000);
    inflating.pass(&whole[..whole.len() - 1], &mut Vec::new());
    assert!(inflating.take_progress() && !inflating.take_progress());
}

proptest! {
    #[test]
    fn it_does_not_matter_where_reads_and_frames_end(
        texts in prop::collection::vec((any::<u8>(), 0..60_000_usize, any::<bool>()), 1..4),
        ends in prop::collection::vec(any::<usize>(), 0..5),
        pieces in prop::collection::vec(1..5_000_usize, 1..20),
    ) {
        let mut frames = Vec::new();
        let mut expected = Vec::new();
        for (seed, length, plain) in texts {
            let bytes: Vec<u8> = (0..length).map(|at| seed.wrapping_mul((at / 100) as u8)).collect();
            if plain {
                frames.extend(frame(0x82, &bytes));
            } else {
                frames.extend(message(2, &bytes, &ends));
            }
            expected.extend(bytes);
        }
        let (whole, inflating) = pass(&frames, []);
        prop_assert!(!inflating.holds());
        let (in_pieces, _) = pass(&frames, pieces.into_iter().cycle());
        prop_assert_eq!(read(&in_pieces).concat_payloads(), &expected[..]);
        prop_assert_eq!(read(&whole).concat_payloads(), &expected[..]);
    }
}
