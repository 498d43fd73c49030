//! Whether a client has sent the binary attachments that it announced.
//!
//! Packets of a polling request are separated by 0x1e, and binary ones begin with `b` (Engine.IO protocol,
//! revision 4, section "Payload"). Clients of revision 3 are not followed.

use super::{engine_io::SEPARATOR, packet_head::PacketHead};

/// Attachments that a client has announced and not sent, over either transport.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct MissingAttachments(u32);

impl MissingAttachments {
    /// None is missing.
    pub fn none(self) -> bool {
        self.0 == 0
    }

    /// A text packet came.
    pub fn text(&mut self, head: &PacketHead) {
        if let Some(announced) = head.announced() {
            self.0 = announced;
        }
    }

    /// A binary packet came.
    pub fn binary(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}

/// What one polling session has announced and sent.
#[derive(Debug, Default)]
pub(crate) struct AttachmentTracker {
    missing: MissingAttachments,
    /// Requests that brought some of it: tells a session that goes on from one that does not.
    requests: u64,
}

impl AttachmentTracker {
    /// Follows the body of a request. If it announced attachments or brought some, and more are
    /// missing, says which request this was, to ask [`Self::stuck_since`] later.
    pub fn follow(&mut self, body: &[u8]) -> Option<u64> {
        let missing_before = self.missing;
        for packet in body.split(|byte| *byte == SEPARATOR) {
            match packet.first() {
                Some(b'b') => self.missing.binary(),
                _ => self.missing.text(&PacketHead::of(packet)),
            }
        }
        if self.missing == missing_before {
            return None;
        }
        self.requests += 1;
        (!self.missing.none()).then_some(self.requests)
    }

    /// Whether attachments are missing and none has come since a request.
    pub fn stuck_since(&self, request: u64) -> bool {
        !self.missing.none() && self.requests == request
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn announced_attachments_are_awaited_until_they_come() {
        let mut session = AttachmentTracker::default();
        assert_eq!(session.follow(b"42[\"chat\"]\x1e3"), None);
        assert_eq!(session.follow(b"451-[\"a\"]\x1ebAQL/\x1e42[\"b\"]"), None);
        let first = session.follow(b"453-/chat,7[\"a\"]\x1ebAQL/").unwrap();
        assert!(session.stuck_since(first));
        // A pong is no attachment.
        assert_eq!(session.follow(b"3"), None);
        assert!(session.stuck_since(first));
        let second = session.follow(b"bAQL/").unwrap();
        assert!(!session.stuck_since(first) && session.stuck_since(second));
        assert_eq!(session.follow(b"bAQL/"), None);
        assert!(!session.stuck_since(second));
    }
}
