//! Requests that came in over a listener of the program: what this pod's own listener would have done for them.
//!
//! The edge owns the TCP stream of each WebSocket. Behind `axum::serve` it gets it by hyper's upgrade, which gives the
//! stream back; TLS or a listener of another kind in between, and there is none: such WebSockets are refused, and the
//! client stays with polling.

use std::net::SocketAddr;

use axum::{
    extract::{ConnectInfo, Request},
    middleware::Next,
    response::{IntoResponse, Response},
};
use hyper::upgrade::OnUpgrade;
use hyper_util::{rt::TokioIo, server::conn::auto::upgrade::downcast};
use tokio::{net::TcpStream, sync::mpsc};

use crate::{
    edge::{
        connections::{request_context::RequestContext, unread_answer::PollAnswer},
        requests::{
            request_error::RequestError,
            upgrade_slot::{TakeOver, UpgradeSlot},
        },
    },
    tasks,
};

/// Middleware: notes where a request came from, and takes the stream of one that becomes a WebSocket.
pub(crate) async fn adopt(mut request: Request, next: Next) -> Response {
    let info = request.extensions().get::<ConnectInfo<SocketAddr>>();
    let address = info.map_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)), |info| info.0);
    let stream = request.extensions_mut().remove::<OnUpgrade>();
    let slot = UpgradeSlot::default();
    let context = RequestContext {
        address,
        secure: false,
        upgrade: slot.clone(),
        answered: PollAnswer::default(),
    };
    request.extensions_mut().insert(context);
    let response = match tasks::caught("request", next.run(request)).await {
        Some(response) => response,
        None => return RequestError::Internal.into_response(),
    };
    if let (Some(take_over), Some(stream)) = (slot.take(), stream) {
        tasks::spawn("connection", give(stream, take_over));
    }
    response
}

/// Gives the TCP stream to what takes it over.
async fn give(stream: OnUpgrade, take_over: TakeOver) {
    let upgraded = match stream.await {
        Ok(upgraded) => upgraded,
        Err(error) => return tracing::debug!(%error, "the client left before its upgrade"),
    };
    let Ok(parts) = downcast::<TokioIo<TcpStream>>(upgraded) else {
        tracing::error!(
            "a WebSocket came over a listener that is no TCP: use one of tokio, without TLS"
        );
        return;
    };
    let tcp = parts.io.into_inner();
    // As this pod's listener does: packets are written whole.
    if let Err(error) = tcp.set_nodelay(true) {
        return tracing::debug!(%error, "the client left before it was served");
    }
    // Nobody waits for connections that are not this pod's own.
    let (busy, _) = mpsc::channel(1);
    take_over(tcp, parts.read_buf, busy);
}
