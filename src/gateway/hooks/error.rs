//! Why a hook did not say yes: it said no, or it said nothing that counts.

use std::borrow::Cow;

#[cfg(test)]
use crate::gateway::replies::refusal::codes;

/// A hook did not say yes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HookError {
    /// It said no.
    #[error("{message} ({code})")]
    Refused {
        /// Its code, or `hook_denied`: for clients, not for labels of metrics, as a hook may have many.
        code: Cow<'static, str>,
        /// Its words, or ours.
        message: Cow<'static, str>,
    },
    /// It did not decide: the setting `on_failure` does.
    #[error("the hook is down: {0}")]
    Down(Down),
}

impl HookError {
    /// The code that clients see.
    #[cfg(test)]
    pub fn code(&self) -> &str {
        match self {
            Self::Refused { code, .. } => code,
            Self::Down(_) => codes::HOOK_UNAVAILABLE,
        }
    }

    /// The message that clients see: nothing of how hooks are called.
    pub fn message(&self) -> &str {
        match self {
            Self::Refused { message, .. } => message,
            Self::Down(_) => "the service that decides this is not available; try again later",
        }
    }

    /// The label `result` of the metric.
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Refused { .. } => "refused",
            Self::Down(down) => down.label(),
        }
    }
}

/// Why a hook counts as down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Down {
    /// No connection was made: refused, no such host, no TLS, `hooks.connect_timeout`.
    #[error("it cannot be reached")]
    Unreachable,
    /// No whole answer within `hooks.timeout`.
    #[error("it did not answer in time")]
    Timeout,
    /// The connection broke before the answer was there.
    #[error("the connection broke")]
    Lost,
    /// 5xx; for `disconnect` also 429.
    #[error("it answered with status {0}")]
    Status(u16),
    /// 3xx: a hook is called where the configuration says, or not at all.
    #[error("it answered with a redirect")]
    Redirect,
    /// What it answered is none of the documented answers.
    #[error("its answer cannot be read")]
    Unreadable,
    /// It answered more than `hooks.max_answer`.
    #[error("its answer is too large")]
    TooLarge,
    /// It failed often and is not called for a while.
    #[error("it has failed too often, and is left alone for a while")]
    BreakerOpen,
    /// `hooks.in_flight` calls are under way.
    #[error("too many calls are under way")]
    InFlightLimit,
}

impl Down {
    fn label(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Lost => "lost",
            Self::Status(_) => "status",
            Self::Redirect => "redirect",
            Self::Unreadable => "unreadable",
            Self::TooLarge => "too large",
            Self::BreakerOpen => "breaker open",
            Self::InFlightLimit => "in flight limit",
        }
    }
}

/// A hook cannot be called at all.
#[derive(Debug, thiserror::Error)]
pub enum HookSetupError {
    /// Nothing to sign with.
    #[error("hooks.secrets: hooks need one or more keys, \"whsec_\" and 24 to 64 bytes in Base64")]
    NoKey,
    /// Certificates that cannot be used.
    #[error("hooks.ca_file: {0}")]
    Certificates(String),
    /// The client cannot be made.
    #[error("the HTTP client of hooks: {0}")]
    Client(#[source] reqwest::Error),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::HOOK_CALLS;

    #[test]
    fn each_result_has_a_series_from_the_start() {
        use Down::*;
        let down = [
            Unreachable,
            Timeout,
            Lost,
            Status(500),
            Redirect,
            Unreadable,
            TooLarge,
            BreakerOpen,
            InFlightLimit,
        ];
        let refused = HookError::Refused { code: "x".into(), message: "x".into() }.label();
        let mut results: Vec<_> =
            down.map(Down::label).into_iter().chain(["ok", refused]).collect();
        results.sort_unstable();
        assert_eq!(results, HOOK_CALLS.values_of("result"));
    }
}
