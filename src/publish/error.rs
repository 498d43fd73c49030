//! What the API answers when it cannot do what it was asked for.

use axum::{
    Json,
    extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection},
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use tower_http::timeout::TimeoutError;

use crate::backplane::{ClusterError, EncodeError, PublishError, UnknownNamespace};

/// An error of the API. Its code is stable: `docs/errors.md` lists them and a test compares.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ApiError {
    /// No key is configured.
    #[error("the API is off: set api.keys, or api.keys_file, to use it")]
    Disabled,
    /// No key was sent, or a wrong one.
    #[error("send one of api.keys as `Authorization: Bearer <key>`")]
    Unauthorized,
    /// The key is for other things.
    #[error("{0}; api.keys say what each is for")]
    Forbidden(String),
    /// There is no such path.
    #[error("no such path in this API")]
    NotFound,
    /// The path is there, for another method.
    #[error("this path does not take this method")]
    MethodNotAllowed,
    /// The body is larger than a message may be.
    #[error("the body is larger than limits.max_payload")]
    PayloadTooLarge,
    /// The body did not arrive in time.
    #[error("the body did not come within public.request_timeout")]
    RequestTimeout,
    /// The body did not arrive, or is not what is expected.
    #[error("{0}")]
    InvalidRequest(String),
    /// The namespace is not configured.
    #[error("{0}")]
    UnknownNamespace(String),
    /// No server of the cluster has this socket.
    #[error("{0}")]
    UnknownSocket(String),
    /// The other pods cannot be reached.
    #[error("{0}; try again when it is back, or set backplane.when_away = \"queue\"")]
    BackplaneUnavailable(String),
    /// The message may have reached the other pods, or not.
    #[error("{0}; it may have reached other pods, and was not emitted on this one")]
    BackplaneUnconfirmed(String),
    /// Too much waits for the other pods.
    #[error("{0}; publish less, or raise it")]
    PublishQueueFull(String),
    /// An idempotency key came with another request than before.
    #[error("this Idempotency-Key was sent with another request; take a new one for each")]
    IdempotencyKeyReused,
    /// The first request of an idempotency key has not ended.
    #[error("the first request with this Idempotency-Key has not ended; try again later")]
    IdempotencyKeyInUse,
    /// An entry of the stream was tried too often.
    #[error("it was given to pods {0} times, and none ended with it")]
    TooManyDeliveries(u64),
    /// The pod drains, and that cannot be taken back.
    #[error("the pod is {0}; it ends")]
    DrainFinal(&'static str),
    /// Connections are being given away already.
    #[error("the last rebalance has not ended; its pace is per_second")]
    RebalanceRunning,
}

impl ApiError {
    /// Its code in the answer and in metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Disabled => "api_disabled",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::PayloadTooLarge => "payload_too_large",
            Self::RequestTimeout => "request_timeout",
            Self::InvalidRequest(_) => "invalid_request",
            Self::UnknownNamespace(_) => "unknown_namespace",
            Self::UnknownSocket(_) => "unknown_socket",
            Self::BackplaneUnavailable(_) => "backplane_unavailable",
            Self::BackplaneUnconfirmed(_) => "backplane_unconfirmed",
            Self::PublishQueueFull(_) => "publish_queue_full",
            Self::IdempotencyKeyReused => "idempotency_key_reused",
            Self::IdempotencyKeyInUse => "idempotency_key_in_use",
            Self::TooManyDeliveries(_) => "too_many_deliveries",
            Self::DrainFinal(_) => "drain_final",
            Self::RebalanceRunning => "rebalance_running",
        }
    }

    fn status(&self) -> StatusCode {
        match self {
            Self::Disabled | Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound | Self::UnknownNamespace(_) | Self::UnknownSocket(_) => {
                StatusCode::NOT_FOUND
            }
            Self::BackplaneUnavailable(_)
            | Self::BackplaneUnconfirmed(_)
            | Self::PublishQueueFull(_)
            | Self::TooManyDeliveries(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::IdempotencyKeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::DrainFinal(_) | Self::RebalanceRunning | Self::IdempotencyKeyInUse => {
                StatusCode::CONFLICT
            }
            Self::PayloadTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::InvalidRequest(_) => StatusCode::BAD_REQUEST,
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = crate::error_body(self.code(), &self.to_string());
        let mut response = (self.status(), Json(body)).into_response();
        if matches!(self, Self::Unauthorized) {
            let challenge = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<BytesRejection> for ApiError {
    fn from(rejection: BytesRejection) -> Self {
        match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                Self::PayloadTooLarge
            }
            other if is_timeout(&other) => Self::RequestTimeout,
            other => Self::InvalidRequest(other.body_text()),
        }
    }
}

/// Whether the next piece of a body was waited for in vain.
fn is_timeout(rejection: &BytesRejection) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(rejection);
    while let Some(error) = cause {
        if error.is::<TimeoutError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

impl From<PathRejection> for ApiError {
    fn from(rejection: PathRejection) -> Self {
        Self::InvalidRequest(format!("{}; percent-encode its UTF-8", rejection.body_text()))
    }
}

impl From<EncodeError> for ApiError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::UnknownNamespace(error) => Self::UnknownNamespace(error.to_string()),
            EncodeError::Parser(_)
            | EncodeError::Json(_)
            | EncodeError::Reserved(_)
            | EncodeError::Unportable(_) => Self::InvalidRequest(error.to_string()),
        }
    }
}

