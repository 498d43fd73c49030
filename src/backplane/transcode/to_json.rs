//! msgpack with binary in it to JSON text and its attachments.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;

use super::{MAX_DEPTH, MAX_SAFE_INTEGER, PLACEHOLDER, Reader, Token, TranscodeError, date};

/// Takes the arguments of an event or an ack, which are an array, out of a message.
///
/// The text is what a Node server would send to its clients, made by `JSON.stringify` of what
/// `notepack.io` reads: dates are text, numbers that JSON does not have are `null`. Attachments are
/// in the order of their placeholders. They are slices of the message, which lives as long as they.
///
/// Whole numbers beyond 2^53 keep the digits that JavaScript would lose.
///
/// # Errors
/// If the range is anything but one array, or has a value that JSON cannot stand for.
pub fn msgpack_to_json(
    message: &Bytes,
    range: Range<usize>,
) -> Result<(String, VecDeque<Bytes>), TranscodeError> {
    Reader::part(message, range.clone())?.read_array_len()?;
    msgpack_value_to_json(message, range)
}

/// As [`msgpack_to_json`], for any value.
pub fn msgpack_value_to_json(
    message: &Bytes,
    range: Range<usize>,
) -> Result<(String, VecDeque<Bytes>), TranscodeError> {
    let reader = Reader::part(message, range.clone())?;
    // The quotes and commas of JSON take more than the headers of msgpack.
    let out = Vec::with_capacity(range.len() + range.len() / 4 + 16);
    let attachments = VecDeque::new();
    let mut writer = Writer { reader, message, out, attachments, false_placeholder: false };
    writer.value(MAX_DEPTH)?;
    writer.reader.finish()?;
    if writer.false_placeholder && !writer.attachments.is_empty() {
        return Err(TranscodeError::FalsePlaceholder);
    }
    // All that was written but the content of strings is ASCII, so bytes that are not UTF-8 spoil
    // no more than the string that they are in.
    let text = String::from_utf8(writer.out)
        .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
    Ok((text, writer.attachments))
}

struct Writer<'a> {
    reader: Reader<'a>,
    message: &'a Bytes,
    out: Vec<u8>,
    attachments: VecDeque<Bytes>,
    /// A plain object says that it is a placeholder.
    false_placeholder: bool,
}

/// What was written, as far as it matters for the object around it.
#[derive(PartialEq)]
enum Written {
    Undefined,
    True,
    Other,
}

