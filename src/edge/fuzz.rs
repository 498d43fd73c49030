//! What the edge reads of bytes from outside, opened for `tests/fuzz` and for nothing else.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};

use super::{
    frames::{
        base64_to_binary::Base64ToBinary,
        connect_query_frames::ConnectQueryFrames,
        incoming::IncomingFrames,
        inflate::{Inflater, PIECE, REFUSED},
        message_tracker::MessageTracker,
        permessage_deflate::DeflateParams,
    },
    packets::{
        attachments::AttachmentTracker,
        eio3_payload, lenient_base64,
        namespace_connect::{ClientNamespaces, ConnectAction},
    },
    polling::payload_parts::{Part, PayloadFormat, PayloadParts},
};
use crate::config::PerMessageDeflate;

/// Payloads of Engine.IO 3, as text and in octets.
pub fn eio3_payload(input: &[u8]) {
    for (octets, form) in [(false, PayloadFormat::Text3), (true, PayloadFormat::Octets3)] {
        let parts = in_parts(input, form, false);
        // A packet that leaves for each that comes; the length of each has a digit at least.
        assert!(parts <= input.len() * 3 + 16, "{parts} of {}", input.len());
        let received = eio3_payload::received_octets(Bytes::copy_from_slice(input));
        assert!(received.len() <= input.len() * 4 + 16, "{} of {}", received.len(), input.len());
        let mended = eio3_payload::mend_binary(Bytes::copy_from_slice(input), octets);
        // At most a type and a digit more for each packet, of which each has two bytes at least.
        assert!(mended.len() <= input.len() * 3 + 16, "{} of {}", mended.len(), input.len());
    }
}

/// A client that is in all namespaces, or in none.
struct Everywhere {
    is_in: bool,
    is_msgpack: bool,
}

impl ClientNamespaces for Everywhere {
    fn on_connect(&self, _: &str, _: bool) -> ConnectAction {
        if self.is_in { ConnectAction::DisconnectFirst } else { ConnectAction::Forward }
    }

    fn is_connecting(&self, _: &str) -> bool {
        false
    }

    fn is_connecting_any(&self) -> bool {
        true
    }

    fn is_msgpack(&self) -> bool {
        self.is_msgpack
    }
}

/// Bytes of all parts of a payload.
fn in_parts(input: &[u8], form: PayloadFormat, is_msgpack: bool) -> usize {
    let mut parts = PayloadParts::new(Bytes::copy_from_slice(input), form, 64);
    let mut length = 0;
    while let Some(Part::Ready(part)) = parts.next(&Everywhere { is_in: true, is_msgpack }) {
        length += part.len() + 1;
    }
    length - 1
}

/// Payloads of Engine.IO 4: whether what was announced has come.
pub fn eio4_payload(input: &[u8]) {
    for is_msgpack in [false, true] {
        let marked = in_parts(input, PayloadFormat::V4, is_msgpack);
        // A packet of msgpack that leaves has more than one that comes, and both are base64.
        assert!(marked <= input.len() * 4 + 16, "{marked} of {}", input.len());
    }
    let mended = lenient_base64::mend(Bytes::copy_from_slice(input));
    assert!(mended.len() <= input.len() * 2 + 16, "{} of {}", mended.len(), input.len());
    assert_eq!(lenient_base64::mend(mended.clone()), mended);
    let mut session = AttachmentTracker::default();
    if let Some(request) = session.follow(input) {
        assert!(session.stuck_since(request));
    }
}

/// WebSocket frames, which come in any pieces.
pub fn websocket_frames(input: &[u8]) {
    let mut whole = MessageTracker::default();
    whole.follow(input);
    let mut pieces = MessageTracker::default();
    for piece in input.chunks(3) {
        pieces.follow(piece);
    }
    assert_eq!(whole.at_boundary(), pieces.at_boundary());
    assert_eq!(whole.is_complete(), pieces.is_complete());
    for is_msgpack in [false, true] {
        let namespaces = Everywhere { is_in: false, is_msgpack };
        let (mut whole, mut pieces) = (IncomingFrames::default(), IncomingFrames::default());
        let passed: Vec<u8> = input
            .chunks(3)
            .flat_map(|piece| pieces.pass(piece, &namespaces).into_owned())
            .collect();
        assert!(whole.pass(input, &namespaces) == passed && whole.is_idle() == pieces.is_idle());
    }

    for eio3 in [false, true] {
        let whole = Base64ToBinary::new(eio3, 1000).pass(input);
        assert!(whole.len() <= input.len() * 3 + 16, "{} of {}", whole.len(), input.len());
        let mut pieces = Base64ToBinary::new(eio3, 1000);
        let pieces: Vec<u8> = input.chunks(3).flat_map(|piece| pieces.pass(piece)).collect();
        assert_eq!(whole, pieces);
    }

    let whole = ConnectQueryFrames::default().pass(input);
    let mut pieces = ConnectQueryFrames::default();
    let pieces: Vec<u8> = input.chunks(3).flat_map(|piece| pieces.pass(piece)).collect();
    assert_eq!(whole, pieces);
}

/// The same of a client that may compress them.
pub fn deflated_frames(input: &[u8]) {
    let pass = |length: usize| {
        let (mut inflating, mut all) = (Inflater::new(1000), Vec::new());
        for mut piece in input.chunks(length) {
            while !piece.is_empty() || inflating.has_more() {
                let mut out = Vec::new();
                let taken = inflating.pass(piece, &mut out);
                let goes_on = taken > 0 || !out.is_empty() || !inflating.has_more();
                assert!(goes_on, "it does not go on");
                assert!(out.len() <= 3 * PIECE, "{} bytes at once", out.len());
                piece = &piece[taken..];
                all.extend(out);
            }
        }
        (all, inflating.holds())
    };
    let (whole, pieces) = (pass(input.len().max(1)), pass(3));
    // What came before may be lost with what makes no sense.
    let is_refused = |(all, _): &(Vec<u8>, bool)| all.ends_with(&REFUSED);
    assert!(whole == pieces || is_refused(&whole) && is_refused(&pieces));
}

/// What a client offers.
pub fn websocket_extensions(input: &[u8]) {
    let mut headers = HeaderMap::new();
    for line in input.split(|byte| *byte == b'\n') {
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, line);
        }
    }
    let settings = PerMessageDeflate { enabled: true, threshold: 0 };
    if let Some(agreed) = DeflateParams::negotiate(&headers, &settings, 1000) {
        assert!((1024..=32 * 1024).contains(&agreed.window()) && agreed.header().is_some());
    }
}

/// The header of the PROXY protocol.
pub fn proxy_protocol(input: &[u8]) {
    // It is logged when it cannot be read.
    if let Err(error) = ppp::v2::Header::try_from(input) {
        let _ = error.to_string();
    }
}
