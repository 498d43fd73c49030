//! `Sec-WebSocket-Protocol` (RFC 6455, section 4.2.2): clients with the option `protocols` offer some, and do not connect
//! unless one of them is answered. As on Node, that is the first one; a list that is none is refused.

use http::{HeaderMap, HeaderValue, header};

/// Other characters of a name than letters and digits (RFC 9110, section 5.6.2).
const OTHERS: &[u8] = b"!#$%&'*+-.^_`|~";

/// The offers of a client are no list of names.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid;

/// The protocol that is answered; none if none is offered.
pub(crate) fn first_offered(headers: &HeaderMap) -> Result<Option<HeaderValue>, Invalid> {
    let mut names: Vec<&[u8]> = Vec::new();
    for line in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        for name in line.as_bytes().split(|byte| *byte == b',') {
            let name = name.trim_ascii();
            let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || OTHERS.contains(byte);
            if name.is_empty() || !name.iter().all(is_token) {
                return Err(Invalid);
            }
            names.push(name);
        }
    }
    let first = names.first().map(|name| HeaderValue::from_bytes(name)).transpose();
    let first = first.map_err(|_| Invalid)?;
    // Sorted, for a list of thousands not to be compared with itself.
    names.sort_unstable();
    if names.windows(2).any(|two| two[0] == two[1]) { Err(Invalid) } else { Ok(first) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_first_one_is_answered_and_what_is_no_list_is_not() {
        for (lines, expected) in [
            (&[][..], Ok(None)),
            (&["chat"], Ok(Some("chat"))),
            (&["chat, b,c"], Ok(Some("chat"))),
            (&["v1.chat!#$%&'*+-^_`|~\t,  b "], Ok(Some("v1.chat!#$%&'*+-^_`|~"))),
            (&["a", "b"], Ok(Some("a"))),
            (&["a", "b, a"], Err(Invalid)),
            (&[""], Err(Invalid)),
            (&["a,"], Err(Invalid)),
            (&[",a"], Err(Invalid)),
            (&["a b"], Err(Invalid)),
            (&["a;q=1"], Err(Invalid)),
            (&["\"a\""], Err(Invalid)),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers
                    .append(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(line).unwrap());
            }
            let expected = expected.map(|name| name.map(HeaderValue::from_static));
            assert_eq!(first_offered(&headers), expected, "{lines:?}");
        }
    }
}