impl Writer<'_> {
    fn value(&mut self, depth: usize) -> Result<Written, TranscodeError> {
        match self.reader.token()? {
            Token::Nil => self.out.extend(b"null"),
            Token::Undefined => {
                self.out.extend(b"null");
                return Ok(Written::Undefined);
            }
            Token::Bool(false) => self.out.extend(b"false"),
            Token::Bool(true) => {
                self.out.extend(b"true");
                return Ok(Written::True);
            }
            Token::Unsigned(number) => serde_json::to_writer(&mut self.out, &number)?,
            Token::Signed(number) => serde_json::to_writer(&mut self.out, &number)?,
            Token::Float(number) => self.float(number)?,
            Token::Text(text) => self.text(text)?,
            Token::Binary(binary) => self.placeholder(binary)?,
            Token::Date(milliseconds) => match date::iso(milliseconds) {
                Some(text) => self.text(text.as_bytes())?,
                None => self.out.extend(b"null"),
            },
            Token::Array(length) => self.array(length, deeper(depth)?)?,
            Token::Map(length) => self.map(length, deeper(depth)?)?,
            Token::Extension(kind) => return Err(TranscodeError::Extension(kind)),
        }
        Ok(Written::Other)
    }

    /// `1` rather than `1.0`: clients that are not JavaScript see a difference.
    fn float(&mut self, number: f64) -> Result<(), serde_json::Error> {
        if number.fract() == 0.0 && number.abs() <= MAX_SAFE_INTEGER {
            return serde_json::to_writer(&mut self.out, &(number as i64));
        }
        serde_json::to_writer(&mut self.out, &number)
    }

    fn text(&mut self, text: &[u8]) -> Result<(), serde_json::Error> {
        if needs_escape(text) {
            return serde_json::to_writer(&mut self.out, &String::from_utf8_lossy(text));
        }
        // Most text: whether it is UTF-8 is seen to at the end.
        self.out.push(b'"');
        self.out.extend(text);
        self.out.push(b'"');
        Ok(())
    }

    fn placeholder(&mut self, binary: &[u8]) -> Result<(), serde_json::Error> {
        self.out.extend(b"{\"_placeholder\":true,\"num\":");
        serde_json::to_writer(&mut self.out, &self.attachments.len())?;
        self.out.push(b'}');
        self.attachments.push_back(self.message.slice_ref(binary));
        Ok(())
    }

    fn array(&mut self, length: usize, depth: usize) -> Result<(), TranscodeError> {
        self.out.push(b'[');
        for index in 0..length {
            if index > 0 {
                self.out.push(b',');
            }
            self.value(depth)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn map(&mut self, length: usize, depth: usize) -> Result<(), TranscodeError> {
        self.out.push(b'{');
        let first = self.out.len();
        for _ in 0..length {
            let start = self.out.len();
            if start > first {
                self.out.push(b',');
            }
            let is_placeholder = self.key()?;
            self.out.push(b':');
            match self.value(depth)? {
                Written::Undefined => self.out.truncate(start),
                Written::True => self.false_placeholder |= is_placeholder,
                Written::Other => {}
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    /// Writes the name that JavaScript gives a property. Says whether it is that of a placeholder.
    fn key(&mut self) -> Result<bool, TranscodeError> {
        let name = match self.reader.token()? {
            Token::Text(text) => {
                self.text(text)?;
                return Ok(text == PLACEHOLDER.as_bytes());
            }
            Token::Nil => "null".to_owned(),
            Token::Undefined => "undefined".to_owned(),
            Token::Bool(value) => value.to_string(),
            Token::Unsigned(number) => number.to_string(),
            Token::Signed(number) => number.to_string(),
            Token::Float(number) => property_name(number),
            other => {
                let (expected, found) = ("a key", other.kind());
                return Err(TranscodeError::Unexpected { expected, found });
            }
        };
        self.text(name.as_bytes())?;
        Ok(false)
    }
}

/// Whether JSON has another form for a byte of the text.
fn needs_escape(text: &[u8]) -> bool {
    // Without a way out within a chunk, the compiler takes many bytes at once.
    text.chunks(64).any(|chunk| {
        chunk.iter().fold(false, |any, byte| any | matches!(byte, ..b' ' | b'"' | b'\\'))
    })
}

/// A number as text, as in ECMA-262, "Number::toString": here it is a name, so its form matters.
fn property_name(number: f64) -> String {
    let size = number.abs();
    if size == 0.0 {
        "0".to_owned()
    } else if size.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else if number.is_nan() || (1e-6..1e21).contains(&size) {
        number.to_string()
    } else {
        let text = format!("{number:e}");
        if size < 1.0 { text } else { text.replace('e', "e+") }
    }
}

fn deeper(depth: usize) -> Result<usize, TranscodeError> {
    depth.checked_sub(1).ok_or(TranscodeError::TooDeep)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(bytes: &'static [u8]) -> Result<(String, VecDeque<Bytes>), TranscodeError> {
        msgpack_value_to_json(&Bytes::from_static(bytes), 0..bytes.len())
    }

    fn text(bytes: &'static [u8]) -> String {
        json(bytes).unwrap().0
    }

    #[test]
    fn forms_that_notepack_does_not_write_are_read() {
        // Python, PHP, Java and Go have them.
        for (bytes, expected) in [
            (b"\xca=\xcc\xcc\xcd".as_slice(), "0.10000000149011612"), // as JavaScript prints it
            (b"\xca\x7f\x80\0\0", "null"),
            (b"\xcb@\x08\0\0\0\0\0\0", "3"),
            (b"\xcb\x80\0\0\0\0\0\0\0", "0"),
            (b"\xcc\x01", "1"),
            (b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", "18446744073709551615"),
            (b"\xd3\x80\0\0\0\0\0\0\0", "-9223372036854775808"),
            (b"\xd3\0\0\0\0\0\0\0\x05", "5"),
            (b"\xd9\x01a", "\"a\""),
            (b"\xda\0\x01a", "\"a\""),
            (b"\xdb\0\0\0\x01a", "\"a\""),
            (b"\xdc\0\x01\x01", "[1]"),
            (b"\xdd\0\0\0\x01\x01", "[1]"),
            (b"\xde\0\x01\xa1a\x01", "{\"a\":1}"),
            (b"\xdf\0\0\0\x01\xa1a\x01", "{\"a\":1}"),
        ] {
            assert_eq!(text(bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn extensions_of_old_versions_are_read() {
        assert_eq!(text(b"\x93\xd4\0\0\xa1b\xc0"), r#"[null,"b",null]"#);
        assert_eq!(text(b"\x83\xa1a\xd4\0\0\xa1b\x01\xa1c\xd4\0\0"), r#"{"b":1}"#);
        assert_eq!(text(b"\xd4\0\0"), "null");
        assert_eq!(text(b"\xd7\0\0\0\x01o\xbc|,\x0d"), "\"2020-01-19T06:27:31.981Z\"");
        assert_eq!(text(b"\xd7\0\xff\xff\xff\xff\xff\xff\xff\xf6"), "\"1969-12-31T23:59:59.990Z\"");
        for bytes in [b"\xc7\x02\0\x08\x09".as_slice(), b"\xc8\0\x02\0\x08\x09"] {
            let (text, attachments) = json(bytes).unwrap();
            assert_eq!(text, r#"{"_placeholder":true,"num":0}"#);
            assert_eq!(attachments, [b"\x08\x09".as_slice()]);
        }
    }

    #[test]
    fn dates_beyond_those_of_javascript_are_null() {
        assert_eq!(text(b"\xd7\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "null");
        assert_eq!(text(b"\xc7\x0c\xff\0\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), "null");
    }

    #[test]
    fn keys_become_text_as_in_javascript() {
        for (bytes, expected) in [
            (b"\x81\x01\0".as_slice(), r#"{"1":0}"#),
            (b"\x81\xff\0", r#"{"-1":0}"#),
            (b"\x81\xc0\0", r#"{"null":0}"#),
            (b"\x81\xc3\0", r#"{"true":0}"#),
            (b"\x81\xd4\0\0\0", r#"{"undefined":0}"#),
            (b"\x81\xa2\"\n\0", r#"{"\"\n":0}"#),
        ] {
            assert_eq!(text(bytes), expected);
        }
        // String(number)
        for (number, expected) in [
            (1.5, "1.5"),
            (3.0, "3"),
            (-0.0, "0"),
            (0.000_001, "0.000001"),
            (1e-7, "1e-7"),
            (-1.5e-10, "-1.5e-10"),
            (123_456_789_012_345_680_000.0, "123456789012345680000"),
            (1e21, "1e+21"),
            (-1.25e300, "-1.25e+300"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "Infinity"),
            (f64::NEG_INFINITY, "-Infinity"),
        ] {
            assert_eq!(property_name(number), expected);
        }
        for key in
            [b"\x81\xc4\x01a\0".as_slice(), b"\x81\x90\0", b"\x81\x80\0", b"\x81\xd6\xff\0\0\0\0\0"]
        {
            assert!(matches!(json(key), Err(TranscodeError::Unexpected { .. })), "{key:x?}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_mended() {
        assert_eq!(text(b"\x92\xa2\xffA\xa1a"), "[\"\u{fffd}A\",\"a\"]");
        // Cut in the middle, with and without a character that is escaped.
        assert_eq!(text(b"\x92\xa2\xe2\x82\xa1a"), "[\"\u{fffd}\",\"a\"]");
        assert_eq!(text(b"\x92\xa3\n\xe2\x82\xa1a"), "[\"\\n\u{fffd}\",\"a\"]");
        assert_eq!(text(b"\x81\xa1\xff\xa1a"), "{\"\u{fffd}\":\"a\"}");
    }

    #[test]
    fn long_text_is_searched_to_its_end() {
        for length in [0_usize, 1, 63, 64, 65, 127, 128, 1000] {
            for at in [0, length / 2, length.saturating_sub(1)] {
                for special in ['"', '\\', '\n', '\0', ' ', '\u{1f}', '\u{7f}', 'é'] {
                    let mut text = "x".repeat(length);
                    text.insert(at, special);
                    let bytes = Bytes::from(rmp_serde::to_vec(&text).unwrap());
                    let (written, _) = msgpack_value_to_json(&bytes, 0..bytes.len()).unwrap();
                    assert_eq!(written, serde_json::to_string(&text).unwrap());
                }
            }
        }
    }

    #[test]
    fn attachments_are_slices_of_the_message() {
        let message = Bytes::from_static(b"\x92\xc4\x03abc\x81\xa1x\xc5\0\x02de");
        let (_, attachments) = msgpack_to_json(&message, 0..message.len()).unwrap();
        assert_eq!(attachments, [b"abc".as_slice(), b"de"]);
        let starts: Vec<_> = attachments.iter().map(|slice| slice.as_ptr()).collect();
        assert_eq!(starts, [message[3..].as_ptr(), message[message.len() - 2..].as_ptr()]);
    }

    #[test]
    fn an_object_that_looks_like_a_placeholder_is_no_neighbour_of_binary() {
        let alone = b"\x82\xac_placeholder\xc3\xa3num\x07";
        assert_eq!(text(alone), r#"{"_placeholder":true,"num":7}"#);
        for bytes in [
            b"\x92\x82\xac_placeholder\xc3\xa3num\x07\xc4\x01a".as_slice(),
            b"\x92\xc4\x01a\x81\xac_placeholder\xc3",
        ] {
            assert!(matches!(json(bytes), Err(TranscodeError::FalsePlaceholder)));
        }
        assert!(json(b"\x92\xc4\x01a\x81\xac_placeholder\x01").is_ok());
    }

    #[test]
    fn an_event_is_an_array() {
        let message = Bytes::from_static(b"\x91\xa1a\xa1b");
        assert_eq!(msgpack_to_json(&message, 0..3).unwrap().0, "[\"a\"]");
        let text = msgpack_to_json(&message, 3..5);
        assert!(matches!(text, Err(TranscodeError::Unexpected { found: "text", .. })));
        let long = msgpack_to_json(&message, 0..5);
        assert!(matches!(long, Err(TranscodeError::Trailing(2))));
        for range in [0..2, 0..0, 0..6, 7..9, 5..6] {
            let short = msgpack_to_json(&message, range.clone());
            assert!(matches!(short, Err(TranscodeError::Truncated)), "{range:?}");
        }
    }

    #[test]
    fn what_no_socketio_library_sends_is_refused() {
        assert!(matches!(json(b"\xc1"), Err(TranscodeError::Reserved)));
        for (bytes, kind) in [
            (b"\xd4\x05\0".as_slice(), 5),
            (b"\xd5\0\0\0", 0),
            (b"\xd6\0\0\0\0\0", 0),
            (b"\xd4\xff\0", -1),
            (b"\xc7\x03\xff\0\0\0", -1),
            (b"\xc9\0\0\0\x01\x80\0", -128),
        ] {
            let error = json(bytes).unwrap_err();
            assert!(matches!(error, TranscodeError::Extension(k) if k == kind), "{bytes:x?}");
        }
    }
}
