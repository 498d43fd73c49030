//! Dates for clients of `socket.io-msgpack-parser`.
//!
//! Its `notepack.io` 2 knows dates as extension 0 only, eight bytes of milliseconds; the Node adapters
//! write them with `notepack.io` 3, as timestamps (extension -1). Clients of a Node server get the former,
//! as the server reads the one and writes the other.

use super::{Reader, Token, TranscodeError};

/// How such a date begins: fixext 8, type 0.
const DATE: [u8; 2] = [0xd7, 0x00];

/// A value of msgpack with its dates as those clients read them; `None` if there is nothing to change.
pub fn with_legacy_dates(value: &[u8]) -> Result<Option<Vec<u8>>, TranscodeError> {
    let mut reader = Reader::new(value);
    let mut out: Option<Vec<u8>> = None;
    let (mut copied, mut left) = (0, 1_usize);
    while left > 0 {
        let start = reader.position();
        let token = reader.token()?;
        let inside = match token {
            Token::Array(length) => length,
            Token::Map(length) => 2 * length,
            _ => 0,
        };
        left = left.saturating_add(inside) - 1;
        if let Token::Date(milliseconds) = token
            && !value[start..].starts_with(&DATE)
        {
            let out = out.get_or_insert_with(|| Vec::with_capacity(value.len()));
            out.extend_from_slice(&value[copied..start]);
            out.extend_from_slice(&DATE);
            out.extend_from_slice(&(milliseconds as i64).to_be_bytes());
            copied = reader.position();
        }
    }
    if let Some(out) = &mut out {
        out.extend_from_slice(&value[copied..]);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn timestamps_become_dates_of_old_and_nothing_else_changes() {
        // ["a", new Date(1000), [new Date(1.5e12)], "z"], as notepack.io 3 and 2 encode it.
        let new = b"\x94\xa1a\xd6\xff\0\0\0\x01\x91\xd6\xff\x59\x68\x2f\0\xa1z";
        let old = b"\x94\xa1a\xd7\0\0\0\0\0\0\0\x03\xe8\x91\xd7\0\0\0\x01\x5d\x3e\xf7\x98\0\xa1z";
        assert_eq!(with_legacy_dates(new).unwrap().unwrap(), old);
        assert_eq!(with_legacy_dates(old).unwrap(), None);
        assert_eq!(with_legacy_dates(b"\x92\xa1a\xc4\x02\xd6\xff").unwrap(), None);
        assert!(with_legacy_dates(b"\x92\xa1a").is_err());
    }
}
