//! How hooks are called: HTTP services that decide, or are told, what clients do.

use std::{fmt, hash::Hash, net::IpAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use schemars::{JsonSchema, json_schema};
use serde::{Deserialize, Deserializer};
use url::{Host, Url};

use super::{Problem, Secret, values};

/// Bytes of a signing key, as Standard Webhooks says.
const KEY_LENGTH: std::ops::RangeInclusive<usize> = 24..=64;
/// What a signing key begins with when it is written down.
const KEY_PREFIX: &str = "whsec_";
/// Most calls in flight, and most notifications that wait.
const MOST: usize = 1_000_000;

/// How hooks are called. Each hook has limits and a circuit breaker of its own.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    /// Keys that requests are signed with; those of `secrets_file` are added when loaded.
    #[serde(with = "values::AsList::<Secret>")]
    pub secrets: Vec<Secret>,
    /// A file with one key a line; empty for none.
    pub secrets_file: String,
    /// What happens when a hook that decides is down.
    pub on_failure: OnFailure,
    /// Longest wait for a connection to a hook.
    #[serde(with = "values::AsDuration")]
    pub connect_timeout: Duration,
    /// Longest time of one attempt, its connection and answer included.
    #[serde(with = "values::AsDuration")]
    pub timeout: Duration,
    /// Longest time of all attempts, and the pauses between them.
    #[serde(with = "values::AsDuration")]
    pub total_timeout: Duration,
    /// Attempts after the first, where they are safe.
    pub retries: u32,
    /// Pause before the first of them; it doubles each time.
    #[serde(with = "values::AsDuration")]
    pub backoff: Duration,
    /// Calls of one hook that are under way at once.
    pub in_flight: usize,
    /// Longest wait for one of them to end.
    #[serde(with = "values::AsDuration")]
    pub in_flight_wait: Duration,
    /// Bytes of an answer.
    #[serde(with = "values::AsSize")]
    pub max_answer: usize,
    /// How long a connection that is not used is kept.
    #[serde(with = "values::AsDuration")]
    pub idle_timeout: Duration,
    /// Failures in a row that open the circuit breaker.
    pub breaker_failures: u32,
    /// How long it stays open.
    #[serde(with = "values::AsDuration")]
    pub breaker_open: Duration,
    /// Notifications that wait for one hook.
    pub disconnect_queue: usize,
    /// How long one is tried for.
    #[serde(with = "values::AsDuration")]
    pub disconnect_timeout: Duration,
    /// Authorities that the certificate of a hook may come from, in PEM; empty for those of the system.
    pub ca_file: String,
}

/// What happens when a hook that decides is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// What the client asked for is refused.
    Deny,
    /// It is done as if there were no hook. Never for `authenticate`.
    Allow,
}