impl From<UnknownNamespace> for ApiError {
    fn from(error: UnknownNamespace) -> Self {
        Self::UnknownNamespace(error.to_string())
    }
}

impl From<ClusterError> for ApiError {
    fn from(error: ClusterError) -> Self {
        let message = error.to_string();
        match error {
            ClusterError::Publish(PublishError::QueueFull) => Self::PublishQueueFull(message),
            ClusterError::Publish(PublishError::Unconfirmed) => Self::BackplaneUnconfirmed(message),
            ClusterError::Wire(_) => Self::InvalidRequest(message),
            ClusterError::Publish(PublishError::Away) | ClusterError::Command(_) => {
                Self::BackplaneUnavailable(message)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::ApiError;
    use crate::telemetry::metrics::{API_REQUESTS, STREAM_ENTRIES};

    fn all() -> [ApiError; 18] {
        [
            ApiError::Disabled,
            ApiError::Unauthorized,
            ApiError::Forbidden(String::new()),
            ApiError::NotFound,
            ApiError::MethodNotAllowed,
            ApiError::PayloadTooLarge,
            ApiError::RequestTimeout,
            ApiError::InvalidRequest(String::new()),
            ApiError::UnknownNamespace(String::new()),
            ApiError::UnknownSocket(String::new()),
            ApiError::BackplaneUnavailable(String::new()),
            ApiError::BackplaneUnconfirmed(String::new()),
            ApiError::PublishQueueFull(String::new()),
            ApiError::IdempotencyKeyReused,
            ApiError::IdempotencyKeyInUse,
            ApiError::DrainFinal(""),
            ApiError::RebalanceRunning,
            ApiError::TooManyDeliveries(0),
        ]
    }

    #[test]
    fn each_code_has_a_series_from_the_start() {
        // Entries of the stream alone are tried again and again.
        let of_requests =
            all().into_iter().filter(|error| !matches!(error, ApiError::TooManyDeliveries(_)));
        let mut codes: Vec<_> = of_requests.map(|error| error.code()).chain(["ok"]).collect();
        codes.sort_unstable();
        assert_eq!(codes, API_REQUESTS.values_of("result"));
        let codes: Vec<_> = all().iter().map(ApiError::code).chain(["ok", "trimmed"]).collect();
        let of_stream = STREAM_ENTRIES.values_of("result");
        assert!(of_stream.iter().all(|code| codes.contains(code)), "{of_stream:?}");
    }

    #[test]
    fn the_reference_lists_each_code_with_its_status() {
        let page = include_str!("../../docs/errors.md");
        // The one that is left is told in words: no answer has it.
        for error in all().iter().filter(|error| !matches!(error, ApiError::TooManyDeliveries(_))) {
            let row = format!("| `{}` | {} |", error.code(), error.status().as_u16());
            assert!(page.contains(&row), "docs/errors.md lacks {row}");
        }
    }
}
