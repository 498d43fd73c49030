//! What an Engine.IO request wants, and Engine.IO's answers when it cannot have it.
//!
//! Parameters and error codes: Engine.IO protocol, and `Server.errors` of the `engine.io` package,
//! whose JSON bodies clients know.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use metrics::counter;
use serde_json::json;
use socketioxide_core::Sid;

use crate::{
    config::{Engine, Transport},
    telemetry::metrics::REQUESTS_REFUSED,
};

/// The parameter of clients that want no binary.
const BASE64: &str = "b64=";

/// A request that makes sense so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Handshake<'a> {
    pub transport: Transport,
    /// Whether it speaks Engine.IO v3.
    pub eio3: bool,
    /// The id of the session that the request belongs to, as the client knows it; none opens a new one.
    pub session: Option<&'a str>,
}

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    TransportUnknown,
    SessionUnknown,
    BadHandshakeMethod,
    BadRequest,
    UnsupportedProtocol,
    /// The pod is about to end; another one will take the client.
    Draining,
    /// The pod has as many connections as it may.
    ConnectionLimit,
    /// The pod has as much memory as it may.
    MemoryLimit,
    /// Too many new sessions in this second.
    RateLimited,
    /// Its address has as many connections as it may.
    AddressLimit,
    /// Its page comes from elsewhere.
    OriginDenied,
    /// The body of a request is larger than a message may be.
    PayloadTooLarge,
    /// The body of a request did not come in time.
    RequestTimeout,
    /// The program did not say in time whether the session may begin.
    AllowRequestTimeout,
    /// Who forwards a request is no pod of this cluster.
    PodUnauthenticated,
}

