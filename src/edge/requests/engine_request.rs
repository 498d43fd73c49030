//! What an Engine.IO request asks for: its query parameters (Engine.IO protocol) and the headers of a WebSocket.

use http::{HeaderMap, HeaderValue, Method, Uri, header};
use socketioxide_core::Sid;

use super::request_error::RequestError;
use crate::config::{Engine, Transport};

/// The parameter of clients that want no binary.
const BASE64: &str = "b64=";

/// A request that makes sense so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EngineRequest<'a> {
    pub transport: Transport,
    /// Whether it speaks Engine.IO v3.
    pub eio3: bool,
    /// The id of the session that the request belongs to, as the client knows it; none opens a new one.
    pub session: Option<&'a str>,
}

impl<'a> EngineRequest<'a> {
    /// Reads a request, in the order of checks of the `engine.io` package, but for the session: whether
    /// it is known is not known here.
    pub fn parse(
        method: &Method,
        query: &'a str,
        upgrade: bool,
        engine: &Engine,
    ) -> Result<Self, RequestError> {
        let transport = match parameter(query, "transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::Websocket,
            _ => return Err(RequestError::TransportUnknown),
        };
        if !engine.transports.contains(&transport) {
            return Err(RequestError::TransportUnknown);
        }
        let session = session(query);
        if session.is_none() && method != Method::GET {
            return Err(RequestError::BadHandshakeMethod);
        }
        let eio3 = match parameter(query, "EIO") {
            Some("4") => false,
            Some("3") if engine.allow_eio3 => true,
            // As on Node: that of a session is known.
            _ if session.is_some() => return Err(RequestError::BadRequest),
            _ => return Err(RequestError::UnsupportedProtocol),
        };
        let allowed = match transport {
            Transport::Polling => !upgrade && (method == Method::GET || method == Method::POST),
            Transport::Websocket => upgrade && method == Method::GET,
        };
        if !allowed {
            return Err(RequestError::BadRequest);
        }
        Ok(Self { transport, eio3, session })
    }
}

/// The session that a query names. As on Node, an empty name is none.
pub(crate) fn session(query: &str) -> Option<&str> {
    parameter(query, "sid").filter(|session| !session.is_empty())
}

/// The first value of a query parameter, as it is written: Engine.IO's need no decoding.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Whether a query asks for binary as text. As on Node, it does with any value that is not empty; the last one counts.
pub(crate) fn wants_text(query: &str) -> bool {
    query
        .split('&')
        .rev()
        .find_map(|pair| pair.strip_prefix(BASE64))
        .is_some_and(|b64| !b64.is_empty())
}

/// The address of a request as socketioxide knows it, in memory of its own: with its own id of the session
/// in place of the client's, and with the one value of `b64` that it takes for a yes.
pub(crate) fn local_uri(path: &str, query: &str, sid: Option<Sid>) -> Result<Uri, RequestError> {
    let mut uri = format!("{path}/?");
    let others = |pair: &&str| !pair.starts_with("sid=") && !pair.starts_with(BASE64);
    for pair in query.split('&').filter(others) {
        uri.push_str(pair);
        uri.push('&');
    }
    if wants_text(query) {
        uri.push_str(BASE64);
        uri.push_str("1&");
    }
    match sid {
        Some(sid) => {
            uri.push_str("sid=");
            uri.push_str(sid.as_str());
        }
        None => {
            uri.pop();
        }
    }
    uri.parse().map_err(|_| RequestError::BadRequest)
}

/// The key of a WebSocket handshake (RFC 6455, section 4.2.1); `None` if this is no such request.
pub(crate) fn websocket_key(headers: &HeaderMap) -> Option<&HeaderValue> {
    let has = |name: header::HeaderName, token: &str| {
        headers.get_all(name).iter().any(|value| {
            value.to_str().is_ok_and(|value| {
                value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
            })
        })
    };
    let version = headers.get(header::SEC_WEBSOCKET_VERSION);
    (has(header::UPGRADE, "websocket")
        && has(header::CONNECTION, "upgrade")
        && version.is_some_and(|version| version == "13"))
    .then(|| headers.get(header::SEC_WEBSOCKET_KEY))
    .flatten()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Config;

    fn parse<'a>(
        method: &Method,
        query: &'a str,
        upgrade: bool,
    ) -> Result<EngineRequest<'a>, RequestError> {
        EngineRequest::parse(method, query, upgrade, &Config::defaults().engine)
    }

    #[test]
    fn a_new_session_on_either_transport() {
        let polling = parse(&Method::GET, "EIO=4&transport=polling&t=abc", false);
        assert_eq!(
            polling,
            Ok(EngineRequest { transport: Transport::Polling, eio3: false, session: None })
        );
        assert_eq!(
            parse(&Method::GET, "EIO=4&transport=polling&sid=", false).unwrap().session,
            None
        );
        let websocket = parse(&Method::GET, "transport=websocket&EIO=4", true);
        assert_eq!(
            websocket,
            Ok(EngineRequest { transport: Transport::Websocket, eio3: false, session: None })
        );
    }

    #[test]
    fn a_session_is_known_by_its_id_to_the_server_alone() {
        let query = "EIO=4&transport=polling&t=x&sid=sealed";
        assert_eq!(parse(&Method::GET, query, false).unwrap().session, Some("sealed"));
        let sid = "AAAAAAAAAAAAAAAA".parse().unwrap();
        assert_eq!(
            local_uri("/socket.io", query, Some(sid)).unwrap(),
            "/socket.io/?EIO=4&transport=polling&t=x&sid=AAAAAAAAAAAAAAAA"
        );
        assert_eq!(local_uri("/socket.io", "EIO=4&sid=x", None).unwrap(), "/socket.io/?EIO=4");
        for (query, expected) in [
            ("EIO=3&b64=1", "/socket.io/?EIO=3&b64=1"),
            ("b64=0&EIO=3", "/socket.io/?EIO=3&b64=1"),
            ("EIO=3&b64=", "/socket.io/?EIO=3"),
            ("EIO=3&b64=1&b64=", "/socket.io/?EIO=3"),
            ("EIO=3&b64", "/socket.io/?EIO=3&b64"),
        ] {
            assert_eq!(local_uri("/socket.io", query, None).unwrap(), expected, "{query}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_as_node_does() {
        for (method, query, upgrade, error) in [
            (Method::GET, "", false, RequestError::TransportUnknown),
            (Method::GET, "EIO=4&transport=webtransport", false, RequestError::TransportUnknown),
            (Method::POST, "EIO=4&transport=polling", false, RequestError::BadHandshakeMethod),
            (Method::POST, "EIO=4&transport=polling&sid=", false, RequestError::BadHandshakeMethod),
            (Method::GET, "EIO=3&transport=polling", false, RequestError::UnsupportedProtocol),
            (Method::GET, "EIO=44&transport=polling", false, RequestError::UnsupportedProtocol),
            (Method::GET, "transport=polling", false, RequestError::UnsupportedProtocol),
            (Method::GET, "EIO=4&transport=websocket", false, RequestError::BadRequest),
            (Method::GET, "EIO=4&transport=polling", true, RequestError::BadRequest),
            (
                Method::PUT,
                "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA",
                false,
                RequestError::BadRequest,
            ),
        ] {
            assert_eq!(parse(&method, query, upgrade), Err(error), "{method} {query}");
        }
    }
}
