//! The beginning of what socketioxide writes to a WebSocket: in two places changed.
//!
//! Gaps: the session id in the opening packet is the `socket.id` (see `packets/session_id.rs`); and the first heartbeat ping
//! goes out at once, where the protocol has it after one ping interval (Engine.IO, "Heartbeat"). So the
//! first packet gets another id, and the first ping is withheld and answered for the client.

use socketioxide_core::Sid;

use super::{frame_counter::first_header, header::write_header};
use crate::edge::packets::{connect_error, open_packet::OpenPacket, session_id::Seal};

/// Engine.IO's ping, as socketioxide frames it.
const PING: &[u8] = &[0x81, 1, b'2'];
/// The opcode of a binary frame.
const BINARY: u8 = 2;

/// What is still to be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpeningChange {
    /// The opening packet, and then the first ping if the server pings: in Engine.IO v3 the client does.
    Opening { pings: bool },
    /// The first ping.
    Ping,
    /// Nothing.
    Nothing,
}

/// What frames became.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ChangedFrames {
    pub frames: Vec<u8>,
    /// The first ping was among them.
    pub ping: bool,
    /// The id of the session, if its opening packet was.
    pub sid: Option<Sid>,
}

impl OpeningChange {
    /// What is to be written in place of these frames, which are whole. `first` says whether a ping is the
    /// first of its session.
    pub fn apply(&mut self, frames: &[u8], seal: &Seal, first: impl Fn() -> bool) -> ChangedFrames {
        let mut changed =
            ChangedFrames { frames: Vec::with_capacity(frames.len() + 64), ping: false, sid: None };
        let mut rest = frames;
        while let Some((header, length)) = first_frame(rest) {
            let (frame, others) = rest.split_at(header + length);
            rest = others;
            match self {
                Self::Opening { pings } => {
                    *self = if *pings { Self::Ping } else { Self::Nothing };
                    match OpenPacket::find(&frame[header..]) {
                        Some(open) => {
                            changed.sid = Some(open.sid);
                            text(&open.with_id(&seal.seal(open.sid)), &mut changed.frames);
                        }
                        None => changed.frames.extend_from_slice(frame),
                    }
                }
                Self::Ping if frame == PING => {
                    *self = Self::Nothing;
                    changed.ping = first();
                    if !changed.ping {
                        changed.frames.extend_from_slice(frame);
                    }
                }
                _ => changed.frames.extend_from_slice(frame),
            }
        }
        changed.frames.extend_from_slice(rest);
        changed
    }
}

/// Frames, which are whole, with what clients are to be told of refusals; and how many have told it.
pub(crate) fn with_refusals(frames: &[u8]) -> (Vec<u8>, u32) {
    let mut changed = (Vec::with_capacity(frames.len() + 64), 0);
    let mut rest = frames;
    while let Some((header, length)) = first_frame(rest) {
        let (frame, others) = rest.split_at(header + length);
        rest = others;
        match connect_error::packet(&frame[header..], frame[0] & 0x0f == BINARY) {
            Some(packet) => {
                changed.1 += 1;
                write_frame(frame[0], &packet, &mut changed.0);
            }
            None => changed.0.extend_from_slice(frame),
        }
    }
    changed.0.extend_from_slice(rest);
    changed
}

/// The lengths of the header and of the payload of the first frame, if all of it is there.
fn first_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (header, length) = first_header(bytes)?;
    (bytes.len().checked_sub(header)? >= length).then_some((header, length))
}

/// A text frame.
fn text(payload: &[u8], frames: &mut Vec<u8>) {
    write_frame(0x81, payload, frames);
}

/// A frame that begins with this byte.
fn write_frame(first: u8, payload: &[u8], frames: &mut Vec<u8>) {
    write_header(first, payload.len() as u64, None, frames);
    frames.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn frame(payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        text(payload, &mut frame);
        frame
    }

    #[test]
    fn the_opening_packet_gets_another_id_and_the_first_ping_is_withheld() {
        let seal = Seal::new(Sid::new(), "").unwrap();
        let sid = Sid::new();
        let open = |sid: &str| frame(format!(r#"0{{"sid":"{sid}","upgrades":[]}}"#).as_bytes());
        let mut change = OpeningChange::Opening { pings: true };

        let changed = change.apply(&open(sid.as_str()), &seal, || true);
        assert_eq!(
            changed,
            ChangedFrames { frames: open(&seal.seal(sid)), ping: false, sid: Some(sid) }
        );
        let connected = frame(br#"40{"sid":"x"}"#);
        let changed = change.apply(&[&connected[..], PING, &connected].concat(), &seal, || true);
        assert_eq!(
            changed,
            ChangedFrames { frames: [&connected[..], &connected].concat(), ping: true, sid: None }
        );
        assert_eq!(change, OpeningChange::Nothing);
    }

    #[test]
    fn a_ping_that_is_not_the_first_passes() {
        let seal = Seal::new(Sid::new(), "").unwrap();
        let mut change = OpeningChange::Ping;
        let changed = change.apply(PING, &seal, || false);
        assert_eq!(changed, ChangedFrames { frames: PING.to_vec(), ping: false, sid: None });
        assert_eq!(change, OpeningChange::Nothing);
    }
}
