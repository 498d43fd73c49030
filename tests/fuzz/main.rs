//! Feeds every reader of bytes from outside with what it was not made for: the corpus, then mutations of it.
//!
//! `FUZZ_SECONDS` (1 by default) is the time of each target, `FUZZ_TARGET` the only one, `FUZZ_SEED` repeats a run.
//! Stable Rust has no coverage to be guided by, so the corpus has an input of each kind. An input that breaks a promise is
//! written to the corpus, where it stays as a test.

#![allow(clippy::unwrap_used)]

use std::{
    env, fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use fastrand::Rng;
use roomcast::fuzz::{TARGETS, Target};

/// The longest input: longer ones are no other kind.
const LONGEST: usize = 4096;

/// What readers branch at: lengths, separators, headers of msgpack, parts of JSON.
const TOKENS: [&[u8]; 36] = [
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x7f",
    b"\x80",
    b"\x90",
    b"\xc0",
    b"\xc1",
    b"\xc4\x01\0",
    b"\xc7\x01\0\x01",
    b"\xd4\0\0",
    b"\xd6\xff\0\0\0\0",
    b"\xd7\0\0\0\0\0\0\0\0\0",
    b"\xdb",
    b"\xdd",
    b"\xdf",
    b"\xcb\x7f\xf8\0\0\0\0\0\0",
    b"\xa1\xff",
    b"\xed\xa0\x80",
    b"\x1e",
    b":",
    b"[",
    b"]",
    b"{",
    b"}",
    b"null",
    b"-1",
    b"1e999",
    b"\"\"",
    b"\"\\ud83d\"",
    b"{\"_placeholder\":true,\"num\":0}",
    b"18446744073709551616",
    b"b",
    b"451-",
    b"rooms",
    b"except",
    b"opts",
];

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(name)
}

fn inputs(name: &str) -> Vec<Vec<u8>> {
    let folder = corpus(name);
    let mut files: Vec<_> =
        fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn mutate(rng: &mut Rng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = inputs[rng.usize(..inputs.len())].clone();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(..=input.len());
        let end = (at + rng.usize(..9)).min(input.len());
        match rng.u8(..7) {
            0 if at < input.len() => input[at] ^= 1 << rng.u8(..8),
            1 if at < input.len() => input[at] = rng.u8(..),
            2 => drop(input.drain(at..end)),
            3 => drop(input.splice(at..end, TOKENS[rng.usize(..TOKENS.len())].iter().copied())),
            4 => input.truncate(at),
            5 => {
                let piece = input[at..end].to_vec();
                let place = rng.usize(..=input.len());
                // Again and again: nesting.
                let piece = piece.repeat(if rng.u8(..20) == 0 { 300 } else { 1 });
                input.splice(place..place, piece);
            }
            _ => {
                let other = &inputs[rng.usize(..inputs.len())];
                let from = rng.usize(..=other.len());
                input.splice(at.., other[from..].iter().copied());
            }
        }
        input.truncate(LONGEST);
    }
    input
}

fn feed(name: &str, target: Target, input: &[u8], seed: u64) {
    if catch_unwind(AssertUnwindSafe(|| target(input))).is_ok() {
        return;
    }
    let file = corpus(name).join(format!("found-{seed:x}-{}", input.len()));
    fs::write(&file, input).unwrap();
    panic!("{name} breaks a promise with {} (FUZZ_SEED={seed})", file.display());
}

#[test]
fn readers_of_bytes_from_outside_keep_their_promises() {
    let seconds: f64 = env::var("FUZZ_SECONDS").map_or(1.0, |text| text.parse().unwrap());
    let seed =
        env::var("FUZZ_SEED").map_or_else(|_| fastrand::u64(..), |text| text.parse().unwrap());
    let only = env::var("FUZZ_TARGET").ok().filter(|only| !only.is_empty());
    let known = |only: &String| TARGETS.iter().any(|(name, _)| name == only);
    assert!(
        only.as_ref().is_none_or(known),
        "no such target; there are {:?}",
        TARGETS.map(|(name, _)| name)
    );
    for (name, target) in TARGETS {
        if only.as_ref().is_some_and(|only| only != name) {
            continue;
        }
        let inputs = inputs(name);
        inputs.iter().for_each(|input| feed(name, target, input, seed));
        let mut rng = Rng::with_seed(seed);
        let (begun, mut count) = (Instant::now(), 0_u64);
        while begun.elapsed() < Duration::from_secs_f64(seconds) {
            feed(name, target, &mutate(&mut rng, &inputs), seed);
            count += 1;
        }
        println!("{name}: {count} inputs");
    }
}
