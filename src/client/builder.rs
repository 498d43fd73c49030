//! What can be set of a client.

use std::{sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue};
use parking_lot::Mutex;
use tokio::{runtime::Handle, sync::mpsc};
use url::Url;

use super::{
    Auth, Backoff, Client, ClientError, Transport,
    command::Registry,
    error::setting,
    manager::{Manager, watched},
    options::Options,
    transport::{Address, http_client, tls_config},
};

/// Calls of `connect`, `disconnect` and `shutdown` that may wait for the client's task.
const COMMANDS: usize = 32;

/// Makes a [`Client`]: see [`Client::builder`].
#[must_use]
pub struct Builder {
    url: String,
    namespace: Option<String>,
    auth: Auth,
    transports: Vec<Transport>,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    ca: Option<Vec<u8>>,
    reconnect: Backoff,
    connect_timeout: Duration,
    ack_timeout: Duration,
    close_timeout: Duration,
    max_message: usize,
    max_attachments: usize,
    queue: (usize, usize),
}

impl Client {
    /// Begins to set up a client for a server: `http`, `https`, `ws` or `wss`, a host, perhaps a port,
    /// and perhaps a namespace as the path.
    pub fn builder(url: impl Into<String>) -> Builder {
        Builder::new(url.into())
    }
}

impl Builder {
    fn new(url: String) -> Self {
        Self {
            url,
            namespace: None,
            auth: Auth::None,
            transports: vec![Transport::WebSocket, Transport::Polling],
            path: "/socket.io/".into(),
            query: Vec::new(),
            headers: Vec::new(),
            ca: None,
            reconnect: Backoff::default(),
            connect_timeout: Duration::from_secs(20),
            ack_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            max_message: 16 * 1024 * 1024,
            max_attachments: 100,
            queue: (1024, 16 * 1024 * 1024),
        }
    }

    /// The namespace of the client; else the path of the URL, as in the stock client.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// The credentials, sent with each connection to a namespace: JSON, or [`Auth::provider`].
    pub fn auth(mut self, auth: impl Into<Auth>) -> Self {
        self.auth = auth.into();
        self
    }

    /// The transports to try, in this order. Default: WebSocket, then long-polling.
    ///
    /// The stock client begins with polling and upgrades, for browsers in networks that let no
    /// WebSocket through without saying so. A backend knows its network: WebSocket first saves
    /// three requests for each connection. Where polling comes first, the connection is upgraded
    /// if WebSocket is in the list.
    pub fn transports(mut self, transports: impl IntoIterator<Item = Transport>) -> Self {
        self.transports = transports.into_iter().collect();
        self
    }

