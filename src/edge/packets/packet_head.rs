//! The beginning of a text packet of Engine.IO, read byte by byte: the attachments that it announces, and its ack id.
//!
//! Gap: socketioxide takes an ack id that it cannot hold (more than 63 bits), or that something else than the arguments
//! follows, for none: the client waits for an answer that never comes. Way round: such a client has no use of this
//! connection, and is closed as one that sends what is no packet. No upstream issue was found; the mend belongs in
//! `read_ack` of socketioxide-parser-common.
//!
//! Format: Socket.IO protocol, revision 5, section "Packet encoding": `4`, the type, `<attachments>-`, `/<namespace>,`, the
//! id, and the arguments.

/// What an attachment begins with where all packets are text.
const ATTACHMENT: u8 = b'b';
/// Digits of a number of attachments that are still counted.
const ATTACHMENT_DIGITS: u8 = 9;
/// Digits that each fit an id of 63 bits. A stock client counts from zero.
const ID_DIGITS: u8 = 18;

/// Where one is in it, and what has been read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PacketHead {
    attachments: u32,
    digits: u8,
    at: At,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Start,
    /// A packet of Engine.IO's own, or one that comes and goes: CONNECT, DISCONNECT.
    NoEvent,
    Type,
    Attachments,
    /// Where a namespace or an id may begin.
    Address,
    Namespace,
    Id,
    /// What is left matters to others only.
    Over,
    Malformed,
}

impl PacketHead {
    /// That of a packet which is there as a whole.
    pub fn of(packet: &[u8]) -> Self {
        let mut head = Self::default();
        for &byte in packet {
            if !head.wants_more() {
                break;
            }
            head.read(byte);
        }
        head
    }

    /// Whether there is more to find out.
    pub fn wants_more(&self) -> bool {
        !matches!(self.at, At::NoEvent | At::Over | At::Malformed)
    }

    /// Reads the next byte.
    pub fn read(&mut self, byte: u8) {
        self.at = match (self.at, byte) {
            (At::Start, b'4') => At::Type,
            (At::Start, ATTACHMENT) => At::Over,
            (At::Type, b'2' | b'3') => At::Address,
            (At::Type, b'5' | b'6') => At::Attachments,
            (At::Start | At::Type, _) => At::NoEvent,
            (At::Attachments, b'0'..=b'9') if self.digits < ATTACHMENT_DIGITS => {
                self.attachments = self.attachments * 10 + u32::from(byte - b'0');
                self.digits += 1;
                At::Attachments
            }
            (At::Attachments, b'-') if self.digits > 0 => {
                self.digits = 0;
                At::Address
            }
            (At::Attachments, _) => {
                self.attachments = 0;
                At::Over
            }
            (At::Address, b'/') => At::Namespace,
            (At::Namespace, b',') => At::Address,
            (At::Namespace, _) => At::Namespace,
            (At::Address | At::Id, b'0'..=b'9') => {
                let counts = byte != b'0' || self.digits > 0;
                self.digits = self.digits.saturating_add(counts.into());
                At::Id
            }
            (At::Id, b'[' | b'{') if self.digits <= ID_DIGITS => At::Over,
            (At::Id, _) => At::Malformed,
            _ => At::Over,
        };
    }

    /// Whether it is an event, the answer to one, or an attachment.
    pub fn is_event(&self) -> bool {
        !matches!(self.at, At::Start | At::NoEvent | At::Type)
    }

    /// How many attachments the packet announces, if it does.
    pub fn announced(&self) -> Option<u32> {
        let announces = !matches!(self.at, At::Start | At::NoEvent | At::Type | At::Attachments);
        Some(self.attachments).filter(|attachments| announces && *attachments > 0)
    }

    /// Whether its ack id is none.
    pub fn is_malformed(&self) -> bool {
        self.at == At::Malformed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_id_fits_and_is_followed_by_arguments() {
        for good in [
            "42[\"a\"]",
            "420[\"a\"]",
            "42999999999999999999[\"a\"]",
            "420000000000000000000000000000001[\"a\"]",
            "42/chat,7[\"a\"]",
            "42/chat,[\"a\"]",
            "42/9999999999999999999999[,[\"a\"]",
            "451-7[\"a\"]",
            "451-/chat,7[\"a\"]",
            "4312[]",
            "40{\"a\":99999999999999999999999}",
            "2",
            "3probe",
            "b99999999999999999999999[",
            "",
        ] {
            assert!(!PacketHead::of(good.as_bytes()).is_malformed(), "{good}");
        }
        for bad in [
            "429223372036854775999[\"a\"]",
            "42/chat,9223372036854775999[\"a\"]",
            "451-9223372036854775999[\"a\"]",
            "421-9223372036854775999[\"a\"]",
            "421 [\"a\"]",
            "421\"a\"",
            "4318446744073709551616[]",
        ] {
            assert!(PacketHead::of(bad.as_bytes()).is_malformed(), "{bad}");
        }
    }

    #[test]
    fn events_answers_and_attachments_are_told_from_the_rest() {
        for event in
            ["42[\"a\"]", "42", "430[]", "451-[]", "46", "bAQL/", "b4AQL/", "429223372036854775999"]
        {
            assert!(PacketHead::of(event.as_bytes()).is_event(), "{event}");
        }
        for other in ["", "2", "3", "2probe", "4", "40", "40/chat,{}", "41", "44", "47", "5", "x"] {
            assert!(!PacketHead::of(other.as_bytes()).is_event(), "{other}");
        }
    }

    #[test]
    fn only_binary_packets_announce() {
        for (packet, announced) in [
            ("461-[]", Some(1)),
            ("453-/chat,7[\"a\"]", Some(3)),
            ("4512-", Some(12)),
            ("45[]", None),
            ("45-", None),
            ("450-[]", None),
            ("45", None),
            ("453", None),
            ("42[\"45-\"]", None),
            ("4599999999999-[]", None),
            ("", None),
            ("4", None),
        ] {
            assert_eq!(PacketHead::of(packet.as_bytes()).announced(), announced, "{packet}");
        }
    }
}
