//! The answers to polls: what is queued for a client, as it expects it.

use axum::{
    body::Body,
    extract::Request,
    response::{IntoResponse, Response},
};
use http::{Method, Uri, header};

use crate::edge::{
    connections::{
        connection::Connection,
        polling_state::PollingState,
        service::{Service, whole},
        traffic,
    },
    packets::{connect_error, eio3_payload, engine_io::SEPARATOR},
    requests::request_error::RequestError,
};

/// Answers to polls that say nothing.
const NOTHING: [&[u8]; 3] = [b"", b"6", b"1:6"];

/// Answers a poll. Gap: the first ping of a session goes out at once, where the protocol has it after
/// one ping interval. So it is taken out of the first answer that has it, and answered for the client.
pub(crate) async fn poll(
    service: &Service,
    request: Request,
    connection: &Connection,
    polling: &PollingState,
    eio3: bool,
) -> Response {
    let uri = request.uri().clone();
    let (mut parts, mut body) =
        whole(hold(service, request, connection, polling, eio3).await).await;
    if !eio3
        && let Some(rest) = without_ping(&body)
        && connection.request.withhold_ping(connection.registry.timeouts.ping)
    {
        let _ = service.call(pong(&uri)).await;
        if rest.is_empty() {
            let mut again = Request::new(Body::empty());
            *again.uri_mut() = uri;
            (parts, body) = whole(hold(service, again, connection, polling, eio3).await).await;
        } else {
            parts.headers.insert(header::CONTENT_LENGTH, rest.len().into());
            body = rest.into();
        }
    }
    if connection.is_websocket() && NOTHING.contains(&&*body) {
        // As if it had come after the upgrade; a stock client has no poll under way then.
        return RequestError::BadRequest.into_response();
    }
    if connection.connects.is_refused() {
        let octets = parts.headers.get(header::CONTENT_TYPE).is_some_and(eio3_payload::is_octets);
        let (said, told) = match eio3 {
            true => eio3_payload::rewrite(&body, octets, connect_error::polled),
            false => connect_error::in_payload(&body),
        };
        connection.connects.told_refusals(told);
        parts.headers.insert(header::CONTENT_LENGTH, said.len().into());
        body = said.into();
    }
    traffic::polling().sent.count_body(&body);
    Response::from_parts(parts, Body::from(body))
}

/// Has a poll wait for its answer, unless it is released: a poll that waits has taken nothing of the queue, so
/// nothing is lost with it.
async fn hold(
    service: &Service,
    request: Request,
    connection: &Connection,
    polling: &PollingState,
    eio3: bool,
) -> Response {
    let late = polling.is_closing();
    let released = tokio::select! {
        biased;
        response = service.http(request) => return response,
        () = polling.poll_released(|| connection.is_websocket()) => match (polling.is_closing(), eio3) {
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
        && polling.is_closing()
    {
        service.end_polling(connection, sid).await;
    }
    ([(header::CONTENT_TYPE, "text/plain; charset=UTF-8")], released).into_response()
}

/// The answer to a poll of Engine.IO v3, with what [`eio3_payload`] adds.
pub(super) async fn with_binary_eio3(response: Response) -> Response {
    let (mut parts, body) = whole(response).await;
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let octets = kind.is_some_and(eio3_payload::is_octets);
    let body = eio3_payload::mend_binary(body, octets);
    parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    Response::from_parts(parts, Body::from(body))
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

#[cfg(test)]
mod tests {
    use super::*;

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
