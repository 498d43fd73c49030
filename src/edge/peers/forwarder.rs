//! Requests of a session that another pod has: they go to that pod's internal listener, and its answer
//! goes back as it is. A poll is one hop, its body passed on piece by piece; a WebSocket is joined to one of
//! that pod (`relay`) for as long as it lives.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::{body::Body, extract::Request, response::Response};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use metrics::{counter, gauge};
use tokio::{net::TcpStream, sync::watch, time::timeout};

use super::{
    peer_signal::PeerSignal,
    pod_discovery::PodDiscovery,
    relay::Relay,
    upload::{UploadError, track},
};
use crate::{
    backplane::Backplane,
    config::{Config, Transport},
    edge::{
        connections::{request_context::RequestContext, sessions::Sessions, traffic::name},
        packets::session_id::{Seal, SessionLocation},
        requests::request_error::RequestError,
    },
    tasks,
    telemetry::metrics::{FORWARDED, HELD_POLLS, RELAYED_WEBSOCKETS},
};

/// Where pods take requests of each other, on the internal listener.
pub(crate) const PATH: &str = "/forward";
/// Where they say that they cannot hold a poll any longer.
pub(crate) const RELEASE: &str = "/forward/release";
/// Where they say that the client of a WebSocket takes nothing.
pub(crate) const UNREAD: &str = "/forward/unread";
/// What shows that it is a pod of the cluster that forwards.
const PASS: HeaderName = HeaderName::from_static("roomcast-pod");
/// The address of the client.
const CLIENT: HeaderName = HeaderName::from_static("roomcast-client");
/// What has been sent is perhaps being handled: so many times longer is waited for the answer to it than for a pod to
/// take a request, for a pod that is busy not to lose the session.
const HANDLED: u32 = 5;
/// Idle connections to a pod are kept for less time than it keeps them.
const IDLE: Duration = Duration::from_secs(10);

/// The way to the other pods.
pub(crate) struct Forwarder {
    backplane: Backplane,
    /// Pods that it does not name; none where nobody else knows of pods.
    discovery: OnceLock<PodDiscovery>,
    seal: Arc<Seal>,
    sessions: Arc<Sessions>,
    client: Client<HttpConnector, Body>,
    /// Longest wait for another pod to take a request.
    limit: Duration,
    /// Longest time that a poll is held.
    poll: Duration,
}

/// Where another pod is.
enum PodAddress {
    /// Its record in Redis says so.
    Registered(String),
    /// It said itself that it is there.
    Discovered(SocketAddr),
}

impl PodAddress {
    /// Host and port.
    fn address(&self) -> String {
        match self {
            Self::Registered(address) => address.clone(),
            Self::Discovered(address) => address.to_string(),
        }
    }
}

