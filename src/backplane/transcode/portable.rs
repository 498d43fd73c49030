//! What the parsers of all clients and the protocols between servers can carry.
//!
//! An event goes to the clients of this pod as it came, and to those of others through another encoding. What one of
//! them reads and the other has no form for would reach some members of a room and not the others, while its sender
//! is told that it was accepted. So each event is looked at before it goes anywhere, and refused as a whole: those of
//! clients, and those of backends and programs, in the same place.

use socketioxide_core::Value;

use super::{MAX_DEPTH, Reader, Token, TranscodeError};
use crate::config::{DEEPEST, Limits};

// The array of the event itself is one level of what transcoding takes.
const _: () = assert!(DEEPEST < MAX_DEPTH);

/// Digits that no number beyond all floats has so few of, without an exponent (the largest has 309).
const SURELY_FINITE: usize = 300;

/// How much of what an event may have.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Arrays and objects in one another, in an argument.
    pub depth: usize,
    /// Binary values.
    pub attachments: usize,
}

impl Bounds {
    /// What is taken from other servers: they have bounds of their own, and transcoding has its.
    pub const ELSEWHERE: Self = Self { depth: DEEPEST, attachments: usize::MAX };
}

impl From<&Limits> for Bounds {
    fn from(limits: &Limits) -> Self {
        Self { depth: limits.depth, attachments: limits.max_attachments }
    }
}

/// Why an event cannot reach all that it is for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unportable {
    /// Too many arrays and objects in one another.
    #[error("arrays and objects nested deeper than {0} levels (limits.depth)")]
    TooDeep(usize),
    /// A number that is infinite as a float, such as `1e400`.
    #[error("a number beyond those of 64 bits")]
    Number,
    /// Half of a surrogate pair, which no UTF-8 has.
    #[error("text with half of a surrogate pair: it was cut within a character")]
    Surrogate,
    /// Text of msgpack that is no UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// A key that is no name of a property in JSON.
    #[error("a map with {0} as a key")]
    Key(&'static str),
    /// An extension of msgpack that Socket.IO does not have.
    #[error("a msgpack extension of type {0}")]
    Extension(i8),
    /// Stock clients disconnect on too many.
    #[error("more than {0} binary attachments (limits.max_attachments)")]
    Attachments(usize),
    /// It is no msgpack.
    #[error("{0}")]
    Broken(String),
}

/// Looks at an event once, whatever parser wrote it. JSON must still be found to be JSON.
pub fn check(event: &Value, bounds: Bounds) -> Result<(), Unportable> {
    match event {
        Value::Str(text, attachments) => {
            if attachments.as_ref().is_some_and(|all| all.len() > bounds.attachments) {
                return Err(Unportable::Attachments(bounds.attachments));
            }
            check_json(text, bounds.depth)
        }
        Value::Bytes(bytes) => check_msgpack(bytes, bounds),
    }
}

/// The text of an event, an array: its nesting, its numbers, and the escapes in its strings.
pub fn check_json(text: &str, depth: usize) -> Result<(), Unportable> {
    let bytes = text.as_bytes();
    let (mut at, mut level) = (0, 0_usize);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'[' | b'{' => {
                level += 1;
                // The array of the event is none of its arguments.
                if level > depth + 1 {
                    return Err(Unportable::TooDeep(depth));
                }
            }
            b']' | b'}' => level = level.saturating_sub(1),
            b'"' => at = string_end(bytes, at)?,
            b'-' | b'0'..=b'9' => at = number_end(text, at - 1)?,
            _ => {}
        }
    }
    Ok(())
}

/// Where a string ends whose content begins at `at`.
fn string_end(bytes: &[u8], mut at: usize) -> Result<usize, Unportable> {
    while let Some(next) = bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'\\')) {
        at += next;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at += match (escaped_unit(bytes, at), escaped_unit(bytes, at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => return Err(Unportable::Surrogate),
            _ => 2,
        };
        at = at.min(bytes.len());
    }
    Ok(bytes.len())
}