impl Hooks {
    /// Names what makes no sense.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        for (key, duration) in [
            ("hooks.connect_timeout", self.connect_timeout),
            ("hooks.timeout", self.timeout),
            ("hooks.total_timeout", self.total_timeout),
            ("hooks.backoff", self.backoff),
            ("hooks.breaker_open", self.breaker_open),
            ("hooks.disconnect_timeout", self.disconnect_timeout),
        ] {
            if duration.is_zero() {
                problems.push(Problem::new(key, duration, "must be longer than zero"));
            }
        }
        // Else no attempt has all of its time, and the circuit breaker never sees a hook that hangs.
        if self.total_timeout <= self.timeout {
            let remedy = format!("must be longer than hooks.timeout, {:?}", self.timeout);
            problems.push(Problem::new("hooks.total_timeout", self.total_timeout, remedy));
        }
        for (key, value, least) in [
            ("hooks.in_flight", self.in_flight, 1),
            ("hooks.disconnect_queue", self.disconnect_queue, 1),
            ("hooks.breaker_failures", self.breaker_failures as usize, 1),
            ("hooks.max_answer", self.max_answer, 256),
        ] {
            if value < least {
                problems.push(Problem::new(key, value, format!("must be at least {least}")));
            }
        }
        for (key, value) in
            [("hooks.in_flight", self.in_flight), ("hooks.disconnect_queue", self.disconnect_queue)]
        {
            if value > MOST {
                problems.push(Problem::new(key, value, format!("must be at most {MOST}")));
            }
        }
        if self.secrets.iter().any(|secret| signing_key(secret).is_none()) {
            let remedy = format!(
                "expected \"{KEY_PREFIX}\" and {} to {} bytes in Base64; \
                 `echo \"{KEY_PREFIX}$(openssl rand -base64 32)\"` makes one",
                KEY_LENGTH.start(),
                KEY_LENGTH.end(),
            );
            problems.push(Problem::hidden("hooks.secrets", remedy));
        }
        if !self.ca_file.is_empty()
            && let Err(error) = std::fs::File::open(&self.ca_file)
        {
            let remedy = format!("cannot be read: {error}");
            problems.push(Problem::new("hooks.ca_file", &self.ca_file, remedy));
        }
    }

    /// Names what is missing for a hook that a setting names.
    pub(super) fn check_use(&self, key: &str, url: &HookUrl, problems: &mut Vec<Problem>) {
        if self.secrets.is_empty() {
            let remedy = "needs hooks.secrets (or secrets_file): a hook that cannot tell who asks \
                          it would answer anybody";
            problems.push(Problem::new(key, url, remedy));
        }
    }

    /// Names what should not stay so for a hook that a setting names.
    pub(super) fn warn_of(&self, key: &str, url: &HookUrl, warnings: &mut Vec<Problem>) {
        if url.is_readable_on_the_way() {
            let remedy = "claims and events go there in the clear, over what may be an open network; \
                          use https";
            warnings.push(Problem::new(key, url, remedy));
        }
    }
}

/// The bytes of a signing key; `None` if it is none. As in the libraries of Standard Webhooks, it may lack its prefix.
pub(crate) fn signing_key(secret: &Secret) -> Option<Vec<u8>> {
    let text = secret.expose();
    let key = STANDARD.decode(text.strip_prefix(KEY_PREFIX).unwrap_or(text)).ok()?;
    KEY_LENGTH.contains(&key.len()).then_some(key)
}

/// Where a hook is. It may hold a password or a key: printed, it ends with its path.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HookUrl(Url);

impl HookUrl {
    /// An address of HTTP or HTTPS; `None` for any other.
    pub fn new(text: &str) -> Option<Self> {
        let url = Url::parse(text).ok()?;
        (matches!(url.scheme(), "http" | "https") && url.has_host()).then_some(Self(url))
    }

    /// The address itself, for calling it only.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// Whether it is called over TLS.
    pub fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// Whether others may read what is sent there: no TLS, and no host of this machine or of a private network.
    fn is_readable_on_the_way(&self) -> bool {
        let private = match self.0.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
            Some(Host::Ipv6(ip)) => match IpAddr::V6(ip).to_canonical() {
                IpAddr::V4(ip) => ip.is_loopback() || ip.is_private(),
                IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local(),
            },
            Some(Host::Domain(name)) => {
                let name = name.trim_end_matches('.');
                // A name of one word is a service of the same namespace, or a container.
                !name.contains('.')
                    || [".localhost", ".svc", ".internal", ".cluster.local"]
                        .iter()
                        .any(|ending| name.ends_with(ending))
            }
            None => false,
        };
        !self.is_secure() && !private
    }
}

impl fmt::Display for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.0.scheme(), self.0.host_str().unwrap_or_default())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        f.write_str(self.0.path())
    }
}

impl fmt::Debug for HookUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

values::schema_of!(
    HookUrl,
    json_schema!({ "type": "string", "pattern": "^\\s*[hH][tT][tT][pP][sS]?:" })
);

