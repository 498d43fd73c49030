//! HTTP long-polling: one GET is always open for what the server sends, POSTs carry what we send.
//!
//! hyper's client, and not reqwest: it takes the same TLS settings as the WebSocket, and follows no
//! redirect, as a WebSocket does not either.

use std::{collections::VecDeque, error::Error, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};

use super::{Address, Opened, Sink, Source, Transport, within};
use crate::client::{
    TransportError,
    engine::{Frame, Packet, beginning},
};

/// What a server takes that does not say what it takes: the default of Engine.IO.
const MAX_BODY: usize = 1_000_000;

pub(in crate::client) type Http = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// Connections are kept: each poll would be a TLS handshake else.
pub(in crate::client) fn http_client(tls: &Arc<rustls::ClientConfig>) -> Http {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.enforce_http(false);
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config((**tls).clone())
        .https_or_http()
        .enable_http1()
        .wrap_connector(tcp);
    Client::builder(TokioExecutor::new()).build(connector)
}

type Answer = Pin<Box<dyn Future<Output = Result<Bytes, TransportError>> + Send>>;

/// What comes.
pub(in crate::client) struct Polls {
    address: Arc<Address>,
    session: String,
    /// Of answers that have come.
    packets: VecDeque<Packet>,
    /// The GET that the server holds. It is kept here so that `next` may be cancelled.
    poll: Option<Answer>,
    paused: bool,
}

/// What goes.
pub(in crate::client) struct Posts {
    address: Arc<Address>,
    session: String,
    max_body: usize,
}

pub(super) async fn open(address: &Arc<Address>) -> Result<Opened, TransportError> {
    let body = get(address.clone(), None).await?;
    let mut packets = VecDeque::from(Packet::of_body(&body)?);
    let Some(Packet::Open(handshake)) = packets.pop_front() else {
        return Err(TransportError::Protocol("the server begins without `open`".into()));
    };
    let session = handshake.sid.clone();
    let max_body = handshake.max_payload.unwrap_or(MAX_BODY);
    let sink = Posts { address: address.clone(), session: session.clone(), max_body };
    let source = Polls { address: address.clone(), session, packets, poll: None, paused: false };
    Ok(Opened {
        handshake,
        source: Source::Polling(source),
        sink: Sink::Polling(sink),
        transport: Transport::Polling,
    })
}

impl Polls {
    pub async fn next(&mut self) -> Result<Option<Packet>, TransportError> {
        loop {
            if let Some(packet) = self.packets.pop_front() {
                return Ok(Some(packet));
            }
            let poll = match &mut self.poll {
                Some(poll) => poll,
                None if self.paused => return Ok(None),
                empty => {
                    let answer = get(self.address.clone(), Some(self.session.clone()));
                    empty.insert(Box::pin(answer))
                }
            };
            let body = poll.await;
            self.poll = None;
            self.packets = Packet::of_body(&body?)?.into();
        }
    }

    pub fn pause(&mut self) {
        self.paused = true;
    }
}

impl Posts {
    pub fn max_body(&self) -> usize {
        self.max_body
    }

    /// In as many bodies as the server's limit needs.
    pub async fn send(&mut self, frames: Vec<Frame>) -> Result<(), TransportError> {
        let mut body = Vec::new();
        for frame in frames {
            if !body.is_empty() && body.len() + 1 + frame.size_in_body() > self.max_body {
                self.post(std::mem::take(&mut body)).await?;
            }
            frame.append_to(&mut body);
        }
        self.post(body).await
    }

    async fn post(&self, body: Vec<u8>) -> Result<(), TransportError> {
        let posting = request(&self.address, Method::POST, Some(&self.session), body.into());
        within(self.address.timeout, posting).await.map(drop)
    }
}

/// How long the server holds a poll is its own affair: it ends with the connection.
async fn get(address: Arc<Address>, session: Option<String>) -> Result<Bytes, TransportError> {
    request(&address, Method::GET, session.as_deref(), Bytes::new()).await
}

async fn request(
    address: &Address,
    method: Method,
    session: Option<&str>,
    body: Bytes,
) -> Result<Bytes, TransportError> {
    let mut url = address.url("polling", session);
    // No cache on the way may answer.
    url.query_pairs_mut().append_pair("t", &format!("{:x}", fastrand::u64(..)));
    let mut request = Request::new(Full::new(body));
    *request.uri_mut() = url.as_str().parse().map_err(|error| failed(&error))?;
    *request.headers_mut() = address.headers.clone();
    if method == Method::POST {
        let text = header::HeaderValue::from_static("text/plain;charset=UTF-8");
        request.headers_mut().insert(header::CONTENT_TYPE, text);
    }
    *request.method_mut() = method;
    let response = address.http.request(request).await.map_err(|error| failed(&error))?;
    let status = response.status();
    let body = Limited::new(response.into_body(), address.max_message).collect().await;
    match (status, body) {
        (StatusCode::OK, Ok(body)) => Ok(body.to_bytes()),
        (StatusCode::OK, Err(error)) if error.is::<LengthLimitError>() => {
            Err(TransportError::TooLarge(address.max_message))
        }
        (StatusCode::OK, Err(error)) => Err(failed(&*error)),
        (status, body) => {
            // What else it said does not matter if it cannot be read.
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let body = beginning(&String::from_utf8_lossy(&body));
            Err(TransportError::Status { status: status.as_u16(), body })
        }
    }
}

/// The message of the innermost error says most.
fn failed(error: &(dyn Error + 'static)) -> TransportError {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    TransportError::Unreachable(error.to_string())
}