/// The UTF-16 unit of an escape (`\u00e9`), if there is one.
fn escaped_unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Where a number ends that begins at `start`.
fn number_end(text: &str, start: usize) -> Result<usize, Unportable> {
    let is_part = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    let rest = &text.as_bytes()[start..];
    let length = rest.iter().position(|byte| !is_part(byte)).unwrap_or(rest.len());
    let number = &text[start..start + length];
    let may_be_infinite = length > SURELY_FINITE || number.contains(['e', 'E']);
    if may_be_infinite && number.parse().is_ok_and(f64::is_infinite) {
        return Err(Unportable::Number);
    }
    Ok(start + length)
}

/// An event in msgpack, to its end. It keeps what is open in a list, no longer than the depth, so none ends the stack.
pub fn check_msgpack(bytes: &[u8], bounds: Bounds) -> Result<(), Unportable> {
    /// Values to come of an array or a map; of a map, each second one is a key.
    struct Open {
        left: usize,
        map: bool,
    }

    let broken = |error: TranscodeError| Unportable::Broken(error.to_string());
    let mut reader = Reader::new(bytes);
    let mut open: Vec<Open> = vec![Open { left: 1, map: false }];
    let mut attachments = 0;
    while let Some(inner) = open.last_mut() {
        if inner.left == 0 {
            open.pop();
            continue;
        }
        let is_key = inner.map && inner.left.is_multiple_of(2);
        inner.left -= 1;
        let token = reader.token().map_err(broken)?;
        match token {
            Token::Text(text) if std::str::from_utf8(text).is_err() => {
                return Err(Unportable::Utf8);
            }
            Token::Extension(kind) => return Err(Unportable::Extension(kind)),
            Token::Binary(_) | Token::Date(_) | Token::Array(_) | Token::Map(_) if is_key => {
                return Err(Unportable::Key(token.kind()));
            }
            Token::Binary(_) => {
                attachments += 1;
                if attachments > bounds.attachments {
                    return Err(Unportable::Attachments(bounds.attachments));
                }
            }
            Token::Array(left) => open.push(Open { left, map: false }),
            Token::Map(pairs) => open.push(Open { left: 2 * pairs, map: true }),
            _ => {}
        }
        // The first is that of the whole, the second the array of the event.
        if open.len() > bounds.depth + 2 {
            return Err(Unportable::TooDeep(bounds.depth));
        }
    }
    reader.finish().map_err(broken)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use bytes::Bytes;

    use super::*;
    use crate::backplane::transcode::{json_to_msgpack, msgpack_to_json};

    const BOUNDS: Bounds = Bounds { depth: 64, attachments: 10 };

    fn json(text: &str) -> Result<(), Unportable> {
        check_json(text, BOUNDS.depth)
    }

    fn msgpack(bytes: &[u8]) -> Result<(), Unportable> {
        check(&Value::Bytes(Bytes::copy_from_slice(bytes)), BOUNDS)
    }

    fn nested(levels: usize) -> String {
        format!(r#"["chat",{}1{}]"#, r#"[{"a":"#.repeat(levels / 2), "}]".repeat(levels / 2))
    }

    #[test]
    fn what_json_has_and_msgpack_has_not_is_refused() {
        for (text, expected) in [
            (r#"["a",1e400]"#, Unportable::Number),
            (r#"["a",-1E+400]"#, Unportable::Number),
            (r#"["a",{"b":[0.1e999999999999999999999]}]"#, Unportable::Number),
            (&format!(r#"["a",{}]"#, "9".repeat(310)), Unportable::Number),
            (r#"["a","\ud83d"]"#, Unportable::Surrogate),
            (r#"["a","x\uDE00\ud83d"]"#, Unportable::Surrogate),
            (r#"["\udfff"]"#, Unportable::Surrogate),
            (r#"["a",{"\ud83d":1}]"#, Unportable::Surrogate),
            (r#"["a","\ud83d\u0041"]"#, Unportable::Surrogate),
            (r#"["a","\\\ud83d"]"#, Unportable::Surrogate),
        ] {
            assert_eq!(json(text), Err(expected), "{text}");
        }
    }

    #[test]
    fn what_passes_reaches_the_other_encoding() {
        for text in [
            r#"["a",1e308,-1e-400,0e999,1.5,18446744073709551616]"#,
            r#"["a","\ud83d\ude00","\\ud83d","é😀\n\"[[["]"#,
            r#"["a","1e400",{"1e400":null}]"#,
            r#"["a","]]]]","\\"]"#,
            &format!(r#"["a",{}]"#, "9".repeat(308)),
            &nested(64),
        ] {
            json(text).unwrap();
            let mut bytes = Vec::new();
            json_to_msgpack(text, None, &mut bytes).unwrap();
            msgpack(&bytes).unwrap();
            let length = bytes.len();
            msgpack_to_json(&bytes.into(), 0..length).unwrap();
        }
    }

    #[test]
    fn depth_is_that_of_an_argument() {
        for (levels, expected) in [(64, Ok(())), (66, Err(Unportable::TooDeep(64)))] {
            let text = nested(levels);
            assert_eq!(json(&text), expected);
            let mut bytes = Vec::new();
            json_to_msgpack(&text, None, &mut bytes).unwrap();
            assert_eq!(msgpack(&bytes), expected);
        }
        let wide = format!(r#"["a",{}1]"#, "[[]],{},".repeat(1000));
        assert_eq!(json(&wide), Ok(()));
        // The deepest that can be set is what transcoding takes.
        let deepest = nested(DEEPEST);
        check_json(&deepest, DEEPEST).unwrap();
        let mut bytes = Vec::new();
        json_to_msgpack(&deepest, None, &mut bytes).unwrap();
        let length = bytes.len();
        msgpack_to_json(&bytes.into(), 0..length).unwrap();
        // No depth ends the stack.
        assert!(json(&"[".repeat(1_000_000)).is_err());
        assert!(msgpack(&[0x91; 1_000_000]).is_err());
    }

    #[test]
    fn what_msgpack_has_and_json_has_not_is_refused() {
        let many = [b"\x91\xdc\0\x0b".as_slice(), &b"\xc4\0".repeat(11)].concat();
        for (bytes, expected) in [
            (b"\x92\xa1a\xa2\xff\xfe".as_slice(), Unportable::Utf8),
            (b"\x91\xa1\xff", Unportable::Utf8),
            (b"\x92\xa1a\x81\xa1\xff\x01", Unportable::Utf8),
            (b"\x92\xa1a\xd4\x05\0", Unportable::Extension(5)),
            (b"\x92\xa1a\xd5\0\0\0", Unportable::Extension(0)),
            (b"\x92\xa1a\x81\x90\x01", Unportable::Key("an array")),
            (b"\x92\xa1a\x81\x80\x01", Unportable::Key("a map")),
            (b"\x92\xa1a\x82\x01\x01\xc4\x01a\x01", Unportable::Key("binary")),
            (b"\x92\xa1a\x81\xd6\xff\0\0\0\0\x01", Unportable::Key("a date")),
            (&many, Unportable::Attachments(10)),
        ] {
            assert_eq!(msgpack(bytes), Err(expected), "{bytes:x?}");
        }
        for broken in [b"".as_slice(), b"\x92\xa1a", b"\x91\xa1a\x01", b"\x91\xc1"] {
            assert!(matches!(msgpack(broken), Err(Unportable::Broken(_))), "{broken:x?}");
        }
        // Keys that JavaScript has names for, and a date.
        msgpack(b"\x92\xa1a\x85\x01\x01\xc0\x01\xc3\x01\xca\0\0\0\0\x01\xa1b\xd6\xff\0\0\0\0")
            .unwrap();
    }

    #[test]
    fn attachments_are_as_many_as_stock_clients_take() {
        let event = |count: usize| {
            let attachments = std::iter::repeat_n(Bytes::from_static(b"x"), count).collect();
            Value::Str(r#"["a"]"#.into(), Some(attachments))
        };
        assert_eq!(check(&event(10), BOUNDS), Ok(()));
        assert_eq!(check(&event(11), BOUNDS), Err(Unportable::Attachments(10)));
    }
}
