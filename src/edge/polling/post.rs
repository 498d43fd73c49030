//! What polling clients send: read, checked, and handed over to socketioxide.

use std::{error::Error, iter::successors, sync::Arc, time::Duration};

use axum::{
    body::{Body, Bytes},
    extract::Request,
    response::Response,
};
use http::{header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use socketioxide_core::Sid;
use tokio::time::Instant;
use tower_http::timeout::TimeoutError;

use super::payload_parts::{Part, PayloadFormat, PayloadParts};
use crate::{
    edge::{
        connections::{
            close_reason::CloseReason, connection::Connection, polling_state::PollingState,
            service::Service, traffic,
        },
        packets::{
            eio3_payload,
            engine_io::{CLOSE, SEPARATOR},
            lenient_base64,
            namespace_connect::ClientNamespaces,
            packet_head::PacketHead,
        },
        requests::request_error::RequestError,
    },
    tasks,
};

/// Takes what polling clients send. Clones are the same.
#[derive(Clone)]
pub(super) struct PostHandler {
    service: Service,
    /// Bytes that a body may have.
    max_payload: usize,
    /// Longest time that a message, or what it waits for, may take.
    message_timeout: Duration,
}

impl PostHandler {
    pub fn new(service: Service, max_payload: usize, message_timeout: Duration) -> Self {
        Self { service, max_payload, message_timeout }
    }

    /// Answers a POST of a session. A body that makes no sense ends the session.
    pub async fn post(
        &self,
        connection: &Arc<Connection>,
        polling: &PollingState,
        sid: Sid,
        eio3: bool,
        request: Request,
    ) -> Result<Response, RequestError> {
        let (parts, body) = request.into_parts();
        // As on Node, a client that sends two at once has made an error. It bounds what is held for it, too.
        let Some(_posting) = polling.begin_post() else {
            if !connection.is_websocket() {
                connection.close.set_reason(CloseReason::TransportError);
                self.service.end_polling(connection, sid).await;
            }
            return Err(RequestError::BadRequest);
        };
        let read = tokio::select! {
            biased;
            () = polling.over() => return Err(RequestError::SessionUnknown),
            read = self.read_body(body) => read,
        };
        let body = match read {
            Ok(body) => body,
            Err(error) => {
                self.service.end_polling(connection, sid).await;
                return Err(error);
            }
        };
        traffic::polling().received.count_body(&body);
        if !eio3 && let Some(request) = polling.attachments.lock().follow(&body) {
            let (service, stuck) = (self.service.clone(), connection.clone());
            tasks::spawn_or(
                "attachments",
                self.clone().await_attachments(connection.clone(), sid, request),
                // Nobody else would end the session if they do not come.
                async move { service.end_polling(&stuck, sid).await },
            );
        }
        let octets = parts.headers.get(header::CONTENT_TYPE).is_some_and(eio3_payload::is_octets);
        let closes = match closes(connection, &body, eio3, octets) {
            Ok(closes) => closes,
            Err(reason) => {
                connection.close.set_reason(reason);
                self.service.end_polling(connection, sid).await;
                return Err(RequestError::BadRequest);
            }
        };
        if closes {
            polling.await_earlier_poll().await;
        }
        let response = self.hand_over(connection, parts, body, eio3, octets).await;
        if closes && response.status().is_success() {
            Service::polling_ended(connection);
        }
        Ok(response)
    }

    /// Hands over what a client sent: in several requests if marks at names make more of it than one may have, or some of it
    /// has to wait.
    async fn hand_over(
        &self,
        connection: &Arc<Connection>,
        parts: Parts,
        body: Bytes,
        eio3: bool,
        octets: bool,
    ) -> Response {
        let (body, form) = match (eio3, octets) {
            (true, true) => (body, PayloadFormat::Octets3),
            (true, false) => (body, PayloadFormat::Text3),
            (false, _) => (lenient_base64::mend(body), PayloadFormat::V4),
        };
        let mut all = PayloadParts::new(body, form, self.max_payload);
        let mut last = None;
        loop {
            match all.next(&**connection) {
                Some(Part::Wait(namespace)) => self.await_entered(connection, &namespace).await,
                Some(Part::Ready(body)) => {
                    let request = Request::from_parts(parts.clone(), form.body(body));
                    let response = self.service.http(request).await;
                    if !response.status().is_success() {
                        return response;
                    }
                    last = Some(response);
                }
                None => return last.unwrap_or_default(),
            }
        }
    }

    /// Waits until a client is let in a namespace, as a WebSocket does; no longer than a message may take, nor than its
    /// session lasts: then it may never be let in.
    async fn await_entered(&self, connection: &Arc<Connection>, namespace: &str) {
        let end = Instant::now() + self.message_timeout;
        while connection.is_connecting(namespace) {
            if Instant::now() > end || connection.polling().is_some_and(PollingState::is_over) {
                return connection.connects().go_on(namespace);
            }
            // Rare, and mostly over at once.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The body of a request, bounded in size and in time.
    async fn read_body(&self, body: Body) -> Result<Bytes, RequestError> {
        match Limited::new(body, self.max_payload).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(RequestError::PayloadTooLarge),
            Err(error) if is_timeout(&*error) => Err(RequestError::RequestTimeout),
            // A chunk that is none, or the end before its time.
            Err(_) => Err(RequestError::BadRequest),
        }
    }

    /// Ends a session whose announced attachments do not come.
    async fn await_attachments(self, connection: Arc<Connection>, sid: Sid, request: u64) {
        tokio::time::sleep(self.message_timeout).await;
        if connection
            .polling()
            .is_some_and(|polling| polling.attachments.lock().stuck_since(request))
        {
            connection.close.set_reason(CloseReason::MessageTimeout);
            self.service.end_polling(&connection, sid).await;
        }
    }
}

/// Whether the client closes its session with such a body; or why it ends, if the body makes no sense.
fn closes(
    connection: &Connection,
    body: &Bytes,
    eio3: bool,
    octets: bool,
) -> Result<bool, CloseReason> {
    let mut others = 0;
    let mut is_malformed = |head: PacketHead| {
        others += u32::from(!head.is_event());
        head.is_malformed()
    };
    let mut closes = false;
    let malformed = match (eio3, octets) {
        // As on Node.
        (false, true) => return Err(CloseReason::TransportError),
        (false, false) => body
            .split(|byte| *byte == SEPARATOR)
            .inspect(|packet| closes |= packet.first() == Some(&CLOSE))
            .map(PacketHead::of)
            .any(&mut is_malformed),
        (true, false) => eio3_payload::heads_in_text(body).any(&mut is_malformed),
        (true, true) => eio3_payload::heads_in_octets(body).any(&mut is_malformed),
    };
    if malformed {
        return Err(CloseReason::ParseError);
    }
    if !connection.control_packets.allow(others) {
        return Err(CloseReason::RateLimited);
    }
    Ok(closes || (eio3 && eio3_payload::closes(body, octets)))
}

/// Whether a body did not come in time.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |&error| error.source()).any(|error| error.is::<TimeoutError>())
}
