//! The header of a WebSocket frame of a client (RFC 6455, section 5.2), which is read where what a client sends is changed.

/// The opcode of text.
pub(super) const TEXT: u8 = 1;
/// The bit of the first byte that says that a frame is the last of its message.
pub(super) const LAST: u8 = 0x80;
/// The longest header: with a length of eight bytes, and with a mask.
pub(super) const LONGEST_UNMASKED: usize = 10;
pub(super) const LONGEST_MASKED: usize = LONGEST_UNMASKED + 4;
/// The bit of the length that says that a frame is masked.
const MASKED: u8 = 0x80;

/// The header of a frame.
pub(crate) struct Frame {
    pub opcode: u8,
    pub is_last: bool,
    /// An extension has made something else of the payload.
    pub is_extended: bool,
    /// Bytes of the header, and of the payload.
    pub header: usize,
    pub length: u64,
    pub mask: Option<[u8; 4]>,
}

impl Frame {
    /// Reads it, if all of it is there.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let (&[first, second], rest) = bytes.split_first_chunk()?;
        let (length, rest) = match second & !MASKED {
            126 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u16::from_be_bytes(*length).into(), rest)
            }
            127 => {
                let (length, rest) = rest.split_first_chunk()?;
                (u64::from_be_bytes(*length), rest)
            }
            short => (u64::from(short), rest),
        };
        let (mask, rest) = match second & MASKED {
            0 => (None, rest),
            _ => rest.split_first_chunk().map(|(mask, rest)| (Some(*mask), rest))?,
        };
        Some(Self {
            opcode: first & 0x0f,
            is_last: first & 0x80 != 0,
            is_extended: first & 0x70 != 0,
            header: bytes.len() - rest.len(),
            length,
            mask,
        })
    }

    /// Bytes of all of it.
    pub fn whole(&self) -> u64 {
        (self.header as u64).saturating_add(self.length)
    }

    /// The mask for the byte of the payload in this place.
    pub fn mask_at(&self, at: usize) -> u8 {
        self.mask.map_or(0, |mask| mask[at % 4])
    }
}

/// Writes a header with this first byte.
pub(super) fn write_header(first: u8, length: u64, mask: Option<[u8; 4]>, out: &mut Vec<u8>) {
    let masked = if mask.is_some() { MASKED } else { 0 };
    out.push(first);
    match length {
        0..126 => out.push(masked | length as u8),
        126..=0xffff => {
            out.push(masked | 126);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(masked | 127);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend(mask.iter().flatten());
}

/// Writes a message of one frame, masked with zeros.
pub(super) fn write_whole(opcode: u8, payload: &[u8], out: &mut Vec<u8>) {
    write_header(LAST | opcode, payload.len() as u64, Some([0; 4]), out);
    out.extend_from_slice(payload);
}

/// How much of what is left of something is there.
pub(super) fn fitting(left: u64, there: usize) -> usize {
    usize::try_from(left).map_or(there, |left| left.min(there))
}