impl Refusal {
    /// Its name in `roomcast_requests_refused_total`.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::TransportUnknown => "transport_unknown",
            Self::SessionUnknown => "session_unknown",
            Self::BadHandshakeMethod => "bad_handshake_method",
            Self::BadRequest => "bad_request",
            Self::UnsupportedProtocol => "unsupported_protocol",
            Self::Draining => "draining",
            Self::ConnectionLimit => "connection_limit",
            Self::MemoryLimit => "memory_limit",
            Self::RateLimited => "rate_limited",
            Self::AddressLimit => "address_limit",
            Self::OriginDenied => "origin_denied",
            Self::PayloadTooLarge => "payload_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::AllowRequestTimeout => "allow_request_timeout",
            Self::PodUnauthenticated => "pod_unauthenticated",
        }
    }

    /// Engine.IO's code for it, if there is one, and why.
    pub(super) fn told(self) -> (Option<u8>, &'static str) {
        match self.body() {
            Some((code, message)) => (Some(code), message),
            None => (None, self.answer().1),
        }
    }

    /// The answer that is not Engine.IO's.
    fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::PayloadTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than limits.max_payload")
            }
            Self::RequestTimeout => {
                (StatusCode::REQUEST_TIMEOUT, "the body did not come within public.request_timeout")
            }
            Self::PodUnauthenticated => {
                (StatusCode::FORBIDDEN, "only pods of this cluster may forward requests")
            }
            Self::OriginDenied => (StatusCode::FORBIDDEN, "no page of this origin may connect"),
            Self::RateLimited => {
                (StatusCode::TOO_MANY_REQUESTS, "too many new sessions at once; try again")
            }
            Self::AddressLimit => {
                (StatusCode::TOO_MANY_REQUESTS, "too many connections from this address")
            }
            Self::ConnectionLimit => {
                (StatusCode::SERVICE_UNAVAILABLE, "this pod is full; try again")
            }
            Self::AllowRequestTimeout => (
                StatusCode::SERVICE_UNAVAILABLE,
                "it was not decided in time whether to let this client in",
            ),
            Self::MemoryLimit => {
                (StatusCode::SERVICE_UNAVAILABLE, "this pod has no memory left; try again")
            }
            _ => (StatusCode::SERVICE_UNAVAILABLE, "this pod is about to end; try again"),
        }
    }

    /// Engine.IO's code and message.
    fn body(self) -> Option<(u8, &'static str)> {
        match self {
            Self::TransportUnknown => Some((0, "Transport unknown")),
            Self::SessionUnknown => Some((1, "Session ID unknown")),
            Self::BadHandshakeMethod => Some((2, "Bad handshake method")),
            Self::BadRequest => Some((3, "Bad request")),
            Self::UnsupportedProtocol => Some((5, "Unsupported protocol version")),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        count_refused(self.label());
        if let Some((code, message)) = self.body() {
            let body = Json(json!({"code": code, "message": message}));
            return (StatusCode::BAD_REQUEST, body).into_response();
        }
        let (status, message) = self.answer();
        let body = Json(crate::error_body(self.label(), message));
        let mut response = (status, body).into_response();
        if matches!(status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS) {
            // The client comes back by itself, and finds another pod.
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// Why a connection of a client is closed before it has asked for something, or a request is refused in another's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unserved {
    /// Files for clients are taken.
    FileLimit,
    /// It has no header of the PROXY protocol.
    BadProxyHeader,
    /// The head of a request did not come in time.
    HeadTimeout,
    /// What it sent is no HTTP.
    BadHttp,
    /// The program does not let it in.
    Forbidden,
    /// socketioxide does not take the request.
    BadRequest,
}

impl Unserved {
    /// Counts one.
    pub(super) fn count(self) {
        count_refused(self.label());
    }

    fn label(self) -> &'static str {
        match self {
            Self::FileLimit => "file_limit",
            Self::BadProxyHeader => "bad_proxy_header",
            Self::HeadTimeout => "head_timeout",
            Self::BadHttp => "bad_http",
            Self::Forbidden => "forbidden",
            Self::BadRequest => Refusal::BadRequest.label(),
        }
    }
}

fn count_refused(code: &'static str) {
    counter!(REQUESTS_REFUSED.name, "code" => code).increment(1);
}

impl<'a> Handshake<'a> {
    /// Reads a request, in the order of checks of the `engine.io` package, but for the session: whether
    /// it is known is not known here.
    pub fn parse(
        method: &Method,
        query: &'a str,
        upgrade: bool,
        engine: &Engine,
    ) -> Result<Self, Refusal> {
        let transport = match parameter(query, "transport") {
            Some("polling") => Transport::Polling,
            Some("websocket") => Transport::Websocket,
            _ => return Err(Refusal::TransportUnknown),
        };
        if !engine.transports.contains(&transport) {
            return Err(Refusal::TransportUnknown);
        }
        let session = session(query);
        if session.is_none() && method != Method::GET {
            return Err(Refusal::BadHandshakeMethod);
        }
        let eio3 = match parameter(query, "EIO") {
            Some("4") => false,
            Some("3") if engine.allow_eio3 => true,
            // As on Node: that of a session is known.
            _ if session.is_some() => return Err(Refusal::BadRequest),
            _ => return Err(Refusal::UnsupportedProtocol),
        };
        let allowed = match transport {
            Transport::Polling => !upgrade && (method == Method::GET || method == Method::POST),
            Transport::Websocket => upgrade && method == Method::GET,
        };
        if !allowed {
            return Err(Refusal::BadRequest);
        }
        Ok(Self { transport, eio3, session })
    }
}

/// The session that a query names. As on Node, an empty name is none.
pub(super) fn session(query: &str) -> Option<&str> {
    parameter(query, "sid").filter(|session| !session.is_empty())
}

/// The first value of a query parameter, as it is written: Engine.IO's need no decoding.
fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// Whether a query asks for binary as text. As on Node, it does with any value that is not empty; the last one counts.
pub(super) fn wants_text(query: &str) -> bool {
    query
        .split('&')
        .rev()
        .find_map(|pair| pair.strip_prefix(BASE64))
        .is_some_and(|b64| !b64.is_empty())
}

/// The address of a request as socketioxide knows it, in memory of its own: with its own id of the session
/// in place of the client's, and with the one value of `b64` that it takes for a yes.
pub(super) fn local_uri(path: &str, query: &str, sid: Option<Sid>) -> Result<Uri, Refusal> {
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
    uri.parse().map_err(|_| Refusal::BadRequest)
}

/// The key of a WebSocket handshake (RFC 6455, section 4.2.1); `None` if this is no such request.
pub(super) fn websocket_key(headers: &HeaderMap) -> Option<&HeaderValue> {
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

    #[test]
    fn each_code_has_a_series_from_the_start() {
        use Refusal::*;
        let refusals = [
            TransportUnknown,
            SessionUnknown,
            BadHandshakeMethod,
            BadRequest,
            UnsupportedProtocol,
            Draining,
            ConnectionLimit,
            MemoryLimit,
            RateLimited,
            AddressLimit,
            OriginDenied,
            PayloadTooLarge,
            RequestTimeout,
            AllowRequestTimeout,
            PodUnauthenticated,
        ];
        let unserved = [
            Unserved::FileLimit,
            Unserved::BadProxyHeader,
            Unserved::HeadTimeout,
            Unserved::BadHttp,
            Unserved::Forbidden,
        ];
        let codes = refusals.map(Refusal::label).into_iter();
        let mut codes: Vec<_> = codes.chain(unserved.map(Unserved::label)).collect();
        codes.sort_unstable();
        assert_eq!(codes, REQUESTS_REFUSED.values_of("code"));
    }

    fn parse<'a>(method: &Method, query: &'a str, upgrade: bool) -> Result<Handshake<'a>, Refusal> {
        Handshake::parse(method, query, upgrade, &Config::defaults().engine)
    }

    #[test]
    fn a_new_session_on_either_transport() {
        let polling = parse(&Method::GET, "EIO=4&transport=polling&t=abc", false);
        assert_eq!(
            polling,
            Ok(Handshake { transport: Transport::Polling, eio3: false, session: None })
        );
        assert_eq!(
            parse(&Method::GET, "EIO=4&transport=polling&sid=", false).unwrap().session,
            None
        );
        let websocket = parse(&Method::GET, "transport=websocket&EIO=4", true);
        assert_eq!(
            websocket,
            Ok(Handshake { transport: Transport::Websocket, eio3: false, session: None })
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
        for (method, query, upgrade, refusal) in [
            (Method::GET, "", false, Refusal::TransportUnknown),
            (Method::GET, "EIO=4&transport=webtransport", false, Refusal::TransportUnknown),
            (Method::POST, "EIO=4&transport=polling", false, Refusal::BadHandshakeMethod),
            (Method::POST, "EIO=4&transport=polling&sid=", false, Refusal::BadHandshakeMethod),
            (Method::GET, "EIO=3&transport=polling", false, Refusal::UnsupportedProtocol),
            (Method::GET, "EIO=44&transport=polling", false, Refusal::UnsupportedProtocol),
            (Method::GET, "transport=polling", false, Refusal::UnsupportedProtocol),
            (Method::GET, "EIO=4&transport=websocket", false, Refusal::BadRequest),
            (Method::GET, "EIO=4&transport=polling", true, Refusal::BadRequest),
            (
                Method::PUT,
                "EIO=4&transport=polling&sid=AAAAAAAAAAAAAAAA",
                false,
                Refusal::BadRequest,
            ),
        ] {
            assert_eq!(parse(&method, query, upgrade), Err(refusal), "{method} {query}");
        }
    }
}
