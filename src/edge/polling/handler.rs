//! The requests of polling sessions of this pod: GET for what waits for the client, POST with what it sends.

use std::sync::Arc;

use axum::{body::Body, extract::Request, response::Response};
use http::{Method, Uri, header};
use socketioxide_core::Sid;
use tokio::runtime::Handle;

use super::{compression::Compressor, poll, post::PostHandler};
use crate::{
    config::{Config, Transport},
    edge::{
        connections::{
            close_reason::CloseReason,
            connection::Connection,
            service::{Service, whole},
            unread_answer::PollAnswer,
        },
        packets::{
            open_packet::{self, OpenPacket},
            session_id::Seal,
        },
        requests::request_error::RequestError,
    },
    tasks,
};

/// Answers the requests of polling sessions.
pub(crate) struct PollingHandler {
    service: Service,
    seal: Arc<Seal>,
    posts: PostHandler,
    compressor: Compressor,
    /// Whether clients are told that they may go on with a WebSocket.
    upgrades: bool,
}

impl PollingHandler {
    pub fn new(config: &Config, service: Service, seal: Arc<Seal>) -> Self {
        let (max_payload, timeout) = (config.limits.max_payload, config.public.request_timeout);
        Self {
            posts: PostHandler::new(service.clone(), max_payload, timeout),
            compressor: Compressor::new(&config.public.http_compression),
            upgrades: config.engine.allow_upgrades
                && config.engine.transports.contains(&Transport::Websocket),
            service,
            seal,
        }
    }

    /// Answers the handshake of a new session.
    pub async fn open(
        &self,
        uri: Uri,
        connection: Arc<Connection>,
        request: Request,
    ) -> Result<Response, RequestError> {
        let request = open_request(uri, &connection, request.into_body())?;
        let (mut parts, body) = whole(self.service.http(request).await).await;
        let body = if self.upgrades { body } else { open_packet::without_upgrades(body) };
        let Some(open) = OpenPacket::find(&body) else {
            return Ok(Response::from_parts(parts, Body::from(body)));
        };
        connection.has_id(open.sid);
        let body = open.with_id(&self.seal.seal(open.sid));
        parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// Answers a request of a session.
    pub async fn answer(
        &self,
        connection: Arc<Connection>,
        sid: Sid,
        eio3: bool,
        answered: &PollAnswer,
        request: Request,
    ) -> Result<Response, RequestError> {
        let encoding = self.compressor.wanted(&request);
        let response = self.poll_or_post(&connection, sid, eio3, answered, request).await?;
        if encoding.is_none() {
            return Ok(response);
        }
        let abandoned = Abandoned::new(&self.service, &connection, sid);
        let response = self.compressor.compressed(response, encoding).await;
        abandoned.not();
        Ok(response)
    }

    async fn poll_or_post(
        &self,
        connection: &Arc<Connection>,
        sid: Sid,
        eio3: bool,
        answered: &PollAnswer,
        request: Request,
    ) -> Result<Response, RequestError> {
        // One that began with a WebSocket does not get here.
        let polling = connection.polling().filter(|polling| !polling.is_over());
        let polling = polling.ok_or(RequestError::SessionUnknown)?;
        let response = if request.method() == Method::POST {
            let posted = self.posts.post(connection, polling, sid, eio3, request);
            let Some(posted) = tasks::caught("request", posted).await else {
                // Some of what it sent may have been lost: its client is to begin anew, and the session is over.
                connection.close.set_reason(CloseReason::TransportError);
                polling.end();
                self.service.clone().end_polling_soon(connection.clone(), sid);
                return Err(RequestError::Internal);
            };
            posted?
        } else {
            let abandoned = Abandoned::new(&self.service, connection, sid);
            let polled = connection.backlog().begin_poll();
            let response = poll::poll(&self.service, request, connection, polling, eio3).await;
            drop(polled);
            abandoned.not();
            answered.note(&self.service, connection);
            response
        };
        if response.status().is_client_error() && !connection.is_websocket() {
            // As on Node, a request that makes no sense is the last of its session.
            self.service.end_polling(connection, sid).await;
        }
        Ok(if eio3 { poll::with_binary_eio3(response).await } else { response })
    }
}

/// The handshake of a polling session, as socketioxide gets it. It keeps it for life, and the connection in it: `uri`
/// must have memory of its own.
fn open_request(
    uri: Uri,
    connection: &Arc<Connection>,
    body: Body,
) -> Result<Request, RequestError> {
    let request = http::Request::builder().uri(uri).extension(connection.clone());
    request.body(body).map_err(|_| RequestError::BadRequest)
}

/// Ends the session of a poll that its client gave up, as Node does. Gap: socketioxide keeps the session,
/// and what is queued for it.
struct Abandoned(Option<(Service, Arc<Connection>, Sid)>);

impl Abandoned {
    fn new(service: &Service, connection: &Arc<Connection>, sid: Sid) -> Self {
        Self(Some((service.clone(), connection.clone(), sid)))
    }

    /// It has been answered.
    fn not(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some((service, connection, sid)) = self.0.take()
            && !connection.is_websocket()
            && Handle::try_current().is_ok()
        {
            connection.close.set_reason(CloseReason::TransportError);
            // What comes behind finds it so, at once.
            if let Some(polling) = connection.polling() {
                polling.end();
            }
            service.end_polling_soon(connection, sid);
        }
    }
}
