//! How backends publish: the HTTP API on the internal listener.

mod body;
mod cluster;
mod emit;
mod error;
mod keys;
mod limits;
mod operations;
mod request;
mod stream;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use metrics::counter;

use crate::{
    backplane::{Backplane, PodRecord},
    config::{Config, Limits},
    telemetry::metrics::API_REQUESTS,
};

pub use error::ApiError;
use keys::Keys;
pub use operations::Operations;
pub use request::EmitRequest;
pub use stream::Consumer;

/// What requests to the API meet.
struct Publish {
    backplane: Backplane,
    keys: Keys,
    limits: Limits,
    /// The kind of the backplane, as it is configured.
    kind: &'static str,
    /// What this pod is like now.
    record: Box<dyn Fn() -> PodRecord + Send + Sync>,
}

/// The routes of the API, to be nested at `/api/v1`. `record` is asked what this pod is like.
pub fn router(
    backplane: Backplane,
    config: &Config,
    operations: Operations,
    record: impl Fn() -> PodRecord + Send + Sync + 'static,
) -> Router {
    let limits = config.limits.clone();
    let publish = Arc::new(Publish {
        backplane,
        keys: Keys::new(&config.api.keys),
        kind: config.backplane.kind.name(),
        record: Box::new(record),
        limits,
    });
    Router::new()
        .route("/emit", post(emit::emit))
        .route("/sockets", get(cluster::sockets))
        .route("/sockets/{id}", get(cluster::socket))
        .route("/sockets/disconnect", post(cluster::disconnect))
        .route("/rooms", get(cluster::rooms))
        .route("/rooms/join", post(cluster::join))
        .route("/rooms/leave", post(cluster::leave))
        .route("/cluster", get(cluster::cluster))
        .with_state(publish.clone())
        .merge(operations::router(operations))
        .method_not_allowed_fallback(|| std::future::ready(ApiError::MethodNotAllowed))
        .fallback(|| std::future::ready(ApiError::NotFound))
        .layer(DefaultBodyLimit::max(publish.limits.max_payload))
        .layer(middleware::from_fn_with_state(publish, authorize))
}

/// Lets a request with a valid key through, and counts what became of it.
async fn authorize(State(publish): State<Arc<Publish>>, request: Request, next: Next) -> Response {
    // The paths that exist are known: what a client makes up is no label.
    let path = request.extensions().get::<MatchedPath>().cloned();
    let response = match publish.keys.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let path = path.as_ref().map_or("other", MatchedPath::as_str).to_owned();
    let result = response.extensions().get::<ApiError>().map_or("ok", ApiError::code);
    counter!(API_REQUESTS.name, "path" => path, "result" => result).increment(1);
    response
}
