//! Takes a WebSocket stream over from HTTP and hands it to socketioxide, with a bare request.
//!
//! Gap: behind `axum::serve`, socketioxide keeps the whole request of each WebSocket for life, and
//! with it hyper's 8 KiB read buffer that its URI and headers are slices of: 30 kB per idle
//! connection instead of 17 (`make bench`). Way round, with public API only: answer the upgrade here, take
//! the TCP stream back from hyper, and call the `(stream, request)` service of socketioxide with a
//! request that owns its few bytes. When upstream keeps a smaller request by itself, the copying
//! can go; owning the stream stays, for the drain and for write time-outs.

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use http::{HeaderValue, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use socketioxide_core::Sid;
use tokio::{net::TcpStream, runtime::Handle};
use tungstenite::handshake::derive_accept_key;

use super::{
    handshake::Refusal,
    service::Service,
    sessions::Connection,
    stream::{ClientStream, Limits},
};

/// Answers the WebSocket handshake, and gives the stream to socketioxide once HTTP lets go of it.
///
/// `connection` is a new one, or that of the polling session which `request` upgrades, which the
/// caller has claimed for it.
pub(super) fn accept(
    mut request: Request,
    key: &HeaderValue,
    connection: Arc<Connection>,
    service: Service,
    limits: Limits,
) -> Result<Response, Refusal> {
    let response = Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_ACCEPT, derive_accept_key(key.as_bytes()))
        .body(Body::empty())
        .map_err(|_| Refusal::BadRequest)?;
    let bare = bare_request(request.uri(), &connection).ok_or(Refusal::BadRequest)?;
    let upgrade = hyper::upgrade::on(&mut request);
    drop(request);
    let session = connection.polling_sid().map(|sid| {
        Box::new(PollingSession { service: service.clone(), connection: connection.clone(), sid })
    });

    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else {
            return tracing::debug!("the client left during the upgrade");
        };
        let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else {
            return tracing::error!("bug: the public listener serves something else than TCP");
        };
        let tcp = parts.io.into_inner();
        let stream = ClientStream::new(tcp, &parts.read_buf, connection, limits, session);
        if let Err(error) = service.websocket(stream, bare).await {
            tracing::debug!(%error, "WebSocket refused");
        }
    });
    Ok(response)
}

/// A polling session that is being upgraded. It ends with its WebSocket, also with one that dies in
/// the middle of the upgrade: socketioxide never takes an upgrade back, so the client would poll in
/// vain.
pub(super) struct PollingSession {
    service: Service,
    connection: Arc<Connection>,
    sid: Sid,
}

impl Drop for PollingSession {
    fn drop(&mut self) {
        let (service, connection, sid) = (self.service.clone(), self.connection.clone(), self.sid);
        // Without a runtime, the pod is over.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move { service.end_polling(&connection, sid).await });
        }
    }
}

/// What socketioxide needs of the request, in memory of its own.
fn bare_request(uri: &Uri, connection: &Arc<Connection>) -> Option<http::Request<()>> {
    let uri: Uri = uri.to_string().parse().ok()?;
    let mut bare = http::Request::builder().uri(uri).body(()).ok()?;
    bare.extensions_mut().insert(connection.clone());
    Some(bare)
}