impl<'de> Deserialize<'de> for HookUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "an address such as \"https://shop.internal/socket\"";
        values::parsed(deserializer, expected, Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn hooks() -> Hooks {
        Config::defaults().hooks
    }

    #[test]
    fn an_address_is_printed_without_what_may_be_secret() {
        let url = HookUrl::new("https://user:pass@shop.example:8443/socket?key=k#f").unwrap();
        assert_eq!(url.to_string(), "https://shop.example:8443/socket");
        assert_eq!(format!("{url:?}"), "\"https://shop.example:8443/socket\"");
        assert_eq!(url.expose().password(), Some("pass"));
        for text in ["", "shop", "ftp://shop/", "https://", "/socket", "unix:/run/hook"] {
            assert_eq!(HookUrl::new(text), None, "{text}");
        }
    }

    #[test]
    fn a_plain_address_outside_of_private_networks_is_warned_of() {
        for (text, warned) in [
            ("http://shop.example/", true),
            ("http://8.8.8.8/", true),
            ("http://[2001:db8::1]/", true),
            ("https://shop.example/", false),
            ("http://localhost:1/", false),
            ("http://shop/", false),
            ("http://shop.default.svc/", false),
            ("http://shop.default.svc.cluster.local/", false),
            ("http://shop.internal/", false),
            ("http://10.1.2.3/", false),
            ("http://[::1]/", false),
            ("http://[::ffff:127.0.0.1]/", false),
        ] {
            let mut warnings = Vec::new();
            hooks().warn_of("key", &HookUrl::new(text).unwrap(), &mut warnings);
            assert_eq!(!warnings.is_empty(), warned, "{text}");
        }
    }

    #[test]
    fn a_hook_without_a_key_to_sign_with_is_a_problem() {
        let url = HookUrl::new("https://shop.example/?key=secret").unwrap();
        let mut problems = Vec::new();
        hooks().check_use("namespaces./.hooks.connect", &url, &mut problems);
        let text = problems[0].to_string();
        assert!(
            text.starts_with("namespaces./.hooks.connect = \"https://shop.example/\""),
            "{text}"
        );
        let with = Hooks { secrets: vec![Secret::new("whsec_any")], ..hooks() };
        problems.clear();
        with.check_use("namespaces./.hooks.connect", &url, &mut problems);
        assert_eq!(problems, []);
    }

    #[test]
    fn what_makes_no_sense_is_named_and_keys_are_not_printed() {
        let flags = [
            ("hooks.secrets", "whsec_dG9vIHNob3J0"),
            ("hooks.secrte", "whsec_hidden"),
            ("hooks.total_timeout", "1s"),
            ("hooks.in_flight", "0"),
            ("hooks.on_failure", "ignore"),
            ("hooks.ca_file", "no-such-file.pem"),
        ];
        let flags = flags.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
        let error = Sources { file: None, flags }.load().unwrap_err();
        let text = error.to_string();
        for expected in [
            "hooks.secrets = (hidden): expected \"whsec_\" and 24 to 64 bytes",
            "hooks.secrte = (hidden)",
            "hooks.total_timeout = 1s: must be longer than hooks.timeout",
            "hooks.in_flight = 0: must be at least 1",
            "expected one of \"deny\", \"allow\"",
            "hooks.ca_file = \"no-such-file.pem\": cannot be read",
        ] {
            assert!(text.contains(expected), "{expected}\n{text}");
        }
        assert!(!text.contains("dG9v") && !text.contains("whsec_hidden"), "{text}");
    }

    #[test]
    fn keys_come_from_a_file_too() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let keys = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "C2FVsBQIhrscChlQIMV+b5sSYspob7oD"];
        std::fs::write(file.path(), keys.join("\n") + "\n\n").unwrap();
        let path = file.path().to_str().unwrap().to_owned();
        let flags = vec![("hooks.secrets_file".to_owned(), path)];
        let hooks = Sources { file: None, flags }.load().unwrap().hooks;
        let read: Vec<_> = hooks.secrets.iter().map(Secret::expose).collect();
        assert_eq!(read, keys);
        assert!(
            hooks.secrets.iter().all(|key| signing_key(key).is_some_and(|key| key.len() == 24))
        );
    }
}
