//! Event names that socketioxide cannot read.
//!
//! Gap: socketioxide borrows the name of an event from the text of its packet. A name in which JSON escapes something
//! (`"say \"hi\""`, or `"\u00e9"` as Python and Java write it), and one that is a number, cannot be borrowed, and close
//! the client's connection. Way round: such an event gets a name before its own, [`MARK`], for which the gateway takes
//! the event out again ([`unmark`]) before anything else looks at it. Names that begin as that one does get it, too, so
//! that a client which makes it up itself says no more than it could say without. All other events pass as they are.
//! No upstream issue was found; the mend belongs in `read_event` of socketioxide-parser-common.

use socketioxide_core::Value;

use super::{
    event_mark::{MARK, MARK_NAME},
    msgpack,
};

/// The beginning of a list with a mark.
const MARKED: &str = "[\"\x7f\",";

/// The event as the client sent it, without space before its list: to others, Node's clients read that as an ack's id.
pub(crate) fn unmark(payload: Value) -> Value {
    match payload {
        Value::Str(text, attachments) => {
            let list: &str = text.trim_start();
            let changed = match list.strip_prefix(MARKED) {
                Some(rest) => Some(format!("[{rest}")),
                None => (list.len() < text.len()).then(|| list.to_owned()),
            };
            Value::Str(changed.map_or(text, Into::into), attachments)
        }
        Value::Bytes(bytes) => Value::Bytes(msgpack::unmark(&bytes).map_or(bytes, Into::into)),
    }
}

/// Where one is in the beginning of a packet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum EventNameState {
    #[default]
    Start,
    Type,
    Attachments,
    /// Where a namespace may begin.
    Address,
    Namespace,
    /// In the id, or where it may begin.
    Id,
    /// Behind the bracket of the list.
    List,
    /// Where the name begins.
    NameStart,
    Name,
    /// It is known whether the event needs a mark.
    Over(bool),
}

impl EventNameState {
    /// Where one is after the next byte.
    pub fn read(self, byte: u8) -> Self {
        match (self, byte) {
            (Self::Start, b'4') => Self::Type,
            (Self::Type, b'2') => Self::Address,
            (Self::Type, b'5') => Self::Attachments,
            (Self::Attachments, b'0'..=b'9') => Self::Attachments,
            (Self::Attachments, b'-') => Self::Address,
            (Self::Address, b'/') => Self::Namespace,
            (Self::Namespace, b',') => Self::Id,
            (Self::Namespace, _) => Self::Namespace,
            (Self::Address | Self::Id, b'0'..=b'9' | b' ' | b'\t' | b'\n' | b'\r') => Self::Id,
            (Self::Address | Self::Id, b'[') => Self::List,
            (Self::List, b' ' | b'\t' | b'\n' | b'\r') => Self::List,
            (Self::List, b'"') => Self::NameStart,
            (Self::List, b'0'..=b'9' | b'-')
            | (Self::NameStart, MARK_NAME)
            | (Self::NameStart | Self::Name, b'\\') => Self::Over(true),
            (Self::NameStart | Self::Name, b'"') => Self::Over(false),
            (Self::NameStart | Self::Name, _) => Self::Name,
            _ => Self::Over(false),
        }
    }
}

/// Where in a packet of text a mark belongs, if it needs one.
fn place(packet: &[u8]) -> Option<usize> {
    let (mut head, mut list) = (EventNameState::default(), 0);
    for (at, byte) in packet.iter().enumerate() {
        head = head.read(*byte);
        match head {
            EventNameState::Over(needed) => return needed.then_some(list),
            EventNameState::List if *byte == b'[' => list = at + 1,
            _ => {}
        }
    }
    None
}

/// A packet of text with its mark, if it needs one.
pub(crate) fn mark(packet: &[u8]) -> Option<Vec<u8>> {
    let (start, rest) = packet.split_at(place(packet)?);
    Some([start, &MARK, rest].concat())
}

/// Whether a packet of text needs one.
pub(crate) fn needs_mark(packet: &[u8]) -> bool {
    place(packet).is_some()
}

#[cfg(test)]
pub(crate) mod tests;
