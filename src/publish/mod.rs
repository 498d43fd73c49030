//! How backends publish: the HTTP API on the internal listener.

mod answers;
mod batch;
mod body;
mod cluster;
mod emit;
mod error;
mod idempotency;
mod keys;
mod limits;
mod openapi;
mod operations;
mod presence;
mod request;
mod stream;
mod underway;

use std::sync::{Arc, OnceLock};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::Method;
use metrics::counter;
use tower_http::timeout::RequestBodyTimeoutLayer;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    backplane::{Backplane, PodRecord},
    config::{Config, Limits},
    telemetry::{
        metrics::API_REQUESTS,
        traces::{self, Span},
    },
};

pub use error::ApiError;
use idempotency::Idempotency;
use keys::{Caller, Keys};
pub use operations::Operations;
pub use request::EmitRequest;
pub use stream::Consumer;
pub use underway::Underway;

/// What requests to the API meet.
struct Publish {
    backplane: Backplane,
    keys: Keys,
    limits: Limits,
    idempotency: Idempotency,
    /// The OpenAPI document of the routes; known once they are.
    document: OnceLock<Bytes>,
    /// The kind of the backplane.
    kind: &'static str,
    /// What this pod is like now.
    record: Box<dyn Fn() -> PodRecord + Send + Sync>,
    /// Requests that do something, until it is done.
    underway: Underway,
}

/// The routes of the API, to be nested at `/api/v1`. `record` is asked what this pod is like; `underway` knows which
/// requests have not ended.
pub fn router(
    backplane: Backplane,
    config: &Config,
    operations: Operations,
    underway: Underway,
    record: impl Fn() -> PodRecord + Send + Sync + 'static,
) -> Router {
    let limits = config.limits.clone();
    let publish = Arc::new(Publish {
        idempotency: Idempotency::new(&backplane, config.api.idempotency_ttl),
        document: OnceLock::new(),
        backplane,
        keys: Keys::new(&config.api.keys),
        kind: config.backplane.kind().name(),
        record: Box::new(record),
        underway,
        limits,
    });
    let (router, document) = OpenApiRouter::with_openapi(openapi::about())
        .routes(routes!(emit::emit))
        .routes(routes!(batch::batch))
        .routes(routes!(cluster::sockets))
        .routes(routes!(cluster::socket))
        .routes(routes!(cluster::disconnect))
        .routes(routes!(cluster::rooms))
        .routes(routes!(presence::presence))
        .routes(routes!(cluster::join))
        .routes(routes!(cluster::leave))
        .routes(routes!(cluster::cluster))
        .routes(routes!(openapi::openapi))
        .with_state(publish.clone())
        .merge(operations::router(operations))
        .split_for_parts();
    // It is made once; texts and lists can always be written.
    let _ = publish.document.set(document.to_json().unwrap_or_default().into());
    router
        .method_not_allowed_fallback(|| std::future::ready(ApiError::MethodNotAllowed))
        .fallback(|| std::future::ready(ApiError::NotFound))
        .layer(DefaultBodyLimit::max(publish.limits.max_payload))
        // A body that never comes whole is waited for as long as that of a client.
        .layer(RequestBodyTimeoutLayer::new(config.public.request_timeout))
        .layer(middleware::from_fn_with_state(publish, authorize))
}

/// Lets a request with a valid key through, and counts what became of it.
async fn authorize(
    State(publish): State<Arc<Publish>>,
    mut request: Request,
    next: Next,
) -> Response {
    // The paths that exist are known: what a client makes up is no label.
    let path = request.extensions().get::<MatchedPath>().cloned();
    let checked = publish.keys.check(request.headers()).and_then(|caller: Caller| {
        caller.may(request.method(), path.as_ref().map(MatchedPath::as_str))?;
        request.extensions_mut().insert(caller);
        Ok(())
    });
    let only_asks = request.method() == Method::GET;
    let answer = async move {
        let route = path.as_ref().map_or("other", MatchedPath::as_str);
        let (response, span) = match checked {
            Ok(()) => {
                let caused_by = traces::of_request(request.headers());
                let span = traces::call(request.method(), route, caused_by.as_ref());
                (span.scope().within(next.run(request)).await, span)
            }
            // Who may not call cannot have anything recorded.
            Err(error) => (error.into_response(), Span::default()),
        };
        let path = route.to_owned();
        let result = response.extensions().get::<ApiError>().map_or("ok", ApiError::code);
        traces::answered(&span, response.status(), Some(result).filter(|code| *code != "ok"));
        counter!(API_REQUESTS.name, "path" => path, "result" => result).increment(1);
        response
    };
    if only_asks {
        return answer.await;
    }
    // A caller that hangs up does not undo what it asked for: half of it, on this pod or on the others, would be done.
    // One that hangs up before its request is whole has asked for nothing: the body ends with an error.
    publish.underway.done(answer).await.unwrap_or_else(|| {
        let message = "the request ended before it was done";
        ApiError::BackplaneUnconfirmed(message.into()).into_response()
    })
}

/// Reads any bytes as the emit of a stream's entry, for `tests/fuzz`.
pub(crate) fn fuzz_entry(input: &[u8]) {
    let _ = body::parse::<request::EmitRequest>(input, "no emit");
}
