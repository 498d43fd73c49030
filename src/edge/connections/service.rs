//! socketioxide, called in the ways that it can be.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header};
use http_body_util::BodyExt;
use socketioxide::service::SocketIoService;
use socketioxide_core::Sid;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Service as _, ServiceExt};

use super::connection::Connection;
use crate::{backplane::Adapter, edge::requests::request_error::UnservedRequest, tasks};

/// An answer of socketioxide: its body is there already, as one piece.
pub(crate) async fn whole(response: Response) -> (http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (parts, body)
}

/// A handle on socketioxide. Clones are the same.
#[derive(Clone)]
pub(crate) struct Service {
    socketio: SocketIoService<NoPage, Adapter>,
    path: Arc<str>,
}

impl Service {
    /// `path` is that of Socket.IO, without the slash behind it.
    pub fn new(socketio: SocketIoService<NoPage, Adapter>, path: &str) -> Self {
        Self { socketio, path: path.into() }
    }

    /// Has socketioxide answer a request of a polling session.
    pub async fn call(&self, request: Request) -> Response {
        match self.socketio.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        }
    }

    /// The same for a request of a client: an answer that is an error is counted, and has the form that clients know.
    pub async fn http(&self, request: Request) -> Response {
        let response = self.call(request).await;
        if response.status().is_success() {
            return response;
        }
        UnservedRequest::BadRequest.count();
        let (mut parts, body) = whole(response).await;
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(with_number(body)))
    }

    /// Ends a polling session as its client would: there is no other way to end just one. Does
    /// nothing to a session that has ended, or has its WebSocket.
    pub async fn end_polling(&self, connection: &Connection, sid: Sid) {
        let uri = format!("{}/?EIO=4&transport=polling&sid={sid}", self.path);
        if let Ok(request) = Request::post(uri).body(Body::from("1")) {
            let _ = self.call(request).await;
        }
        Self::polling_ended(connection);
    }

    /// Does so soon, in a task. If that panics, the connection is over for the edge all the same; socketioxide finds out by the
    /// next ping.
    pub fn end_polling_soon(self, connection: Arc<Connection>, sid: Sid) {
        let ended = connection.clone();
        tasks::spawn_or(
            "polling end",
            async move { self.end_polling(&connection, sid).await },
            async move { Self::polling_ended(&ended) },
        );
    }

    /// A polling session has ended, as its client said or was said to have. Gap: socketioxide tells nobody of one that is in
    /// no namespace.
    pub fn polling_ended(connection: &Connection) {
        if !connection.is_websocket()
            && let Some(polling) = connection.polling()
        {
            polling.end();
        }
        if connection.namespaces() == 0 {
            // Otherwise the end of its sockets is near: it brings the reason.
            connection.end();
        }
    }

    /// Serves a WebSocket that has been accepted, in tasks of socketioxide.
    pub fn websocket<S>(
        mut self,
        stream: S,
        request: http::Request<()>,
    ) -> Result<(), impl std::error::Error + use<S>>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        // It never waits: the answer is there at once.
        self.socketio.call((stream, request)).into_inner()
    }
}

/// An error with its code as clients know it. Gap: socketioxide writes `"1"` in the place of `1`.
fn with_number(error: Bytes) -> Bytes {
    match error.strip_prefix(b"{\"code\":\"".as_slice()) {
        Some([code, b'"', rest @ ..]) => [b"{\"code\":", &[*code][..], rest].concat().into(),
        _ => error,
    }
}

/// What socketioxide calls for requests that are not its own: none are, the router sees to that.
#[derive(Clone)]
pub struct NoPage;

impl tower::Service<Request> for NoPage {
    type Response = Response;
    type Error = Infallible;
    type Future = Ready<Result<Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request) -> Self::Future {
        ready(Ok(StatusCode::NOT_FOUND.into_response()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_of_an_error_is_a_number() {
        let error = with_number(Bytes::from_static(b"{\"code\":\"1\",\"message\":\"x\"}"));
        assert_eq!(error, "{\"code\":1,\"message\":\"x\"}");
        assert_eq!(with_number(Bytes::from_static(b"ok")), "ok");
    }
}
