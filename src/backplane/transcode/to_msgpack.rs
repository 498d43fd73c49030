//! JSON text and its attachments to msgpack with binary in it.

use std::{borrow::Cow, collections::VecDeque, fmt};

use bytes::Bytes;
use rmp::encode;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::{MAX_SAFE_INTEGER, NUMBER, PLACEHOLDER, TranscodeError};

/// Writes JSON, such as the arguments of an event, behind what is in `out`.
///
/// Attachments take the place of their placeholders. Without any, a placeholder is an object like
/// others, as it is to `socket.io-parser`.
///
/// Numbers become what `notepack.io` makes of them: the shortest integer if they are whole, else a
/// float of 64 bits. `serde_json` reads integers beyond 64 bits as floats.
///
/// # Errors
/// If it is not JSON, is nested too deep, has a number beyond all floats (`1e400`), or a
/// placeholder without an attachment. Then `out` is as it was.
pub fn json_to_msgpack(
    text: &str,
    attachments: Option<&VecDeque<Bytes>>,
    out: &mut Vec<u8>,
) -> Result<(), TranscodeError> {
    let start = out.len();
    let mut result = write(text, attachments, out);
    if result.is_err()
        && let Cow::Owned(mended) = mend_surrogates(text)
    {
        out.truncate(start);
        result = write(&mended, attachments, out);
    }
    if result.is_err() {
        out.truncate(start);
    }
    Ok(result?)
}

fn write(
    text: &str,
    attachments: Option<&VecDeque<Bytes>>,
    out: &mut Vec<u8>,
) -> Result<(), serde_json::Error> {
    let attachments = attachments.filter(|attachments| !attachments.is_empty());
    let budget = attachments.into_iter().flatten().map(Bytes::len).sum();
    out.reserve(text.len() + budget);
    let mut json = serde_json::Deserializer::from_str(text);
    Writer { out, attachments, budget }.deserialize(&mut json)?;
    json.end()
}

/// Replaces each half of a surrogate pair that stands alone by U+FFFD.
///
/// JavaScript cuts text wherever it is told to, also within a character outside the Basic
/// Multilingual Plane, and writes the half as an escape (`"\ud83d"`). No UTF-8 has that, and
/// `serde_json` refuses it; the sender's event must reach other pods all the same.
pub fn mend_surrogates(text: &str) -> Cow<'_, str> {
    let escape = |at: usize| {
        let digits = text.get(at..)?.strip_prefix("\\u")?.get(..4)?;
        u16::from_str_radix(digits, 16).ok()
    };
    let mut mended = Cow::Borrowed(text);
    let mut at = 0;
    while let Some(next) = text[at..].find('\\') {
        at += next;
        let width = match (escape(at), escape(at + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 12,
            (Some(0xd800..=0xdfff), _) => {
                mended.to_mut().replace_range(at..at + 6, "\\ufffd");
                6
            }
            _ => 2,
        };
        // A character of several bytes behind a backslash is no JSON, mended or not.
        match text.get(at + width..) {
            Some(_) => at += width,
            None => break,
        }
    }
    mended
}

/// Writes each value when `serde_json` reads it.
struct Writer<'a> {
    out: &'a mut Vec<u8>,
    attachments: Option<&'a VecDeque<Bytes>>,
    /// Bytes of attachments that may still be written. Clients send one placeholder for each
    /// attachment; thousands for the same one would make gigabytes of a short text.
    budget: usize,
}

/// What was written, as far as it matters for placeholders.
#[derive(PartialEq)]
enum Written {
    Placeholder,
    Number,
    True,
    Index(u64),
    Other,
}

