//! Node's `perMessageDeflate`: what is agreed with a client that offers to compress messages (RFC 7692).
//!
//! Neither side keeps anything of a message for the next one (`*_no_context_takeover`): a window of 32 KiB each way, for
//! each connection, would be more than all else that an idle one takes.

use http::{HeaderMap, HeaderValue, header};

use crate::config::PerMessageDeflate;

/// The extension.
const NAME: &str = "permessage-deflate";
/// Without `server_max_window_bits`.
const LARGEST_WINDOW: u8 = 15;
/// With smaller ones, to compress a message would cost a multiple.
const SMALLEST_WINDOW: u8 = 10;

/// What can be compressed no better gets no longer than by this share of it, and so many bytes.
const LONGER: (u64, u64) = (64, 1024);

/// What is agreed with a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct DeflateParams {
    /// Messages of so many bytes, or more, are compressed.
    pub threshold: usize,
    /// Bytes that a compressed message of the client may have.
    pub most: u64,
    /// What the client said of how far back compressed messages may point, as a power of 2.
    window: Option<u8>,
}

impl DeflateParams {
    /// With the first offer that can be had; nothing if there is none, or the setting is off.
    pub fn negotiate(
        headers: &HeaderMap,
        settings: &PerMessageDeflate,
        max_payload: usize,
    ) -> Option<Self> {
        if !settings.enabled {
            return None;
        }
        let lines = headers.get_all(header::SEC_WEBSOCKET_EXTENSIONS).iter();
        let mut offers =
            lines.filter_map(|line| line.to_str().ok()).flat_map(|line| split(line, ','));
        let window = offers.find_map(window)?;
        let most = max_payload as u64 + max_payload as u64 / LONGER.0 + LONGER.1;
        Some(Self { threshold: settings.threshold, most, window })
    }

    /// How far back compressed messages may point.
    pub fn window(self) -> usize {
        1 << self.window.unwrap_or(LARGEST_WINDOW)
    }

    /// What the client is told.
    pub fn header(self) -> Option<HeaderValue> {
        let mut text = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
        if let Some(bits) = self.window {
            text.push_str(&format!("; server_max_window_bits={bits}"));
        }
        text.try_into().ok()
    }

    #[cfg(test)]
    pub fn of(threshold: usize, window: u8) -> Self {
        Self { threshold, most: u64::MAX, window: Some(window) }
    }
}

/// What an offer says of the server's window; none if it is declined (RFC 7692, section 7.1).
fn window(offer: &str) -> Option<Option<u8>> {
    let mut parts = split(offer, ';');
    if parts.next()?.trim() != NAME {
        return None;
    }
    let (mut window, mut seen) = (None, Vec::new());
    for part in parts {
        let (name, value) = match part.split_once('=') {
            Some((name, value)) => (name.trim(), Some(unquoted(value.trim()))),
            None => (part.trim(), None),
        };
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover", None)
            | ("client_max_window_bits", None) => {}
            // All windows of clients can be read.
            ("client_max_window_bits", Some(value)) => drop(bits(value)?),
            ("server_max_window_bits", Some(value)) => {
                window = Some(bits(value).filter(|bits| *bits >= SMALLEST_WINDOW)?);
            }
            _ => return None,
        }
    }
    Some(window)
}

fn bits(value: &str) -> Option<u8> {
    let digits = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    digits.then(|| value.parse().ok())?.filter(|bits| (8..=LARGEST_WINDOW).contains(bits))
}

/// A quoted string of a token, as which a value may be written, has no escapes that are needed.
fn unquoted(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

/// The parts of a text between separators that are not quoted.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |character| {
        let escape = quoted && !escaped && character == '\\';
        quoted ^= character == '"' && !escaped;
        escaped = escape;
        character == separator && !quoted
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ON: PerMessageDeflate = PerMessageDeflate { enabled: true, threshold: 1024 };

    fn answer(lines: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::SEC_WEBSOCKET_EXTENSIONS, line.parse().unwrap());
        }
        let header = DeflateParams::negotiate(&headers, &ON, 1000)?.header().unwrap();
        let text = header.to_str().unwrap();
        let start = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        Some(text.strip_prefix(start).unwrap().to_owned())
    }

    #[test]
    fn the_first_offer_that_can_be_had_is_taken() {
        for (lines, expected) in [
            (&["permessage-deflate"][..], Some("")),
            (&["permessage-deflate; client_max_window_bits"], Some("")),
            (&["permessage-deflate;client_max_window_bits=8"], Some("")),
            (&["permessage-deflate; client_max_window_bits=\"15\""], Some("")),
            (
                &["permessage-deflate; server_no_context_takeover; client_no_context_takeover"],
                Some(""),
            ),
            (
                &["permessage-deflate; server_max_window_bits=12"],
                Some("; server_max_window_bits=12"),
            ),
            (
                &["permessage-deflate; server_max_window_bits = \"15\" "],
                Some("; server_max_window_bits=15"),
            ),
            (&["x-other, permessage-deflate"], Some("")),
            (&["x-other; a=\", permessage-deflate\""], None),
            (&["x-other; a=\"\\\", permessage-deflate\", permessage-deflate"], Some("")),
            (&["x-other", "permessage-deflate"], Some("")),
            (
                &[
                    "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=10",
                ],
                Some("; server_max_window_bits=10"),
            ),
            (&["permessage-deflate; server_max_window_bits=9", "permessage-deflate"], Some("")),
            (&["permessage-deflate; unknown, permessage-deflate"], Some("")),
            (&["permessage-deflate; unknown=1"], None),
            (&["permessage-deflate; server_max_window_bits"], None),
            (&["permessage-deflate; server_max_window_bits=16"], None),
            (&["permessage-deflate; server_max_window_bits=012"], None),
            (&["permessage-deflate; server_max_window_bits=+12"], None),
            (&["permessage-deflate; server_max_window_bits="], None),
            (&["permessage-deflate; client_max_window_bits=7"], None),
            (&["permessage-deflate; client_max_window_bits=\"\""], None),
            (&["permessage-deflate; server_no_context_takeover=1"], None),
            (&["permessage-deflate; client_no_context_takeover=\"\""], None),
            (&["permessage-deflate; client_max_window_bits; client_max_window_bits=10"], None),
            (&["permessage-deflate;"], None),
            (&["x-webkit-deflate-frame", "", ",;=\""], None),
            (&[], None),
        ] {
            assert_eq!(answer(lines).as_deref(), expected, "{lines:?}");
        }
    }

    #[test]
    fn nothing_is_agreed_where_it_is_off() {
        let mut headers = HeaderMap::new();
        headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(NAME));
        let off = PerMessageDeflate { enabled: false, ..ON };
        assert_eq!(DeflateParams::negotiate(&headers, &off, 1000), None);
        assert_eq!(DeflateParams::negotiate(&headers, &ON, 1000).unwrap().window(), 32 * 1024);
    }
}
