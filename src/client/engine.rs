//! Packets of Engine.IO 4, as the client side reads and writes them.
//! <https://socket.io/docs/v4/engine-io-protocol/>

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::Deserialize;

use super::TransportError;

/// Between the packets of one body of HTTP.
const SEPARATOR: char = '\u{1e}';
/// A server's word for how long to wait is believed up to this.
const LONGEST_SILENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// What the server says of itself when the connection opens.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Handshake {
    pub sid: String,
    #[serde(default)]
    pub upgrades: Vec<String>,
    ping_interval: u64,
    ping_timeout: u64,
    /// The largest message or body that the server takes, in bytes. Absent before Engine.IO 6.
    pub max_payload: Option<usize>,
}

impl Handshake {
    /// How long the server may be silent before it counts as gone: a ping is due each `pingInterval`, and may be late by
    /// `pingTimeout`.
    pub fn heartbeat_timeout(&self) -> Duration {
        let millis = self.ping_interval.saturating_add(self.ping_timeout);
        Duration::from_millis(millis).min(LONGEST_SILENCE)
    }
}

/// What the server sends.
#[derive(Debug, PartialEq)]
pub(super) enum Packet {
    Open(Handshake),
    Close,
    Ping,
    /// The answer to the ping of an upgrade.
    Pong,
    Text(String),
    Binary(Bytes),
    Noop,
}

impl Packet {
    pub fn text(text: &str) -> Result<Self, TransportError> {
        let wrong = || TransportError::Protocol(format!("{:?}", beginning(text)));
        let kind = text.chars().next().ok_or_else(wrong)?;
        let rest = text.get(kind.len_utf8()..).unwrap_or_default();
        Ok(match kind {
            '0' => Self::Open(serde_json::from_str(rest).map_err(|_| wrong())?),
            '1' => Self::Close,
            '2' => Self::Ping,
            '3' => Self::Pong,
            '4' => Self::Text(rest.to_owned()),
            '6' => Self::Noop,
            _ => return Err(wrong()),
        })
    }

    /// The packets of one body of HTTP.
    pub fn of_body(body: &[u8]) -> Result<Vec<Self>, TransportError> {
        let wrong = |problem: &str| TransportError::Protocol(problem.to_owned());
        let text = std::str::from_utf8(body).map_err(|_| wrong("a body that is no text"))?;
        text.split(SEPARATOR)
            .map(|packet| match packet.strip_prefix('b') {
                Some(base64) => STANDARD
                    .decode(base64)
                    .map(|bytes| Self::Binary(bytes.into()))
                    .map_err(|_| wrong("an attachment that is no base64")),
                None => Self::text(packet),
            })
            .collect()
    }
}

/// One thing that the client sends.
#[derive(Debug)]
pub(super) enum Frame {
    Pong,
    Text(Bytes),
    Binary(Bytes),
    /// Tells the server to use this WebSocket from now on.
    Upgrade,
    Close,
}

impl Frame {
    /// Its size in a body of HTTP.
    pub fn size_in_body(&self) -> usize {
        match self {
            Self::Text(text) => 1 + text.len(),
            Self::Binary(bytes) => 1 + bytes.len().div_ceil(3) * 4,
            Self::Pong | Self::Upgrade | Self::Close => 1,
        }
    }

    pub fn append_to(&self, body: &mut Vec<u8>) {
        if !body.is_empty() {
            body.push(SEPARATOR as u8);
        }
        match self {
            Self::Pong => body.push(b'3'),
            Self::Text(text) => {
                body.push(b'4');
                body.extend_from_slice(text);
            }
            Self::Binary(bytes) => {
                body.push(b'b');
                body.extend_from_slice(STANDARD.encode(bytes).as_bytes());
            }
            Self::Upgrade => body.push(b'5'),
            Self::Close => body.push(b'1'),
        }
    }
}

/// Of what others sent, so much as a message for people needs.
pub(super) fn beginning(text: &str) -> String {
    text.chars().take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_several_packets() {
        let body = "4hello\u{1e}2\u{1e}bAQID\u{1e}6";
        let binary = Packet::Binary(Bytes::from_static(&[1, 2, 3]));
        assert_eq!(
            Packet::of_body(body.as_bytes()).unwrap(),
            [Packet::Text("hello".into()), Packet::Ping, binary, Packet::Noop]
        );
        for wrong in ["", "4a\u{1e}", "b???", "7", "0{}", "é"] {
            assert!(Packet::of_body(wrong.as_bytes()).is_err(), "{wrong:?}");
        }
        assert!(Packet::of_body(&[0xff]).is_err());
    }

    #[test]
    fn frames_are_as_long_as_they_say() {
        let frames = [
            Frame::Pong,
            Frame::Text(Bytes::from_static(b"2[\"e\"]")),
            Frame::Binary(Bytes::from_static(&[0; 4])),
            Frame::Close,
        ];
        let mut body = Vec::new();
        for frame in &frames {
            frame.append_to(&mut body);
        }
        assert_eq!(body, b"3\x1e42[\"e\"]\x1ebAAAAAA==\x1e1");
        let sizes: usize = frames.iter().map(Frame::size_in_body).sum();
        assert_eq!(body.len(), sizes + frames.len() - 1);
    }

    #[test]
    fn a_server_cannot_ask_for_an_endless_heartbeat_timeout() {
        let open = |interval: u64| match Packet::text(&format!(
            r#"0{{"sid":"a","upgrades":["websocket"],"pingInterval":{interval},"pingTimeout":20000,"maxPayload":9}}"#
        )) {
            Ok(Packet::Open(handshake)) => handshake,
            packet => panic!("{packet:?}"),
        };
        assert_eq!(open(25_000).heartbeat_timeout(), Duration::from_secs(45));
        assert_eq!(open(u64::MAX).heartbeat_timeout(), LONGEST_SILENCE);
    }
}
