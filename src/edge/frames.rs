//! Where one WebSocket frame of a client ends and the next begins (RFC 6455, section 5.2).

/// Follows the bytes that a client sends, without keeping any.
#[derive(Debug)]
pub(super) enum Frames {
    /// The header of a frame is being read; `read` bytes of it have been.
    Header {
        read: usize,
        length: u64,
        size: usize,
    },
    /// So many bytes of payload are left.
    Payload(u64),
}

/// Nothing of a frame has been read.
const START: Frames = Frames::Header {
    read: 0,
    length: 0,
    size: HEADER,
};
/// The first two bytes: opcode, mask bit and length.
const HEADER: usize = 2;
/// The key that a client's payload is masked with.
const MASK: usize = 4;

impl Default for Frames {
    fn default() -> Self {
        START
    }
}

impl Frames {
    /// Whether the last frame is complete and the next has not begun.
    pub fn at_boundary(&self) -> bool {
        matches!(self, Self::Header { read: 0, .. })
    }

    /// Follows the next bytes.
    pub fn follow(&mut self, mut bytes: &[u8]) {
        while let Some((&byte, rest)) = bytes.split_first() {
            match self {
                Self::Payload(left) => {
                    let skipped =
                        usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
                    *left -= skipped as u64;
                    bytes = &bytes[skipped..];
                    if *left == 0 {
                        *self = START;
                    }
                }
                Self::Header { read, length, size } => {
                    match *read {
                        0 => {}
                        1 => {
                            let masked = if byte & 0x80 == 0 { 0 } else { MASK };
                            let extended = match byte & 0x7f {
                                126 => 2,
                                127 => 8,
                                short => {
                                    *length = u64::from(short);
                                    0
                                }
                            };
                            *size = HEADER + extended + masked;
                        }
                        // The extended length, if there is one, stands before the mask.
                        at if at < *size && *size - HEADER > MASK && at < *size - MASK => {
                            *length = (*length << 8) | u64::from(byte);
                        }
                        _ => {}
                    }
                    *read += 1;
                    bytes = rest;
                    if *read >= HEADER && *read == *size {
                        *self = if *length == 0 {
                            START
                        } else {
                            Self::Payload(*length)
                        };
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame of a client.
    fn frame(length: usize) -> Vec<u8> {
        let mut frame = vec![0x81];
        match length {
            0..126 => frame.push(0x80 | length as u8),
            126..65536 => {
                frame.push(0x80 | 126);
                frame.extend((length as u16).to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend((length as u64).to_be_bytes());
            }
        }
        frame.extend([0xff; MASK]);
        frame.resize(frame.len() + length, 0xff);
        frame
    }

    #[test]
    fn boundaries_are_found_whatever_way_bytes_arrive() {
        let lengths = [0, 1, 125, 126, 127, 4000, 65535, 65536, 70_000, 0];
        let bytes: Vec<u8> = lengths.iter().flat_map(|length| frame(*length)).collect();
        for chunk in [1, 2, 3, 7, 512, 8192, bytes.len()] {
            let mut frames = Frames::default();
            let mut boundaries = Vec::new();
            for (index, piece) in bytes.chunks(chunk).enumerate() {
                frames.follow(piece);
                if frames.at_boundary() {
                    boundaries.push((index * chunk) + piece.len());
                }
            }
            let mut end = 0;
            let ends: Vec<_> = lengths
                .iter()
                .map(|length| {
                    end += frame(*length).len();
                    end
                })
                .collect();
            assert!(
                boundaries.iter().all(|boundary| ends.contains(boundary)),
                "{chunk}: {boundaries:?}"
            );
            assert_eq!(boundaries.last(), ends.last(), "{chunk}");
            if chunk == 1 {
                assert_eq!(boundaries, ends);
            }
        }
    }
}