/// Another pod does not serve a request.
#[derive(Debug, thiserror::Error)]
enum ForwardError {
    #[error("it has gone")]
    Gone,
    #[error("it does not take this pod for one of its cluster; sessions.secret must be the same")]
    Stranger,
    #[error("it does not answer in time")]
    Late,
    #[error("the client did not send all of the body")]
    Body,
    #[error(transparent)]
    Request(#[from] hyper_util::client::legacy::Error),
    #[error(transparent)]
    Upgrade(#[from] hyper::Error),
    #[error(transparent)]
    Connect(#[from] std::io::Error),
    #[error(transparent)]
    Http(#[from] http::Error),
}

impl From<UploadError> for ForwardError {
    fn from(given_up: UploadError) -> Self {
        match given_up {
            UploadError::Late => Self::Late,
            UploadError::Broken => Self::Body,
        }
    }
}

impl Forwarder {
    pub fn new(
        config: &Config,
        backplane: Backplane,
        seal: Arc<Seal>,
        sessions: Arc<Sessions>,
    ) -> Self {
        let limit = config.sessions.forward_timeout;
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(limit));
        let idle = IDLE.min(config.public.request_timeout / 2);
        let client = Client::builder(TokioExecutor::new()).pool_idle_timeout(idle).build(connector);
        let poll = config.engine.ping_interval + config.engine.ping_timeout;
        let discovery = OnceLock::new();
        Self { backplane, discovery, seal, sessions, client, limit, poll }
    }

    /// From now on, pods are looked for at these addresses too, which may change.
    pub fn look_at(&self, addresses: watch::Receiver<BTreeSet<SocketAddr>>) {
        let (seal, client) = (self.seal.clone(), self.client.clone());
        // Once: a pod is built once.
        let _ = self.discovery.set(PodDiscovery::new(addresses, seal, client, self.limit));
    }

    /// Has the pod of a session answer a request. If it cannot, the session is as good as unknown: the
    /// client begins a new one.
    pub async fn forward(
        &self,
        location: SessionLocation,
        websocket: bool,
        context: &RequestContext,
        request: Request,
    ) -> Result<Response, RequestError> {
        let transport = if websocket { Transport::Websocket } else { Transport::Polling };
        let answer = if websocket {
            self.websocket(location, context, request).await
        } else {
            self.http(location, context.address, request).await
        };
        let answer = answer.and_then(|answer| match answer.status() {
            StatusCode::FORBIDDEN => Err(ForwardError::Stranger),
            _ => Ok(answer),
        });
        if matches!(answer, Err(ForwardError::Body)) {
            // As it is answered here.
            return Err(RequestError::RequestTimeout);
        }
        let result = if answer.is_ok() { "ok" } else { "failed" };
        counter!(FORWARDED.name, "transport" => name(transport), "result" => result).increment(1);
        answer.map_err(|error| {
            match error {
                ForwardError::Stranger => {
                    tracing::warn!(pod = %location.pod, %error, "cannot forward")
                }
                _ => tracing::debug!(pod = %location.pod, %error, "cannot forward"),
            }
            RequestError::SessionUnknown
        })
    }

    async fn http(
        &self,
        location: SessionLocation,
        client: SocketAddr,
        request: Request,
    ) -> Result<Response, ForwardError> {
        let found = self.find(location).await?;
        let address = found.address();
        let (mut parts, body) = request.into_parts();
        let uri = std::mem::take(&mut parts.uri);
        parts.uri = forwarded_uri(&address, PATH, &uri)?;
        without_hop_by_hop(&mut parts.headers);
        self.introduce(&mut parts.headers, location, client)?;
        // Of the extensions, some are for this pod only.
        parts.extensions.clear();
        let answer = if parts.method == Method::GET {
            let answer = self.client.request(http::Request::from_parts(parts, body));
            let release = || self.signal(RELEASE, &address, location, client, &uri);
            self.hold(answer, location, &found, release).await
        } else {
            let (body, progress) = track(body);
            let answer = self.client.request(http::Request::from_parts(parts, body));
            tokio::select! {
                biased;
                given_up = progress.given_up(self.limit * HANDLED) => Err(given_up.into()),
                answer = answer => Ok(answer),
            }
        };
        let (mut parts, body) = answer??.into_parts();
        without_hop_by_hop(&mut parts.headers);
        Ok(Response::from_parts(parts, Body::new(body)))
    }

    /// Waits for the answer to a poll, as long as its pod is there. When this pod is to end, it has the other one
    /// answer: whatever that says on its way here is not lost, and the client's next poll finds another way.
    async fn hold<T>(
        &self,
        answer: impl Future<Output = T>,
        location: SessionLocation,
        found: &PodAddress,
        release: impl Fn() -> Result<PeerSignal, http::Error>,
    ) -> Result<T, ForwardError> {
        let guard = self.sessions.relayed.begin(location.sid, gauge!(HELD_POLLS.name));
        let answer = timeout(self.poll, answer);
        let lost = self.lost(location, found);
        tokio::pin!(answer, lost);
        loop {
            tokio::select! {
                biased;
                answer = &mut answer => return answer.map_err(|_| ForwardError::Late),
                () = &mut lost => return Err(ForwardError::Gone),
                () = guard.told_to_end() => release()?.send().await,
            }
        }
    }

    async fn websocket(
        &self,
        location: SessionLocation,
        context: &RequestContext,
        request: Request,
    ) -> Result<Response, ForwardError> {
        let address = self.find(location).await?.address();
        let mut forwarded = http::Request::get(forwarded_uri(&address, PATH, request.uri())?);
        if let Some(headers) = forwarded.headers_mut() {
            *headers = request.headers().clone();
            headers
                .insert(header::HOST, HeaderValue::from_str(&address).map_err(http::Error::from)?);
            self.introduce(headers, location, context.address)?;
        }
        let forwarded = forwarded.body(Body::empty())?;
        let mut answer = timeout(self.limit, ask(&address, forwarded))
            .await
            .map_err(|_| ForwardError::Late)??;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            let upgraded = hyper::upgrade::on(&mut answer).await?;
            let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
                return Err(ForwardError::Gone);
            };
            let relayed = &self.sessions.relayed;
            let relay = Relay {
                pod: parts.io.into_inner(),
                answer: parts.read_buf,
                limit: self.sessions.timeouts.write,
                unread: self.signal(UNREAD, &address, location, context.address, request.uri())?,
                guard: relayed.begin(location.sid, gauge!(RELAYED_WEBSOCKETS.name)),
            };
            context.upgrade.put(move |client, read_buf, busy| {
                // After a panic both its streams are dropped: each end sees its WebSocket close.
                tasks::spawn(
                    "relayed websocket",
                    relay.join(client, read_buf).map(|()| drop(busy)),
                );
            });
        }
        let (parts, body) = answer.into_parts();
        Ok(Response::from_parts(parts, Body::new(body)))
    }

    /// What can be said to a pod of a session of its own, the one of a request.
    fn signal(
        &self,
        path: &str,
        address: &str,
        location: SessionLocation,
        client: SocketAddr,
        uri: &Uri,
    ) -> Result<PeerSignal, http::Error> {
        let mut request = http::Request::post(forwarded_uri(address, path, uri)?).body(())?;
        self.introduce(request.headers_mut(), location, client)?;
        Ok(PeerSignal { client: self.client.clone(), request, limit: self.limit })
    }

    /// Where a pod takes requests of others.
    async fn find(&self, location: SessionLocation) -> Result<PodAddress, ForwardError> {
        if let Some(pod) = self.backplane.cluster().pod(location.pod.as_str()).await {
            return Ok(PodAddress::Registered(pod.address));
        }
        let discovery = self.discovery.get().ok_or(ForwardError::Gone)?;
        discovery.find(location.pod).await.map(PodAddress::Discovered).ok_or(ForwardError::Gone)
    }

    /// Waits until a pod that was found has gone.
    async fn lost(&self, location: SessionLocation, found: &PodAddress) {
        match (found, self.discovery.get()) {
            (PodAddress::Discovered(address), Some(discovery)) => discovery.lost(*address).await,
            _ => self.backplane.cluster().lost(location.pod.as_str()).await,
        }
    }

    fn introduce(
        &self,
        headers: &mut HeaderMap,
        location: SessionLocation,
        client: SocketAddr,
    ) -> Result<(), http::Error> {
        let mut pass = HeaderValue::from_str(&self.seal.pass_for(location.pod))?;
        pass.set_sensitive(true);
        headers.insert(PASS, pass);
        headers.insert(CLIENT, HeaderValue::from_str(&client.to_string())?);
        Ok(())
    }
}

/// Sends a request on a connection of its own, which can be taken back from HTTP.
async fn ask(
    address: &str,
    request: http::Request<Body>,
) -> Result<http::Response<hyper::body::Incoming>, ForwardError> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // After a panic there is no answer, as from a pod that has gone.
    tasks::spawn("forwarded request", connection.with_upgrades().map(drop));
    Ok(sender.send_request(request).await?)
}

