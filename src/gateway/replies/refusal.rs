//! Why a client does not get what it asked for.

use std::borrow::Cow;

/// The codes that clients see, in error acks, in refused joins and in `connect_error`.
///
/// They are stable: `docs/errors.md` lists them and a test compares.
pub mod codes {
    /// The arguments of the event do not have the form that it needs.
    pub const BAD_REQUEST: &str = "bad_request";
    /// The packet is no event that other clients could read.
    pub const BAD_EVENT: &str = "bad_event";
    /// The arguments cannot reach all clients that the event may be for.
    pub const BAD_ARGUMENTS: &str = "bad_arguments";
    /// No rule allows this event.
    pub const EVENT_DENIED: &str = "event_denied";
    /// The program has no handler for this event.
    pub const NO_HANDLER: &str = "no_handler";
    /// Only members may emit to the room.
    pub const NOT_IN_ROOM: &str = "not_in_room";
    /// No rule allows to join this room.
    pub const ROOM_DENIED: &str = "room_denied";
    /// The room is for sockets that showed a valid token.
    pub const AUTHENTICATION_REQUIRED: &str = "authentication_required";
    /// The token is wrong, out of date, or not for this service.
    pub const TOKEN_INVALID: &str = "token_invalid";
    /// The token does not say what it must for this.
    pub const CLAIM_DENIED: &str = "claim_denied";
    /// The client has not authenticated in time.
    pub const AUTHENTICATION_TIMEOUT: &str = "authentication_timeout";
    /// More events in a second than the socket may send.
    pub const RATE_LIMITED: &str = "rate_limited";
    /// The event is larger than events of this namespace may be.
    pub const PAYLOAD_TOO_LARGE: &str = "payload_too_large";
    /// Too many events of the socket wait for their answers.
    pub const TOO_MANY_PENDING: &str = "too_many_pending";
    /// The name of the room is empty or too long.
    pub const BAD_ROOM_NAME: &str = "bad_room_name";
    /// The socket is in as many rooms as it may be.
    pub const ROOM_LIMIT: &str = "room_limit";
    /// The room of a socket's own id can be neither joined by others nor left.
    pub const ROOM_RESERVED: &str = "room_reserved";
    /// A hook refused it, without a code of its own.
    pub const HOOK_DENIED: &str = "hook_denied";
    /// There are as many children of dynamic namespaces as there may be.
    pub const NAMESPACE_LIMIT: &str = "namespace_limit";
    /// The hook that decides is down.
    pub const HOOK_UNAVAILABLE: &str = "hook_unavailable";
    /// A function of the program panicked.
    pub const INTERNAL_ERROR: &str = "internal_error";

    /// All of them.
    pub const ALL: &[&str] = &[
        BAD_REQUEST,
        BAD_EVENT,
        BAD_ARGUMENTS,
        EVENT_DENIED,
        NO_HANDLER,
        NOT_IN_ROOM,
        ROOM_DENIED,
        AUTHENTICATION_REQUIRED,
        TOKEN_INVALID,
        CLAIM_DENIED,
        AUTHENTICATION_TIMEOUT,
        RATE_LIMITED,
        PAYLOAD_TOO_LARGE,
        TOO_MANY_PENDING,
        BAD_ROOM_NAME,
        ROOM_LIMIT,
        ROOM_RESERVED,
        HOOK_DENIED,
        HOOK_UNAVAILABLE,
        NAMESPACE_LIMIT,
        INTERNAL_ERROR,
    ];
}

/// A refused event: the client gets it as `{"error":{"code","message"}}` if it asked for an ack. One that passes
/// ([`codes::RATE_LIMITED`], [`codes::TOO_MANY_PENDING`], [`codes::HOOK_UNAVAILABLE`]) is not acked: the stock client sends
/// the event again if it has `retries`. Nor is an event without a handler ([`codes::NO_HANDLER`]), as on Node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Refusal {
    /// Stable, for programs: one of [`codes`], or a handler's own.
    pub code: Cow<'static, str>,
    /// For people.
    pub message: Cow<'static, str>,
    /// What else programs of the client may need: of a refused CONNECT, it is in the `data` of `connect_error`.
    pub data: Option<serde_json::Value>,
}

impl Refusal {
    /// A refusal with a code and words for it.
    pub fn new(code: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { code: code.into(), message: message.into(), data: None }
    }

    /// With data for the client's program, as `err.data = …` in a middleware on Node.
    pub fn with_data(mut self, data: impl Into<serde_json::Value>) -> Self {
        self.data = Some(data.into());
        self
    }

    /// Only clients that have authenticated may do this.
    pub(in crate::gateway) fn authentication_required() -> Self {
        let message = "authentication required: send a token in `auth.token`";
        Self::new(codes::AUTHENTICATION_REQUIRED, message)
    }

    /// A function panicked.
    pub(in crate::gateway) fn internal_error() -> Self {
        Self::new(codes::INTERNAL_ERROR, "the server could not handle this")
    }

    /// No rule allows an event.
    pub(in crate::gateway) fn event_denied() -> Self {
        Self::new(codes::EVENT_DENIED, "no rule allows this event")
    }

    /// Its code as the label of a metric. A code that a hook made up is counted as `hook_denied`: there could be too many of
    /// them for a label.
    pub(in crate::gateway) fn label(&self) -> &'static str {
        match self.code {
            Cow::Borrowed(code) => code,
            Cow::Owned(_) => codes::HOOK_DENIED,
        }
    }

    /// Whether the client gets this refusal as an ack. It gets none for a refusal that passes, so that it sends the event again.
    /// A refusal in a hook's own words is always acked.
    pub(in crate::gateway) fn is_acked(&self) -> bool {
        const UNANSWERED: [&str; 4] = [
            codes::RATE_LIMITED,
            codes::TOO_MANY_PENDING,
            codes::HOOK_UNAVAILABLE,
            codes::NO_HANDLER,
        ];
        !UNANSWERED.contains(&self.label())
    }

    /// As clients get it: `{"error":{"code","message"}}`.
    pub(in crate::gateway) fn body(&self) -> serde_json::Value {
        crate::error_body(&self.code, &self.message)
    }
}

#[cfg(test)]
mod tests {
    use super::codes;
    use crate::telemetry::metrics::{CONNECTS_REFUSED, EVENTS, ROOMS_REFUSED};

    #[test]
    fn each_code_has_a_series_from_the_start() {
        let mut all = codes::ALL.to_vec();
        all.sort_unstable();
        assert_eq!(all, CONNECTS_REFUSED.values_of("code"));
        assert_eq!(all, ROOMS_REFUSED.values_of("code"));
        all.push("ok");
        all.sort_unstable();
        assert_eq!(all, EVENTS.values_of("result"));
    }

    #[test]
    fn the_reference_lists_each_code() {
        let page = include_str!("../../../docs/errors.md");
        for code in codes::ALL {
            assert!(page.contains(&format!("| `{code}` |")), "docs/errors.md lacks {code}");
        }
    }
}
