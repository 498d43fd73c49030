//! Walks through msgpack without a copy of it: headers, names, and values that are passed over.
//!
//! Format: the msgpack specification; the extensions of Socket.IO: `notepack.io`, `lib/decode.js`.

use std::ops::Range;

use rmp::Marker;

use super::{TranscodeError, date};

/// A scalar, or the header of an array or a map, whose values come next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Token<'a> {
    /// `null`
    Nil,
    /// What `notepack.io` once wrote for `undefined`.
    Undefined,
    /// `true` or `false`
    Bool(bool),
    /// A whole number in an encoding that has no negative ones.
    Unsigned(u64),
    /// A whole number in an encoding that has negative ones.
    Signed(i64),
    /// A number in either of the two lengths.
    Float(f64),
    /// Text, which may not be UTF-8.
    Text(&'a [u8]),
    /// Bytes.
    Binary(&'a [u8]),
    /// Milliseconds since 1970.
    Date(f64),
    /// How many values come next.
    Array(usize),
    /// How many pairs of a key and a value come next.
    Map(usize),
    /// An extension of this type, which Socket.IO does not have.
    Extension(i8),
}

impl Token<'_> {
    /// What it is, for an error.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Nil => "nil",
            Self::Undefined => "undefined",
            Self::Bool(_) => "a boolean",
            Self::Unsigned(_) | Self::Signed(_) | Self::Float(_) => "a number",
            Self::Text(_) => "text",
            Self::Binary(_) => "binary",
            Self::Date(_) => "a date",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
            Self::Extension(_) => "an extension",
        }
    }
}

/// Where one is in a message.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
    /// Where the rest ends, to tell positions from its length.
    end: usize,
}

impl<'a> Reader<'a> {
    /// Reads a message from its beginning.
    pub fn new(message: &'a [u8]) -> Self {
        Self { rest: message, end: message.len() }
    }

    /// Reads a part of a message. Positions count from the beginning of the message.
    pub fn part(message: &'a [u8], range: Range<usize>) -> Result<Self, TranscodeError> {
        let end = range.end;
        let rest = message.get(range).ok_or(TranscodeError::Truncated)?;
        Ok(Self { rest, end })
    }

    /// How many bytes of the message are behind.
    pub fn position(&self) -> usize {
        self.end - self.rest.len()
    }

    /// Makes sure that nothing is left.
    pub fn finish(&self) -> Result<(), TranscodeError> {
        match self.rest.len() {
            0 => Ok(()),
            length => Err(TranscodeError::Trailing(length)),
        }
    }

