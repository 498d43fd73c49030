//! The two transports of Engine.IO: how a connection is opened, read, written, upgraded.

mod polling;
mod tls;
mod websocket;

use std::{sync::Arc, time::Duration};

use http::HeaderMap;
use url::Url;

use self::polling::{Polls, Posts};
use super::{
    TransportError,
    engine::{Frame, Handshake, Packet},
};

pub(super) use polling::http_client;
pub(super) use tls::tls_config;

/// A transport of Engine.IO.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// One connection, both ways.
    WebSocket,
    /// HTTP long-polling: for networks that let no WebSocket through.
    Polling,
}

/// How to reach the server.
pub(super) struct Address {
    /// `http` or `https`, with the path and the query of Socket.IO.
    pub url: Url,
    pub headers: HeaderMap,
    pub tls: Arc<rustls::ClientConfig>,
    pub http: polling::Http,
    /// The largest message, and the largest answer to a poll, in bytes.
    pub max_message: usize,
    /// The longest time to open, and for a POST.
    pub timeout: Duration,
}

impl Address {
    fn url(&self, transport: &str, session: Option<&str>) -> Url {
        let mut url = self.url.clone();
        url.query_pairs_mut().append_pair("EIO", "4").append_pair("transport", transport);
        if let Some(session) = session {
            url.query_pairs_mut().append_pair("sid", session);
        }
        url
    }
}

/// A connection that the server has greeted.
pub(super) struct Opened {
    pub handshake: Handshake,
    pub source: Source,
    pub sink: Sink,
    pub transport: Transport,
}

/// Opens the first of the transports that works.
pub(super) async fn open(
    address: Arc<Address>,
    transports: Arc<[Transport]>,
) -> Result<Opened, TransportError> {
    let mut last = TransportError::Closed;
    for transport in transports.iter() {
        let opening = async {
            match transport {
                Transport::WebSocket => websocket::open(&address).await,
                Transport::Polling => polling::open(&address).await,
            }
        };
        last = match within(address.timeout, opening).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        // A server that takes nobody now is no reason for another transport: it would get twice
        // the attempts when it can bear them least.
        if matches!(last, TransportError::Status { status: 429 | 503, .. }) {
            break;
        }
    }
    Err(last)
}

/// Opens a WebSocket for a session that polls, and asks the server whether it gets through.
pub(super) async fn probe(
    address: Arc<Address>,
    session: String,
) -> Result<(Source, Sink), TransportError> {
    within(address.timeout, websocket::probe(&address, &session)).await
}

async fn within<T>(
    timeout: Duration,
    work: impl Future<Output = Result<T, TransportError>>,
) -> Result<T, TransportError> {
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result,
        Err(_) => Err(TransportError::Timeout(timeout)),
    }
}

/// Where packets come from.
pub(super) enum Source {
    WebSocket(websocket::Reader),
    Polling(Polls),
}

impl Source {
    /// The next packet; nothing once a paused source is empty. May be cancelled at any time.
    pub async fn next(&mut self) -> Result<Option<Packet>, TransportError> {
        match self {
            Self::WebSocket(reader) => reader.next().await.map(Some),
            Self::Polling(polls) => polls.next().await,
        }
    }

    /// No new poll is begun.
    pub fn pause(&mut self) {
        if let Self::Polling(polls) = self {
            polls.pause();
        }
    }
}

/// Where frames go.
pub(super) enum Sink {
    WebSocket(websocket::Writer),
    Polling(Posts),
}

impl Sink {
    /// How many bytes it takes well at once.
    pub fn batch(&self) -> usize {
        match self {
            Self::WebSocket(_) => 64 * 1024,
            Self::Polling(posts) => posts.max_body(),
        }
    }

    pub async fn send(&mut self, frames: Vec<Frame>) -> Result<(), TransportError> {
        match self {
            Self::WebSocket(writer) => writer.send(frames).await,
            Self::Polling(posts) => posts.send(frames).await,
        }
    }

    /// Ends the connection in order.
    pub async fn close(&mut self) -> Result<(), TransportError> {
        match self {
            Self::WebSocket(writer) => writer.close().await,
            Self::Polling(posts) => posts.send(vec![Frame::Close]).await,
        }
    }
}