/// The client that another pod forwards a request of; nothing if it is no pod of the cluster.
pub(crate) fn introduced(headers: &HeaderMap, seal: &Seal) -> Option<SocketAddr> {
    let text = |name| headers.get(name)?.to_str().ok();
    seal.admits(text(PASS)?).then(|| text(CLIENT)?.parse().ok())?
}

fn forwarded_uri(address: &str, path: &str, uri: &Uri) -> Result<Uri, http::Error> {
    let query = uri.query().unwrap_or_default();
    Uri::builder()
        .scheme("http")
        .authority(address)
        .path_and_query(format!("{path}?{query}"))
        .build()
}

/// RFC 9110, section 7.6.1: these say something of one connection, not of what is sent over it.
fn without_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::HOST,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
        HeaderName::from_static("keep-alive"),
    ] {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::TcpListener;

    use super::*;
    use crate::tasks::inject;

    #[tokio::test]
    async fn a_request_whose_connection_panics_is_one_that_is_not_answered() {
        let pod = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = pod.local_addr().unwrap().to_string();
        inject::next("forwarded request");
        let asked = timeout(Duration::from_secs(30), ask(&address, http::Request::default()));
        assert!(asked.await.unwrap().is_err());
        assert_eq!(inject::counted("forwarded request"), 1);
    }
}