    /// The next scalar or header, without going on.
    pub fn peek(mut self) -> Result<Token<'a>, TranscodeError> {
        self.token()
    }

    /// The next scalar or header. An array or a map claims no more values than there are bytes.
    pub fn token(&mut self) -> Result<Token<'a>, TranscodeError> {
        Ok(match Marker::from_u8(u8::from_be_bytes(self.bytes()?)) {
            Marker::Null => Token::Nil,
            Marker::True => Token::Bool(true),
            Marker::False => Token::Bool(false),
            Marker::FixPos(number) => Token::Unsigned(number.into()),
            Marker::U8 => Token::Unsigned(u8::from_be_bytes(self.bytes()?).into()),
            Marker::U16 => Token::Unsigned(u16::from_be_bytes(self.bytes()?).into()),
            Marker::U32 => Token::Unsigned(u32::from_be_bytes(self.bytes()?).into()),
            Marker::U64 => Token::Unsigned(u64::from_be_bytes(self.bytes()?)),
            Marker::FixNeg(number) => Token::Signed(number.into()),
            Marker::I8 => Token::Signed(i8::from_be_bytes(self.bytes()?).into()),
            Marker::I16 => Token::Signed(i16::from_be_bytes(self.bytes()?).into()),
            Marker::I32 => Token::Signed(i32::from_be_bytes(self.bytes()?).into()),
            Marker::I64 => Token::Signed(i64::from_be_bytes(self.bytes()?)),
            Marker::F32 => Token::Float(f32::from_be_bytes(self.bytes()?).into()),
            Marker::F64 => Token::Float(f64::from_be_bytes(self.bytes()?)),
            Marker::FixStr(length) => Token::Text(self.take(length.into())?),
            Marker::Str8 => Token::Text(self.sized(1)?),
            Marker::Str16 => Token::Text(self.sized(2)?),
            Marker::Str32 => Token::Text(self.sized(4)?),
            Marker::Bin8 => Token::Binary(self.sized(1)?),
            Marker::Bin16 => Token::Binary(self.sized(2)?),
            Marker::Bin32 => Token::Binary(self.sized(4)?),
            Marker::FixArray(length) => self.array(length.into())?,
            Marker::Array16 => self.length(2).and_then(|length| self.array(length))?,
            Marker::Array32 => self.length(4).and_then(|length| self.array(length))?,
            Marker::FixMap(length) => self.map(length.into())?,
            Marker::Map16 => self.length(2).and_then(|length| self.map(length))?,
            Marker::Map32 => self.length(4).and_then(|length| self.map(length))?,
            Marker::FixExt1 => self.fixed_extension(1)?,
            Marker::FixExt2 => self.fixed_extension(2)?,
            Marker::FixExt4 => self.fixed_extension(4)?,
            Marker::FixExt8 => self.fixed_extension(8)?,
            Marker::FixExt16 => self.fixed_extension(16)?,
            Marker::Ext8 => self.length(1).and_then(|length| self.extension(length))?,
            Marker::Ext16 => self.length(2).and_then(|length| self.extension(length))?,
            Marker::Ext32 => self.length(4).and_then(|length| self.extension(length))?,
            Marker::Reserved => return Err(TranscodeError::Reserved),
        })
    }

    /// The header of an array: how many values come next.
    pub fn read_array_len(&mut self) -> Result<usize, TranscodeError> {
        match self.token()? {
            Token::Array(length) => Ok(length),
            other => Err(unexpected("an array", other)),
        }
    }

    /// The header of a map: how many pairs of a key and a value come next.
    pub fn read_map_len(&mut self) -> Result<usize, TranscodeError> {
        match self.token()? {
            Token::Map(length) => Ok(length),
            other => Err(unexpected("a map", other)),
        }
    }

    /// Text in UTF-8: a key, an id, the name of a room.
    pub fn read_str(&mut self) -> Result<&'a str, TranscodeError> {
        match self.token()? {
            Token::Text(text) => str::from_utf8(text).map_err(|_| TranscodeError::Utf8),
            other => Err(unexpected("text", other)),
        }
    }

    /// A whole number that is not negative, in whatever encoding.
    pub fn read_u64(&mut self) -> Result<u64, TranscodeError> {
        const EXPECTED: &str = "a whole number that is not negative";
        match self.token()? {
            Token::Unsigned(number) => Ok(number),
            token @ Token::Signed(number) => {
                u64::try_from(number).map_err(|_| unexpected(EXPECTED, token))
            }
            other => Err(unexpected(EXPECTED, other)),
        }
    }

    /// Passes over a value and all that is in it, and says where it is. Its text is not looked at.
    pub fn skip_value(&mut self) -> Result<Range<usize>, TranscodeError> {
        let start = self.position();
        self.walk(|_| false)?;
        Ok(start..self.position())
    }

    /// Goes through a value until a token is the one that is looked for, and says whether there was
    /// one. It counts the values to come instead of calling itself, so no depth ends the stack.
    fn walk(&mut self, mut wanted: impl FnMut(Token<'a>) -> bool) -> Result<bool, TranscodeError> {
        let mut left: usize = 1;
        while left > 0 {
            let token = self.token()?;
            if wanted(token) {
                return Ok(true);
            }
            let inside = match token {
                Token::Array(length) => length,
                Token::Map(length) => 2 * length,
                _ => 0,
            };
            left = left.saturating_add(inside) - 1;
        }
        Ok(false)
    }

    fn array(&self, length: usize) -> Result<Token<'a>, TranscodeError> {
        if length > self.rest.len() {
            return Err(TranscodeError::Truncated);
        }
        Ok(Token::Array(length))
    }

    fn map(&self, length: usize) -> Result<Token<'a>, TranscodeError> {
        if length > self.rest.len() / 2 {
            return Err(TranscodeError::Truncated);
        }
        Ok(Token::Map(length))
    }

    /// An extension with its length in the marker. Type 0 is from before msgpack had dates.
    fn fixed_extension(&mut self, length: usize) -> Result<Token<'a>, TranscodeError> {
        let kind = i8::from_be_bytes(self.bytes()?);
        let data = self.take(length)?;
        Ok(match (kind, data.try_into().map(i64::from_be_bytes)) {
            (0, Ok(milliseconds)) => Token::Date(milliseconds as f64),
            (0, Err(_)) if length == 1 => Token::Undefined,
            _ => timestamp(kind, data),
        })
    }

    /// An extension that says its length. Type 0 is an `ArrayBuffer` of an old `notepack.io`.
    fn extension(&mut self, length: usize) -> Result<Token<'a>, TranscodeError> {
        let kind = i8::from_be_bytes(self.bytes()?);
        let data = self.take(length)?;
        Ok(if kind == 0 { Token::Binary(data) } else { timestamp(kind, data) })
    }

    /// Text or binary behind its length.
    fn sized(&mut self, width: usize) -> Result<&'a [u8], TranscodeError> {
        self.length(width).and_then(|length| self.take(length))
    }

    /// A length in one, two or four bytes.
    fn length(&mut self, width: usize) -> Result<usize, TranscodeError> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)))
    }

    fn bytes<const N: usize>(&mut self) -> Result<[u8; N], TranscodeError> {
        let (bytes, rest) = self.rest.split_first_chunk().ok_or(TranscodeError::Truncated)?;
        self.rest = rest;
        Ok(*bytes)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], TranscodeError> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TranscodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Whether there is binary anywhere in the value that begins a message; in a broken one, before the
