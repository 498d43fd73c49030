//! What is wrong with a configuration, said so that the reader can mend it.

use std::fmt;

/// Everything that is wrong with a configuration.
#[derive(Debug, thiserror::Error)]
pub struct ConfigError {
    /// The problems, in the order of the settings. Never empty.
    pub problems: Vec<Problem>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(
            f,
            "{count} {} in the configuration",
            if count == 1 { "problem" } else { "problems" }
        )?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl From<Problem> for ConfigError {
    fn from(problem: Problem) -> Self {
        Self { problems: vec![problem] }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The setting, as in the defaults file: `limits.max_payload`.
    pub key: String,
    /// Its value as text, hidden for secrets. `None` when there is none.
    pub value: Option<String>,
    /// Where the value came from: a file, an environment variable, a flag.
    pub source: Option<String>,
    /// What is wrong and what to write instead.
    pub remedy: String,
}

impl Problem {
    /// A problem with a value that was read and does not make sense.
    pub(crate) fn new(
        key: impl Into<String>,
        value: impl fmt::Debug,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            key: key.into(),
            value: Some(format!("{value:?}")),
            source: None,
            remedy: remedy.into(),
        }
    }

    /// A problem with a value that must not be printed.
    pub(crate) fn hidden(key: &str, remedy: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            value: Some("(hidden)".into()),
            source: None,
            remedy: remedy.into(),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key)?;
        if let Some(value) = &self.value {
            write!(f, " = {value}")?;
        }
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        write!(f, ": {}", self.remedy)
    }
}

/// Settings near a secret that are none themselves.
const PLAIN: [&str; 12] = [
    "kind",
    "channel_prefix",
    "key_prefix",
    "subscription_mode",
    "request_timeout",
    "timeout",
    "heartbeat",
    "when_away",
    "ready_when_away",
    "publish_queue",
    "receive_queue",
    "username",
];

/// Settings of hooks that are no secrets.
const PLAIN_OF_HOOKS: [&str; 15] = [
    "on_failure",
    "connect_timeout",
    "timeout",
    "total_timeout",
    "retries",
    "backoff",
    "in_flight",
    "in_flight_wait",
    "max_answer",
    "idle_timeout",
    "breaker_failures",
    "breaker_open",
    "disconnect_queue",
    "disconnect_timeout",
    "ca_file",
];
/// The same in `auth`: all that is neither the secret nor an address.
const PLAIN_AUTH: [&str; 10] = [
    "cookie",
    "jwt.jwks_refresh",
    "jwt.jwks_min_interval",
    "jwt.jwks_timeout",
    "jwt.algorithms",
    "jwt.issuer",
    "jwt.audience",
    "jwt.leeway",
    "jwt.require_exp",
    "jwt.max_token",
];

/// Whether the value of a key must not be printed: all that is near a secret, so that one under a
/// misspelt key is not printed either.
pub(super) fn is_secret(key: &str) -> bool {
    let (section, rest) = key.split_once('.').unwrap_or((key, ""));
    let names_a_file = key.ends_with("_file");
    // An entry of a list is as plain as the list.
    let list = rest.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('.');
    let plain = section == "backplane" && PLAIN.contains(&rest)
        || section == "auth" && PLAIN_AUTH.contains(&list)
        || section == "hooks" && PLAIN_OF_HOOKS.contains(&rest);
    // The address of a hook may hold a password.
    let is_hook = section == "namespaces" && (rest.contains(".hooks.") || rest.ends_with(".hook"));
    let plain = plain || section == "api" && rest == "idempotency_ttl";
    ["api", "auth", "backplane", "hooks"].contains(&section) && !names_a_file && !plain || is_hook
}

/// The known name that `unknown` was most likely meant to be.
pub(crate) fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|name| (strsim::jaro_winkler(unknown, name), *name))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}
