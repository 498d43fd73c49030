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
use http::{Method, StatusCode, Uri, header};
use http_body_util::BodyExt;
use socketioxide::service::SocketIoService;
use socketioxide_core::Sid;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Service as _, ServiceExt};

use super::{
    connection::Connection,
    eio3,
    handshake::{Refusal, Unserved},
    refused,
    traffic::{self, SEPARATOR},
};
use crate::backplane::Adapter;

/// Answers to polls that say nothing.
const NOTHING: [&[u8]; 3] = [b"", b"6", b"1:6"];

/// An answer of socketioxide: its body is there already, as one piece.
pub(super) async fn whole(response: Response) -> (http::response::Parts, Bytes) {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    (parts, body)
}

/// A handle on socketioxide. Clones are the same.
#[derive(Clone)]
pub(super) struct Service {
    socketio: SocketIoService<NoPage, Adapter>,
    path: Arc<str>,
}

impl Service {
    /// `path` is that of Socket.IO, without the slash behind it.
    pub fn new(socketio: SocketIoService<NoPage, Adapter>, path: &str) -> Self {
        Self { socketio, path: path.into() }
    }

    /// Answers a request of a polling client.
    pub async fn http(&self, request: Request) -> Response {
        let response = match self.socketio.clone().oneshot(request).await {
            Ok(response) => response.map(Body::new),
            Err(never) => match never {},
        };
        if response.status().is_success() {
            return response;
        }
        Unserved::BadRequest.count();
        let (mut parts, body) = whole(response).await;
        parts.headers.remove(header::CONTENT_LENGTH);
        Response::from_parts(parts, Body::from(with_number(body)))
    }

    /// Answers a poll. Gap: the first ping of a session goes out at once, where the protocol has it after
    /// one ping interval. So it is taken out of the first answer that has it, and answered for the client.
    pub async fn poll(&self, request: Request, connection: &Connection, eio3: bool) -> Response {
        let uri = request.uri().clone();
        let (mut parts, mut body) = whole(self.held(request, connection, eio3).await).await;
        if !eio3
            && let Some(rest) = without_ping(&body)
            && connection.withhold_ping()
        {
            let _ = self.socketio.clone().oneshot(pong(&uri)).await;
            if rest.is_empty() {
                let mut again = Request::new(Body::empty());
                *again.uri_mut() = uri;
                (parts, body) = whole(self.held(again, connection, eio3).await).await;
            } else {
                parts.headers.insert(header::CONTENT_LENGTH, rest.len().into());
                body = rest.into();
            }
        }
        if connection.is_websocket() && NOTHING.contains(&&*body) {
            // As if it had come after the upgrade; a stock client has no poll under way then.
            return Refusal::BadRequest.into_response();
        }
        if connection.is_refused() {
            let octets = parts.headers.get(header::CONTENT_TYPE).is_some_and(eio3::is_octets);
            let (said, told) = match eio3 {
                true => eio3::rewrite(&body, octets, refused::polled),
                false => refused::in_payload(&body),
            };
            connection.told_refusals(told);
            parts.headers.insert(header::CONTENT_LENGTH, said.len().into());
            body = said.into();
        }
        traffic::polling().sent.count_body(&body);
        Response::from_parts(parts, Body::from(body))
    }

    /// Has a poll wait for its answer, unless it is released: a poll that waits has taken nothing of the queue, so
    /// nothing is lost with it.
    async fn held(&self, request: Request, connection: &Connection, eio3: bool) -> Response {
        let late = connection.is_polling_closing();
        let released = tokio::select! {
            biased;
            response = self.http(request) => return response,
            () = connection.poll_released() => match (connection.is_polling_closing(), eio3) {
                (false, false) => "6",
                (false, true) => "1:6",
                // As Node closes: a poll that waits is told so; one that comes later, behind a packet that says nothing.
                (true, false) if late => "6\u{1e}1",
                (true, true) if late => "1:61:1",
                (true, false) => "1",
                (true, true) => "1:1",
            }
        };
        if let Some(sid) = connection.polling_sid()
            && connection.is_polling_closing()
        {
            self.end_polling(connection, sid).await;
        }
        ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], released).into_response()
    }

    /// Ends a polling session as its client would: there is no other way to end just one. Does
    /// nothing to a session that has ended, or has its WebSocket.
    pub async fn end_polling(&self, connection: &Connection, sid: Sid) {
        let uri = format!("{}/?EIO=4&transport=polling&sid={sid}", self.path);
        if let Ok(request) = Request::post(uri).body(Body::from("1")) {
            let _ = self.socketio.clone().oneshot(request).await;
        }
        Self::polling_ended(connection);
    }

    /// A polling session has ended, as its client said or was said to have. Gap: socketioxide tells nobody of one that is in
    /// no namespace.
    pub fn polling_ended(connection: &Connection) {
        if !connection.is_websocket() {
            connection.polling_is_over();
        }
        if !connection.is_in_namespace() {
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

/// What is left of the packets of a body without the first ping; nothing if there is none.
fn without_ping(body: &[u8]) -> Option<Vec<u8>> {
    let packets = || body.split(|byte| *byte == SEPARATOR);
    let ping = packets().position(|packet| packet == b"2")?;
    let others =
        packets().enumerate().filter(|(index, _)| *index != ping).map(|(_, packet)| packet);
    Some(others.collect::<Vec<_>>().join(&SEPARATOR))
}

/// What a client answers a ping with.
fn pong(uri: &Uri) -> Request {
    let mut pong = Request::new(Body::from("3"));
    *pong.method_mut() = Method::POST;
    *pong.uri_mut() = uri.clone();
    pong
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

    #[test]
    fn the_first_ping_is_taken_out() {
        for (body, rest) in [
            ("2", Some("")),
            ("2\x1e40{}", Some("40{}")),
            ("40{}\x1e2\x1e42[\"2\"]\x1e2", Some("40{}\x1e42[\"2\"]\x1e2")),
            ("42[2]", None),
            ("", None),
        ] {
            assert_eq!(without_ping(body.as_bytes()).as_deref(), rest.map(str::as_bytes), "{body}");
        }
    }
}
