//! The connections to Redis: one for each concern, so that none waits for another. Publishing may be
//! slow, subscribing must never be, and commands ask for answers.

use std::{
    fs,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::{ClientInterface, ClientLike, EventInterface, FredResult},
    types::{
        Builder, RespVersion,
        config::{Config, ReconnectPolicy, Server, TcpConfig, TlsConnector, UnresponsiveConfig},
    },
};
use futures_util::future::try_join_all;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tokio::{
    sync::broadcast::error::RecvError,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::timed::Timed;
use crate::{
    config::{self, BackplaneTls},
    tasks,
};

/// Messages that fred holds for the reader. Gap: fred hands them out by a broadcast channel that
/// overwrites what is not read in time, and only logs that. So it is drained at once by `inbox`, which
/// counts what it missed.
const UNREAD_MESSAGES: usize = 8192;
/// The same for the connections that get none but their own.
const MESSAGES: usize = 64;
/// Milliseconds between two attempts to connect: first, and at most.
const RECONNECT_DELAY: (u32, u32) = (50, 1000);

/// The connections cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The address or the credentials make no sense.
    #[error("backplane.url: {0}")]
    Url(#[source] fred::error::Error),
    /// A certificate or key cannot be used.
    #[error("backplane.tls: {0}")]
    Tls(String),
}

/// Clients of Redis, which reconnect by themselves.
pub struct Connections {
    pub publish: Client,
    pub subscribe: Client,
    pub commands: Client,
    /// Waits for entries of the publish stream; there is none unless the stream is on.
    stream: OnceLock<Client>,
    config: Config,
    /// Whether Redis is a cluster.
    pub clustered: bool,
    /// The pod ends them.
    closing: Arc<AtomicBool>,
}

impl Connections {
    /// Clients with these settings, not connected yet.
    pub fn new(settings: &config::Backplane) -> Result<Self, SetupError> {
        let config = redis_config(settings)?;
        Ok(Self {
            publish: client(&config, settings, MESSAGES)?,
            subscribe: client(&config, settings, UNREAD_MESSAGES)?,
            commands: client(&config, settings, MESSAGES)?,
            stream: OnceLock::new(),
            clustered: config.server.is_clustered(),
            config,
            closing: Arc::default(),
        })
    }

    /// The servers that the address names.
    pub fn servers(&self) -> Vec<Server> {
        self.config.server.hosts()
    }

    /// The connection that waits for entries of a stream. It must be asked for before all connect.
    pub fn stream(&self, settings: &config::Backplane) -> Result<Client, SetupError> {
        let made = client(&self.config, settings, MESSAGES)?;
        Ok(self.stream.get_or_init(|| made).clone())
    }

    /// All of them, with the names that `CLIENT LIST` shows.
    pub fn all(&self) -> impl Iterator<Item = (&'static str, &Client)> {
        let stream = self.stream.get().map(|stream| ("stream", stream));
        [("publish", &self.publish), ("subscribe", &self.subscribe), ("commands", &self.commands)]
            .into_iter()
            .chain(stream)
    }

    /// Connects, and stays so, for as long as the tasks live.
    pub fn connect(&self, pod: &str, running: &mut JoinSet<()>) {
        for (concern, client) in self.all() {
            let name = format!("roomcast-{pod}-{concern}");
            tasks::spawn("redis", keep_name(client.clone(), self.clustered, name));
            let connected = stay_connected(concern, client.clone(), self.closing.clone());
            running.spawn(tasks::named("redis connection", connected));
        }
    }

    /// Asks each server over each connection for a sign of life. fred begins anew with a connection that
    /// owes an answer for too long; what it was to publish is not sent twice then, as it would be by
    /// fred's `force_reconnection`.
    pub fn ping(&self) {
        for (_, client) in self.all() {
            let nodes = if self.clustered { client.active_connections() } else { Vec::new() };
            let client = client.clone();
            tasks::spawn("redis", async move {
                let pings: FredResult<()> = if nodes.is_empty() {
                    client.ping(None).timed("ping").await
                } else {
                    let ping = |node| {
                        let client = client.with_cluster_node(node);
                        async move { client.ping::<()>(None).timed("ping").await }
                    };
                    try_join_all(nodes.iter().map(ping)).await.map(drop)
                };
                if let Err(error) = pings {
                    tracing::debug!(%error, "no sign of life from Redis");
                }
            });
        }
    }

    /// Ends them.
    pub async fn close(&self, limit: Duration) {
        self.closing.store(true, Ordering::Relaxed);
        for (_, client) in self.all() {
            // What does not answer is left to the end of the process.
            let _ = timeout(limit, client.quit()).await;
        }
    }
}

/// A client that is not connected yet. It holds so many messages that are not read.
fn client(
    config: &Config,
    settings: &config::Backplane,
    messages: usize,
) -> Result<Client, SetupError> {
    Builder::from_config(config.clone())
        .with_performance_config(|performance| {
            performance.default_command_timeout = settings.timeout;
            performance.broadcast_channel_capacity = messages;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = settings.timeout;
            connection.internal_command_timeout = settings.timeout;
            connection.reconnect_on_auth_error = true;
            // A command that runs out of attempts while it is redirected ends the client.
            connection.max_command_attempts = connection.max_redirections + 2;
            connection.tcp = TcpConfig { nodelay: Some(true), ..TcpConfig::default() };
            connection.unresponsive = UnresponsiveConfig {
                max_timeout: Some(settings.timeout),
                interval: settings.heartbeat,
            };
        })
        .set_policy(ReconnectPolicy::new_exponential(0, RECONNECT_DELAY.0, RECONNECT_DELAY.1, 2))
        .build()
        .map_err(SetupError::Url)
}

/// A client that connects once, or says why it cannot: for who looks whether all is well.
pub fn once(settings: &config::Backplane) -> Result<Client, SetupError> {
    let mut config = redis_config(settings)?;
    config.fail_fast = true;
    Builder::from_config(config)
        .with_performance_config(|performance| {
            performance.default_command_timeout = settings.timeout;
        })
        .with_connection_config(|connection| {
            connection.connection_timeout = settings.timeout;
            connection.internal_command_timeout = settings.timeout;
        })
        .build()
        .map_err(SetupError::Url)
}

/// Connects a client, and starts it again when its task has ended. Gap: fred ends it for good after some
/// errors of a single command.
async fn stay_connected(concern: &'static str, client: Client, closing: Arc<AtomicBool>) {
    loop {
        let ended = client.connect().await;
        if closing.load(Ordering::Relaxed) {
            return std::future::pending().await;
        }
        tracing::warn!(?ended, concern, "the client of Redis has ended; it is started again");
        sleep(Duration::from_millis(RECONNECT_DELAY.1.into())).await;
    }
}

/// Names a connection each time it is made. Gap: fred can only name it after an id of its own.
async fn keep_name(client: Client, clustered: bool, name: String) {
    let mut connected = client.reconnect_rx();
    loop {
        let server: Server = match connected.recv().await {
            Ok(server) => server,
            Err(RecvError::Lagged(_)) => continue,
            Err(RecvError::Closed) => return,
        };
        let named = if clustered {
            client.with_cluster_node(&server).client_setname(name.as_str()).await
        } else {
            client.client_setname(name.as_str()).await
        };
        if let Err(error) = named {
            tracing::debug!(%error, name, "the connection has no name");
        }
    }
}

fn redis_config(settings: &config::Backplane) -> Result<Config, SetupError> {
    let url = settings.url.expose();
    // fred would read the system's certificates for `rediss`, also where they are not used.
    let (plain, secure) = match url.strip_prefix("rediss") {
        Some(rest) => (format!("redis{rest}"), true),
        None => (url.to_owned(), false),
    };
    let mut config = Config::from_url(&plain).map_err(SetupError::Url)?;
    config.version = RespVersion::RESP3;
    config.fail_fast = false;
    let given = |value: &str| (!value.is_empty()).then(|| value.to_owned());
    config.username = given(&settings.username).or(config.username).map(inline);
    config.password = given(settings.password.expose()).or(config.password).map(inline);
    if secure {
        config.tls = Some(tls(&settings.tls)?.into());
    }
    Ok(config)
}

/// Quotes a credential. Gap: fred greets Redis (`HELLO … AUTH`) with an inline command, whose words
/// Redis splits as a shell would.
fn inline(word: String) -> String {
    let special = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | 0);
    if !word.bytes().any(special) {
        return word;
    }
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_ascii_control() => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

fn tls(settings: &BackplaneTls) -> Result<TlsConnector, SetupError> {
    if settings.ca_file.is_empty() && settings.cert_file.is_empty() {
        return TlsConnector::default_rustls().map_err(|error| SetupError::Tls(error.to_string()));
    }
    let failed = |file: &str, error: String| SetupError::Tls(format!("{file}: {error}"));
    let certificates = |file: &str| {
        let pem = fs::read(file).map_err(|error| failed(file, error.to_string()))?;
        CertificateDer::pem_slice_iter(&pem)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| failed(file, error.to_string()))
    };
    let mut authorities = RootCertStore::empty();
    let trusted = if settings.ca_file.is_empty() {
        rustls_native_certs::load_native_certs().certs
    } else {
        certificates(&settings.ca_file)?
    };
    for certificate in trusted {
        authorities
            .add(certificate)
            .map_err(|error| failed(&settings.ca_file, error.to_string()))?;
    }
    let builder = ClientConfig::builder().with_root_certificates(Arc::new(authorities));
    let config = if settings.cert_file.is_empty() {
        builder.with_no_client_auth()
    } else {
        let key = PrivateKeyDer::from_pem_file(&settings.key_file)
            .map_err(|error| failed(&settings.key_file, error.to_string()))?;
        builder
            .with_client_auth_cert(certificates(&settings.cert_file)?, key)
            .map_err(|error| failed(&settings.cert_file, error.to_string()))?
    };
    Ok(config.into())
}

#[cfg(test)]
mod tests {
    use super::inline;

    #[test]
    fn a_credential_stays_one_word() {
        for (word, expected) in [
            ("pass\\word#1", "pass\\word#1"),
            ("two words", r#""two words""#),
            (r#"a"b'c\d"#, r#""a\"b'c\\d""#),
            ("a\tb", r#""a\x09b""#),
        ] {
            assert_eq!(inline(word.to_owned()), expected);
        }
    }
}
