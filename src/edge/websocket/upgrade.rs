//! Takes a WebSocket stream over from HTTP and hands it to socketioxide, with a bare request.
//!
//! Gap: behind `axum::serve`, socketioxide keeps the whole request of each WebSocket for life, and
//! with it hyper's 8 KiB read buffer that its URI and headers are slices of: 29 kB per idle
//! connection instead of 17 (`make bench`). Way round, with public API only: answer the upgrade here, take
//! the TCP stream back from hyper, and call the `(stream, request)` service of socketioxide with a
//! request that owns its few bytes. When upstream keeps a smaller request by itself, the copying
//! can go; owning the stream stays, for the drain and for time-outs.

use std::sync::{Arc, Weak};

use axum::{
    body::{Body, Bytes},
    response::Response,
};
use http::{HeaderValue, StatusCode, Uri, header};
use tokio::net::TcpStream;
use tungstenite::handshake::derive_accept_key;

use super::{
    client_stream::ClientStream,
    opening::Opening,
    probe::{self, UpgradeResult},
    transport::FrameStream,
    upgraded_session::UpgradedSession,
};
use crate::{
    edge::{
        connections::{connection::Connection, service::Service},
        frames::{
            base64_to_binary::Base64ToBinary, binary_to_base64::BinaryToBase64,
            permessage_deflate::DeflateParams,
        },
        requests::{request_error::RequestError, upgrade_slot::UpgradeSlot},
    },
    tasks,
};

/// What socketioxide gets with the stream.
pub(super) struct AcceptedUpgrade {
    request: http::Request<()>,
    connection: Arc<Connection>,
    /// Of a polling session that it is to take over.
    claim: Option<UpgradeClaim>,
    service: Service,
    /// For a new session.
    opening: Option<Box<Opening>>,
    options: WebSocketOptions,
}

/// What a request to become a WebSocket says.
pub(crate) struct WebSocketRequest {
    pub key: HeaderValue,
    /// What is answered of the protocols that it offers.
    pub protocol: Option<HeaderValue>,
}

/// What a client wants of its WebSocket.
#[derive(Clone, Copy)]
pub(crate) struct WebSocketOptions {
    pub compressed: Option<DeflateParams>,
    /// Binary packets as text, of so many bytes at most.
    pub in_text: Option<usize>,
}

/// Answers a WebSocket handshake, and leaves the rest in the slot until HTTP lets go of the stream.
///
/// `connection` is a new one, or that of the polling session which is upgraded, which the caller has
/// claimed for it.
pub(crate) fn accept(
    uri: Uri,
    asked: &WebSocketRequest,
    connection: Arc<Connection>,
    service: Service,
    opening: Option<Box<Opening>>,
    options: WebSocketOptions,
    slot: &UpgradeSlot,
) -> Result<Response, RequestError> {
    let claim = connection.polling_sid().map(|_| UpgradeClaim(Arc::downgrade(&connection)));
    let mut response = switching(asked)?;
    if let Some(extension) = options.compressed.and_then(DeflateParams::header) {
        response.headers_mut().insert(header::SEC_WEBSOCKET_EXTENSIONS, extension);
    }
    let mut request = http::Request::new(());
    // socketioxide keeps it for life: it has memory of its own.
    *request.uri_mut() = uri;
    if opening.as_ref().is_some_and(|opening| opening.connects_at_once()) {
        request.extensions_mut().insert(connection.clone());
    }
    let accepted = AcceptedUpgrade { request, connection, claim, service, opening, options };
    slot.put(move |tcp, read_buf, _| accepted.take_over(tcp, read_buf));
    Ok(response)
}

/// Answers the handshake of a WebSocket that is closed at once, as Node does: its session has one already, or is about to.
pub(crate) fn turn_away(
    asked: &WebSocketRequest,
    slot: &UpgradeSlot,
) -> Result<Response, RequestError> {
    let response = switching(asked)?;
    UpgradeResult::Surplus.count();
    slot.put(|tcp, _, _| {
        tasks::spawn("upgrade", probe::close(FrameStream::Plain(tcp)));
    });
    Ok(response)
}

fn switching(asked: &WebSocketRequest) -> Result<Response, RequestError> {
    let mut response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(asked.key.as_bytes()))
        .body(Body::empty())
        .map_err(|_| RequestError::BadRequest)?;
    if let Some(protocol) = asked.protocol.clone() {
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    Ok(response)
}

impl AcceptedUpgrade {
    /// Serves the TCP stream. `read_buf` is what the client sent right behind its handshake.
    fn take_over(mut self, tcp: TcpStream, read_buf: Bytes) {
        if let Some(opening) = &mut self.opening {
            opening.http = read_buf.clone();
        }
        let WebSocketOptions { compressed, in_text } = self.options;
        let (mut wire, read_buf) = FrameStream::new(tcp, read_buf, compressed);
        if in_text.is_some() {
            wire = wire.in_text(BinaryToBase64::new(self.connection.request.eio3));
        }
        match self.claim.take() {
            Some(claim) => {
                // After a panic the claim is dropped, and the session goes on with polling.
                tasks::spawn("upgrade", self.probe(claim, wire, read_buf));
            }
            None => self.serve(wire, &read_buf, None),
        }
    }

    /// Has the stream take a polling session over, if its client goes through with it.
    async fn probe(self, claim: UpgradeClaim, mut wire: FrameStream, read_buf: Bytes) {
        let Self { request, connection, service, opening, options, .. } = self;
        // While it is not known whether it does, the session may end without it.
        let limit = connection.registry.timeouts.upgrade;
        drop(connection);
        let said = match probe::probe(&mut wire, &read_buf, &claim.0, limit).await {
            Ok(said) => said,
            Err(why) => {
                why.count();
                // The next one may try while this one goes, as on Node.
                drop(claim);
                return probe::close(wire).await;
            }
        };
        let connection = claim.0.upgrade();
        let sid = connection.as_ref().and_then(|connection| connection.polling_sid());
        let (Some(connection), Some(sid)) = (connection, sid) else {
            return UpgradeResult::SessionEnded.count();
        };
        // Before anything else: a session that is neither would be polled in vain.
        let session = UpgradedSession::new(service.clone(), connection.clone(), sid);
        connection.upgraded();
        UpgradeResult::Ok.count();
        let accepted = Self { request, connection, claim: None, service, opening, options };
        accepted.serve(wire, &said, Some(Box::new(session)));
    }

    fn serve(self, wire: FrameStream, read_buf: &[u8], session: Option<Box<UpgradedSession>>) {
        let Self { request, connection, service, opening, options, .. } = self;
        let base64 = options
            .in_text
            .map(|most| Box::new(Base64ToBinary::new(connection.request.eio3, most)));
        // socketioxide moves it through several of its futures, each of which has room for it.
        let stream =
            Box::new(ClientStream::new(wire, read_buf, base64, connection, session, opening));
        if let Err(error) = service.websocket(stream, request) {
            tracing::debug!(%error, "WebSocket refused");
        }
    }
}

/// The right to upgrade a polling session; the next WebSocket may try when it is dropped.
struct UpgradeClaim(Weak<Connection>);

impl Drop for UpgradeClaim {
    fn drop(&mut self) {
        if let Some(connection) = self.0.upgrade()
            && let Some(polling) = connection.polling()
        {
            polling.give_up_upgrade();
        }
    }
}
