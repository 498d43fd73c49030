//! The settings of the backplane.

use std::{net::IpAddr, time::Duration};

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Problem, Secret, values};

/// What carries emits between pods.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Backplane {
    /// Which backplane; [`Self::kind`] says what `auto` comes to.
    pub kind: BackplaneKind,
    /// Address of Redis; empty for none. May hold a password. That of `url_file` is put here when
    /// loaded.
    pub url: Secret,
    /// A file with the address; empty for none.
    pub url_file: String,
    /// User of Redis' access control list; empty for that of `url`.
    pub username: String,
    /// Its password; that of `password_file` is put here when loaded. Empty for that of `url`.
    pub password: Secret,
    /// A file with the password; empty for none.
    pub password_file: String,
    /// How Redis proves who it is, and the pod who it is.
    pub tls: BackplaneTls,
    /// Beginning of the names of all channels: Node's `key` and `channelPrefix`.
    pub channel_prefix: String,
    /// Beginning of the names of the keys that pods keep in Redis.
    pub key_prefix: String,
    /// For which rooms `sharded` has a channel.
    pub subscription_mode: SubscriptionMode,
    /// Longest wait for the answers of other pods.
    #[serde(with = "values::AsDuration")]
    pub request_timeout: Duration,
    /// Longest wait for Redis.
    #[serde(with = "values::AsDuration")]
    pub timeout: Duration,
    /// Time between two looks at the health of the connections.
    #[serde(with = "values::AsDuration")]
    pub heartbeat: Duration,
    /// What becomes of emits for other pods while Redis is away.
    pub when_away: WhenAway,
    /// Whether a pod that is cut off calls itself ready.
    pub ready_when_away: bool,
    /// Bytes that wait to be published.
    #[serde(with = "values::AsSize")]
    pub publish_queue: usize,
    /// Bytes that have arrived and wait to be emitted.
    #[serde(with = "values::AsSize")]
    pub receive_queue: usize,
}

/// What an address may begin with.
const SCHEMES: [&str; 6] =
    ["redis", "rediss", "redis-cluster", "rediss-cluster", "redis-sentinel", "rediss-sentinel"];

/// That of Node, whichever database it is on.
const DEFAULT_CHANNEL_PREFIX: &str = "socket.io";

impl Backplane {
    /// Which backplane it is; never `auto`.
    pub fn kind(&self) -> BackplaneKind {
        match self.kind {
            BackplaneKind::Auto if self.url.is_empty() => BackplaneKind::None,
            BackplaneKind::Auto => BackplaneKind::Pubsub,
            kind => kind,
        }
    }

    /// Whether Redis is on this machine, all of its servers.
    pub(super) fn is_here(&self) -> bool {
        let here = |host: &str| {
            let host = host.trim_matches(['[', ']']);
            let loopback = |ip: IpAddr| ip.to_canonical().is_loopback();
            host == "localhost" || host.parse().is_ok_and(loopback)
        };
        let Ok(url) = Url::parse(self.url.expose()) else {
            return true;
        };
        let name = |node: &str| node.rsplit_once(':').map_or(node, |(host, _)| host).to_owned();
        let mut nodes = url.query_pairs().filter(|(key, _)| key == "node");
        url.host_str().is_some_and(here) && nodes.all(|(_, node)| here(&name(&node)))
    }

    /// The number of the database that the address names.
    fn database(&self) -> Option<u8> {
        let url = Url::parse(self.url.expose()).ok()?;
        // A Redis cluster has one database only.
        let clustered = url.scheme().ends_with("-cluster");
        url.path().trim_matches('/').parse().ok().filter(|_| !clustered)
    }

    /// Names what works otherwise than it looks.
    pub(super) fn warn(&self, warnings: &mut Vec<Problem>) {
        let database = self.database().unwrap_or_default();
        if database != 0 && self.channel_prefix == DEFAULT_CHANNEL_PREFIX {
            let remedy = format!(
                "Redis' pub/sub knows no databases: database {database} of backplane.url separates the keys, but this pod \
                 hears what others publish on all databases; set a channel_prefix of its own (Node: `key`, \
                 `channelPrefix`), such as \"{DEFAULT_CHANNEL_PREFIX}-{database}\", for each cluster on this Redis"
            );
            warnings.push(Problem::new("backplane.channel_prefix", &self.channel_prefix, remedy));
        }
    }

    /// Names what makes no sense, for a kind that needs Redis.
    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let url = self.url.expose();
        let known = Url::parse(url)
            .is_ok_and(|url| SCHEMES.contains(&url.scheme()) && url.host_str().is_some());
        if url.is_empty() {
            let remedy = "needs backplane.url (or url_file), such as \"redis://redis:6379\"";
            problems.push(Problem::new("backplane.kind", self.kind.name(), remedy));
        } else if !known {
            let remedy = format!("expected <scheme>://host:port, of {}", SCHEMES.join(", "));
            problems.push(Problem::hidden("backplane.url", remedy));
        }
        for (key, prefix) in [
            ("backplane.channel_prefix", &self.channel_prefix),
            ("backplane.key_prefix", &self.key_prefix),
        ] {
            if prefix.is_empty() || prefix.contains(['#', '{', '}']) {
                let remedy = "expected a name without \"#\", \"{\" or \"}\"";
                problems.push(Problem::new(key, prefix, remedy));
            }
        }
        self.tls.check(problems);
    }
}

impl BackplaneTls {
    fn check(&self, problems: &mut Vec<Problem>) {
        for (key, file) in [
            ("backplane.tls.ca_file", &self.ca_file),
            ("backplane.tls.cert_file", &self.cert_file),
            ("backplane.tls.key_file", &self.key_file),
        ] {
            if !file.is_empty()
                && let Err(error) = std::fs::File::open(file)
            {
                problems.push(Problem::new(key, file, format!("cannot be read: {error}")));
            }
        }
        if self.cert_file.is_empty() != self.key_file.is_empty() {
            let remedy = "cert_file and key_file belong together; set both";
            problems.push(Problem::new("backplane.tls.cert_file", &self.cert_file, remedy));
        }
    }
}

/// Certificates for `rediss://`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackplaneTls {
    /// Authorities that Redis' certificate may come from, in PEM; empty for those of the system.
    pub ca_file: String,
    /// Certificate of the pod, in PEM; empty for none.
    pub cert_file: String,
    /// Its key, in PEM.
    pub key_file: String,
}

/// Which backplane.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum BackplaneKind {
    /// `Pubsub` if there is an address of Redis, else `None`.
    Auto,
    /// One pod on its own.
    None,
    /// Redis, in the protocol of `createAdapter` of `@socket.io/redis-adapter`.
    Pubsub,
    /// Redis 7, in that of `createShardedAdapter`.
    Sharded,
}

impl BackplaneKind {
    /// As it is written in the configuration.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::None => "none",
            Self::Pubsub => "pubsub",
            Self::Sharded => "sharded",
        }
    }
}

/// For which rooms there is a channel, as `createShardedAdapter` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SubscriptionMode {
    /// For none: all goes through the channel of the namespace.
    Static,
    /// For each, but for what looks like the id of a Node socket.
    Dynamic,
    /// For each.
    DynamicPrivate,
}

/// What becomes of emits for other pods while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenAway {
    /// They are refused, or counted as lost where nobody can be told.
    Refuse,
    /// They are kept until Redis is back, as far as the queue goes.
    Queue,
}