/// place where it breaks.
pub fn contains_binary(message: &[u8]) -> bool {
    let mut reader = Reader::new(message);
    reader.walk(|token| matches!(token, Token::Binary(_))).unwrap_or(false)
}

fn unexpected(expected: &'static str, found: Token<'_>) -> TranscodeError {
    TranscodeError::Unexpected { expected, found: found.kind() }
}

/// The type of timestamps is -1.
fn timestamp(kind: i8, data: &[u8]) -> Token<'static> {
    let date = if kind == -1 { date::timestamp(data) } else { None };
    date.map_or(Token::Extension(kind), Token::Date)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `encode(["ab12cd", { type: 2, data: ["news", Buffer.from([1])], nsp: "/" }, { rooms: [] }])`
    /// of `notepack.io`.
    const BROADCAST: &[u8] = b"\x93\xa6ab12cd\x83\xa4type\x02\xa4data\x92\xa4news\xc4\x01\x01\
        \xa3nsp\xa1/\x81\xa5rooms\x90";

    #[test]
    fn an_envelope_is_read_without_its_data() {
        let mut reader = Reader::new(BROADCAST);
        assert_eq!(reader.read_array_len().unwrap(), 3);
        assert_eq!(reader.read_str().unwrap(), "ab12cd");
        let mut data = None;
        for _ in 0..reader.read_map_len().unwrap() {
            match reader.read_str().unwrap() {
                "type" => assert_eq!(reader.read_u64().unwrap(), 2),
                "nsp" => assert_eq!(reader.read_str().unwrap(), "/"),
                "data" => data = Some(reader.skip_value().unwrap()),
                other => panic!("{other}"),
            }
        }
        let data = data.unwrap();
        assert_eq!(BROADCAST[data.clone()], *b"\x92\xa4news\xc4\x01\x01");
        assert!(contains_binary(&BROADCAST[data.clone()]));
        assert_eq!(reader.peek().unwrap(), Token::Map(1));
        assert_eq!(reader.skip_value().unwrap().end, BROADCAST.len());
        reader.finish().unwrap();

        // Positions in a part are those of the message.
        let mut part = Reader::part(BROADCAST, data.clone()).unwrap();
        assert_eq!(part.position(), data.start);
        assert_eq!(part.skip_value().unwrap(), data);
        part.finish().unwrap();
    }

    #[test]
    fn a_value_of_another_kind_is_named() {
        let error = Reader::new(b"\xa1a").read_u64().unwrap_err();
        let expected = "msgpack with text in the place of a whole number that is not negative";
        assert_eq!(error.to_string(), expected);
        assert!(Reader::new(b"\xff").read_u64().is_err());
        assert_eq!(Reader::new(b"\xd3\0\0\0\0\0\0\0\x05").read_u64().unwrap(), 5);
        assert!(Reader::new(b"\x01").read_str().is_err());
        assert!(matches!(Reader::new(b"\xa1\xff").read_str(), Err(TranscodeError::Utf8)));
        assert!(Reader::new(b"\x80").read_array_len().is_err());
        assert!(Reader::new(b"\x90").read_map_len().is_err());
    }

    #[test]
    fn every_cut_of_a_message_is_noticed() {
        // One of each kind and length.
        let message = b"\xdc\0\x1f\xc0\xc2\xc3\x01\xff\xcc\x80\xcd\x01\0\xce\0\x01\0\0\
            \xcf\0\0\0\x01\0\0\0\0\xd0\x80\xd1\x80\0\xd2\x80\0\0\0\xd3\x80\0\0\0\0\0\0\0\
            \xca\0\0\0\0\xcb\0\0\0\0\0\0\0\0\xa1a\xd9\x01a\xda\0\x01a\xdb\0\0\0\x01a\
            \xc4\x01a\xc5\0\x01a\xc6\0\0\0\x01a\x91\xc0\x81\xa1a\xc0\xd4\0\0\
            \xd6\xff\0\0\0\0\xd7\xff\0\0\0\0\0\0\0\0\xc7\x0c\xff\0\0\0\0\0\0\0\0\0\0\0\0\
            \xc8\0\x01\0a\xc9\0\0\0\x01\0a\xd8\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(Reader::new(message).skip_value().unwrap(), 0..message.len());
        for cut in 0..message.len() {
            let error = Reader::new(&message[..cut]).skip_value().unwrap_err();
            assert!(matches!(error, TranscodeError::Truncated), "{cut}: {error}");
        }
    }

    #[test]
    fn claimed_lengths_are_not_believed() {
        for header in [0xc6, 0xc9, 0xdb, 0xdd, 0xdf] {
            let message = [&[header, 0xff, 0xff, 0xff, 0xff], [0xc0; 64].as_slice()].concat();
            let mut reader = Reader::new(&message);
            assert!(matches!(reader.token(), Err(TranscodeError::Truncated)), "{header:x}");
        }
        assert!(Reader::new(b"\x92\xc0").read_array_len().is_err());
        assert!(Reader::new(b"\x82\xc0\xc0\xc0").read_map_len().is_err());
    }

    #[test]
    fn binary_is_found_wherever_it_is() {
        for (message, expected) in [
            (b"\xc4\0".as_slice(), true),
            (b"\x91\x81\xa1a\x92\x01\xc5\0\x01a", true),
            (b"\x91\xc7\x01\0a", true), // an ArrayBuffer of old
            (b"\x91\xa2\xc4\x01", false),
            (b"\x92\x90\x80", false),
            (b"\x91\xc7\x01\x05a", false),
            (b"", false),
            (b"\x92\xc1\xc4\0", false),
            (b"\x01\xc4\0", false), // behind the value
        ] {
            assert_eq!(contains_binary(message), expected, "{message:x?}");
        }
    }
}