impl Writer<'_> {
    /// Leaves a byte for the header of an array or a map: its length is not known yet.
    fn open(&mut self) -> usize {
        self.out.push(0);
        self.out.len() - 1
    }

    /// Puts the header, which was written behind the content, in its place. Up to 15 entries it is
    /// one byte; for a longer one the content moves, which costs less than to count the entries
    /// before they are read.
    fn close(&mut self, start: usize, content_end: usize) {
        if self.out.len() - content_end == 1 {
            self.out.swap_remove(start);
        } else {
            let header = self.out.split_off(content_end);
            self.out.splice(start..=start, header);
        }
    }

    fn attach<E: Error>(&mut self, number: &Written) -> Result<Written, E> {
        let attachment = match (number, self.attachments) {
            (Written::Index(index), Some(attachments)) => {
                usize::try_from(*index).ok().and_then(|index| attachments.get(index))
            }
            _ => None,
        };
        let attachment = attachment
            .ok_or_else(|| E::custom("a placeholder for an attachment that is not there"))?;
        self.budget = self
            .budget
            .checked_sub(attachment.len())
            .ok_or_else(|| E::custom("more than one placeholder for an attachment"))?;
        done(encode::write_bin(self.out, attachment))
    }
}

/// A vector takes whatever is written, although the signature says that it may not.
fn done<T, W: fmt::Display, E: Error>(written: Result<T, W>) -> Result<Written, E> {
    written.map(|_| Written::Other).map_err(E::custom)
}