    /// The path of Socket.IO on the server. Default: `/socket.io/`.
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// A parameter of the query, besides those of the URL.
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }

    /// A header of each request, such as `Authorization` for a proxy on the way.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// The certificates to trust for `https` and `wss`, in PEM, instead of those of the system.
    pub fn ca_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.ca = Some(pem.into());
        self
    }

    /// When to try again after a connection was lost or could not be made.
    pub fn reconnect(mut self, backoff: Backoff) -> Self {
        self.reconnect = backoff;
        self
    }

    /// The longest time to open a connection, to be let into a namespace, to get credentials, and
    /// for a POST of long-polling. Default: 20 s.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// The longest time to wait for an ack. Default: 10 s.
    pub fn ack_timeout(mut self, timeout: Duration) -> Self {
        self.ack_timeout = timeout;
        self
    }

    /// The longest time for what waits to be sent when the client is shut down. Default: 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// The largest message of the server in bytes, its attachments together, and the largest
    /// answer to a poll. A server that sends more is left (`parse error`). Default: 16 MiB.
    pub fn max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// The most attachments of one event. Default: 100.
    pub fn max_attachments(mut self, attachments: usize) -> Self {
        self.max_attachments = attachments;
        self
    }

    /// How much may wait to be sent, in packets and bytes. Default: 1024 and 16 MiB.
    pub fn queue(mut self, packets: usize, bytes: usize) -> Self {
        self.queue = (packets, bytes);
        self
    }

    /// Makes the client and leaves it disconnected, so that events can be subscribed to before the
    /// first one comes: see [`Client::connect`].
    ///
    /// # Errors
    /// A setting that is of no use, certificates that cannot be read, no tokio runtime.
    pub fn build(self) -> Result<Client, ClientError> {
        let runtime = Handle::try_current().map_err(|_| ClientError::NoRuntime)?;
        let (url, namespace) = self.url()?;
        let headers = self.headers()?;
        let tls = tls_config(url.scheme() == "https", self.ca.as_deref())?;
        if self.transports.is_empty() {
            return Err(setting("transports", "[]", "name at least one"));
        }
        let address = Address {
            url,
            headers,
            http: http_client(&tls),
            tls,
            max_message: self.max_message,
            timeout: self.connect_timeout,
        };
        let options = Arc::new(Options {
            address: Arc::new(address),
            transports: self.transports.into(),
            auth: self.auth,
            reconnect: self.reconnect,
            ack_timeout: self.ack_timeout,
            close_timeout: self.close_timeout,
            max_attachments: self.max_attachments,
            queue: self.queue,
        });
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let registry: Registry = Arc::new(Mutex::default());
        let manager = Manager::new(options.clone(), receiver, registry.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "a program's own, and `watched` tells of its panic"
        )]
        runtime.spawn(watched(manager.run(), registry.clone()));
        Client::new(namespace, options, commands, registry)
    }

    /// Makes the client and connects it: [`build`](Self::build), then [`Client::connect`].
    ///
    /// # Errors
    /// Those of both.
    pub async fn connect(self) -> Result<Client, ClientError> {
        let client = self.build()?;
        client.connect().await?;
        Ok(client)
    }

    /// The URL of Socket.IO, and the namespace.
    fn url(&self) -> Result<(Url, String), ClientError> {
        let wrong = |problem: &str| setting("url", &self.url, problem);
        let mut url = Url::parse(&self.url).map_err(|error| wrong(&error.to_string()))?;
        let scheme = match url.scheme() {
            "http" | "ws" => "http",
            "https" | "wss" => "https",
            _ => return Err(wrong("expected http, https, ws or wss")),
        };
        url.set_scheme(scheme).map_err(|()| wrong("expected http, https, ws or wss"))?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("leave the user out, and set `header(\"authorization\", …)`"));
        }
        url.set_fragment(None);
        let namespace = self.namespace.clone().unwrap_or_else(|| url.path().to_owned());
        url.set_path(&format!("/{}/", self.path.trim_matches('/')));
        for (key, value) in &self.query {
            url.query_pairs_mut().append_pair(key, value);
        }
        Ok((url, namespace))
    }

    fn headers(&self) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            // The value may be a secret: it is not shown.
            let wrong = |problem: &dyn std::fmt::Display| setting("header", name, problem);
            let key: HeaderName = name.parse().map_err(|error| wrong(&error))?;
            let mut value = HeaderValue::from_str(value).map_err(|error| wrong(&error))?;
            value.set_sensitive(true);
            headers.append(key, value);
        }
        Ok(headers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_of_the_url_is_the_namespace() {
        for (builder, url, namespace) in [
            (Builder::new("http://a".into()), "http://a/socket.io/", "/"),
            (Builder::new("wss://a:1/chat?x=1".into()), "https://a:1/socket.io/?x=1", "/chat"),
            (
                Builder::new("ws://a/b#c".into()).namespace("/d").path("io").query("k", "v&"),
                "http://a/io/?k=v%26",
                "/d",
            ),
        ] {
            let found = builder.url().unwrap();
            assert_eq!((found.0.as_str(), found.1.as_str()), (url, namespace));
        }
    }

    #[tokio::test]
    async fn what_is_of_no_use_is_named() {
        let builder = || Builder::new("http://a".into());
        for (builder, what) in [
            (Builder::new("a".into()), "url"),
            (Builder::new("ftp://a".into()), "url"),
            (Builder::new("http://me:secret@a".into()), "url"),
            (builder().header("a b", "secret"), "header"),
            (builder().header("a", "secret\n"), "header"),
            (builder().transports([]), "transports"),
            (builder().namespace("chat"), "namespace"),
            (builder().namespace("/a,b"), "namespace"),
        ] {
            match builder.build().err() {
                Some(ClientError::Setting { setting, .. }) => assert_eq!(setting, what),
                error => panic!("{what}: {error:?}"),
            }
        }
        let error = builder().header("a", "secret\n").build().err().unwrap();
        assert!(!error.to_string().contains("secret"), "{error}");
    }

    #[test]
    fn a_client_needs_a_runtime() {
        let built = Builder::new("http://a".into()).build();
        assert!(matches!(built, Err(ClientError::NoRuntime)));
    }
}
