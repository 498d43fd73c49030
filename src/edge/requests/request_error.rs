//! Why a request is not served, and what the client is answered.
//!
//! Error codes: `Server.errors` of the `engine.io` package, whose JSON bodies clients know.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use metrics::counter;
use serde_json::json;

use crate::telemetry::metrics::REQUESTS_REFUSED;

/// Why a request is not served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestError {
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
    /// What answers it panicked.
    Internal,
}

impl RequestError {
    /// Its name in `roomcast_requests_refused_total`.
    pub(crate) fn label(self) -> &'static str {
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
            Self::Internal => "internal_error",
        }
    }

    /// Engine.IO's code for it, if there is one, and why.
    pub(crate) fn engine_error(self) -> (Option<u8>, &'static str) {
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
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "the server could not handle this")
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

impl IntoResponse for RequestError {
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
pub(crate) enum UnservedRequest {
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

impl UnservedRequest {
    /// Counts one.
    pub(crate) fn count(self) {
        count_refused(self.label());
    }

    fn label(self) -> &'static str {
        match self {
            Self::FileLimit => "file_limit",
            Self::BadProxyHeader => "bad_proxy_header",
            Self::HeadTimeout => "head_timeout",
            Self::BadHttp => "bad_http",
            Self::Forbidden => "forbidden",
            Self::BadRequest => RequestError::BadRequest.label(),
        }
    }
}

fn count_refused(code: &'static str) {
    counter!(REQUESTS_REFUSED.name, "code" => code).increment(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_has_a_series_from_the_start() {
        use RequestError::*;
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
            Internal,
        ];
        let unserved = [
            UnservedRequest::FileLimit,
            UnservedRequest::BadProxyHeader,
            UnservedRequest::HeadTimeout,
            UnservedRequest::BadHttp,
            UnservedRequest::Forbidden,
        ];
        let codes = refusals.map(RequestError::label).into_iter();
        let mut codes: Vec<_> = codes.chain(unserved.map(UnservedRequest::label)).collect();
        codes.sort_unstable();
        assert_eq!(codes, REQUESTS_REFUSED.values_of("code"));
    }
}