/// Reads any value; also the keys of objects, which are text.
impl<'de> DeserializeSeed<'de> for &mut Writer<'_> {
    type Value = Written;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Written, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for &mut Writer<'_> {
    type Value = Written;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Written, E> {
        done(encode::write_nil(self.out))
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Written, E> {
        done::<_, _, E>(encode::write_bool(self.out, value))?;
        Ok(if value { Written::True } else { Written::Other })
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Written, E> {
        done::<_, _, E>(encode::write_uint(self.out, number))?;
        Ok(Written::Index(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Written, E> {
        done(encode::write_sint(self.out, number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Written, E> {
        if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
            return self.visit_i64(number as i64);
        }
        done(encode::write_f64(self.out, number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Written, E> {
        done::<_, _, E>(encode::write_str(self.out, text))?;
        Ok(match text {
            PLACEHOLDER => Written::Placeholder,
            NUMBER => Written::Number,
            _ => Written::Other,
        })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Written, A::Error> {
        let start = self.open();
        let mut length = 0;
        while seq.next_element_seed(&mut *self)?.is_some() {
            length += 1;
        }
        let end = self.out.len();
        done::<_, _, A::Error>(encode::write_array_len(self.out, length))?;
        self.close(start, end);
        Ok(Written::Other)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Written, A::Error> {
        let start = self.open();
        let mut length = 0;
        // As in JavaScript, the last of several equal keys counts.
        let (mut placeholder, mut number) = (Written::Other, Written::Other);
        while let Some(key) = map.next_key_seed(&mut *self)? {
            let value = map.next_value_seed(&mut *self)?;
            match key {
                Written::Placeholder => placeholder = value,
                Written::Number => number = value,
                _ => {}
            }
            length += 1;
        }
        if self.attachments.is_some() && placeholder == Written::True {
            self.out.truncate(start);
            return self.attach(&number);
        }
        let end = self.out.len();
        done::<_, _, A::Error>(encode::write_map_len(self.out, length))?;
        self.close(start, end);
        Ok(Written::Other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn msgpack(text: &str, attachments: &[&'static [u8]]) -> Result<Vec<u8>, TranscodeError> {
        let attachments = attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect();
        let mut out = Vec::new();
        json_to_msgpack(text, Some(&attachments), &mut out).map(|()| out)
    }

    #[test]
    fn numbers_are_as_short_as_notepack_makes_them() {
        for (text, bytes) in [
            ("1.0", b"\x01".as_slice()),
            ("-0.0", b"\0"),
            ("-0", b"\0"),
            ("1e3", b"\xcd\x03\xe8"),
            ("-33.0", b"\xd0\xdf"),
            ("9007199254740991.0", b"\xcf\0\x1f\xff\xff\xff\xff\xff\xff"),
            ("9007199254740992.0", b"\xcbC@\0\0\0\0\0\0"),
            ("18446744073709551615", b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
            ("18446744073709551616", b"\xcbC\xf0\0\0\0\0\0\0"),
            ("-9223372036854775808", b"\xd3\x80\0\0\0\0\0\0\0"),
            // The nearest of all floats: `serde_json` needs its feature `float_roundtrip` for it.
            ("98.68262717251639", b"\xcb@X\xab\xb0)\xe1Th"),
        ] {
            assert_eq!(msgpack(text, &[]).unwrap(), bytes, "{text}");
        }
        assert!(msgpack("1e400", &[]).is_err());
    }

    #[test]
    fn attachments_take_the_place_of_their_placeholders() {
        for text in [
            r#"[{"_placeholder":true,"num":1}]"#,
            r#"[{"num":1,"_placeholder":true}]"#,
            r#" [ { "a" : [ { } ] , "num" : 1 , "_placeholder" : true } ] "#,
            r#"[{"_placeholder":false,"num":7,"_placeholder":true,"num":1}]"#,
            r#"[{"_placeh\u006flder":true,"n\u0075m":1}]"#,
        ] {
            assert_eq!(msgpack(text, &[b"a", b"bc"]).unwrap(), b"\x91\xc4\x02bc", "{text}");
        }
        let two = r#"[{"x":{"_placeholder":true,"num":1}},[{"_placeholder":true,"num":0}],1]"#;
        let bytes = b"\x93\x81\xa1x\xc4\x02bc\x91\xc4\x01a\x01";
        assert_eq!(msgpack(two, &[b"a", b"bc"]).unwrap(), bytes);
    }

    #[test]
    fn what_only_looks_like_a_placeholder_stays() {
        for text in [
            r#"{"_placeholder":1,"num":0}"#,
            r#"{"_placeholder":"true","num":0}"#,
            r#"{"_placeholder":true,"num":0,"_placeholder":false}"#,
            r#"{"placeholder":true,"num":0}"#,
            r#"["_placeholder",true,"num",0]"#,
            r#"{"a":"_placeholder","b":true,"num":0}"#,
        ] {
            let expected = msgpack(text, &[]).unwrap();
            assert_eq!(msgpack(text, &[b"a"]).unwrap(), expected, "{text}");
        }
        // In an event without attachments nobody looks.
        let plain = msgpack(r#"{"_placeholder":true,"num":0}"#, &[]).unwrap();
        assert_eq!(plain, b"\x82\xac_placeholder\xc3\xa3num\0");
    }

    #[test]
    fn placeholders_need_an_attachment_each() {
        for text in [
            r#"[{"_placeholder":true,"num":2}]"#,
            r#"[{"_placeholder":true,"num":18446744073709551615}]"#,
            r#"[{"_placeholder":true,"num":-1}]"#,
            r#"[{"_placeholder":true,"num":0.5}]"#,
            r#"[{"_placeholder":true,"num":"0"}]"#,
            r#"[{"_placeholder":true,"num":null}]"#,
            r#"[{"_placeholder":true}]"#,
            r#"[{"_placeholder":true,"num":0},{"_placeholder":true,"num":0}]"#,
        ] {
            assert!(msgpack(text, &[b"long", b""]).is_err(), "{text}");
        }
    }

    #[test]
    fn halves_of_surrogate_pairs_become_replacement_characters() {
        for (text, expected) in [
            (r#""\ud83d""#, "\u{fffd}"),
            (r#""\uDE00\uD83D""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ude00 \ud83dx""#, "\u{1f600} \u{fffd}x"),
            (r#""\ud83d\udbff""#, "\u{fffd}\u{fffd}"),
            (r#""\ud83d\ud83d\ude00""#, "\u{fffd}\u{1f600}"),
            (r#""\\ud83d \ud83d\n\"é""#, "\\ud83d \u{fffd}\n\"é"),
        ] {
            assert_eq!(msgpack(text, &[]).unwrap(), rmp_serde::to_vec(expected).unwrap(), "{text}");
        }
        let key = r#"{"\ud83d":{"_placeholder":true,"num":0}}"#;
        assert_eq!(msgpack(key, &[b"a"]).unwrap(), b"\x81\xa3\xef\xbf\xbd\xc4\x01a");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "[",
            "[1",
            "[1,]",
            r#"{"a"}"#,
            "{1:2}",
            "[1] 2",
            "nul",
            "01",
            r#""\x""#,
            r#""\ud83d"#,
            r#"["\ud83d",]"#,
            "\"\n\"",
            "\"\\é\"",
            "\\",
        ] {
            assert!(msgpack(text, &[b"a"]).is_err(), "{text}");
        }
    }
}
