//! How backends publish: the HTTP API on the internal listener.

mod emit;
mod error;
mod keys;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::post,
};
use metrics::counter;

use crate::{
    backplane::Backplane,
    config::{Api, Limits},
    telemetry::metrics::API_REQUESTS,
};

pub use emit::EmitRequest;
pub use error::ApiError;
use keys::Keys;

/// What requests to the API meet.
struct Publish {
    backplane: Backplane,
    keys: Keys,
    limits: Limits,
}

/// The routes of the API, to be nested at `/api/v1`.
pub fn router(backplane: Backplane, api: &Api, limits: &Limits) -> Router {
    let publish =
        Arc::new(Publish { backplane, keys: Keys::new(&api.keys), limits: limits.clone() });
    Router::new()
        .route("/emit", post(emit::emit))
        .method_not_allowed_fallback(|| std::future::ready(ApiError::MethodNotAllowed))
        .fallback(|| std::future::ready(ApiError::NotFound))
        .layer(DefaultBodyLimit::max(limits.max_payload))
        .layer(middleware::from_fn_with_state(publish.clone(), authorize))
        .with_state(publish)
}

/// Lets a request with a valid key through, and counts what became of it.
async fn authorize(State(publish): State<Arc<Publish>>, request: Request, next: Next) -> Response {
    // The paths that exist are known: what a client makes up is no label.
    let path = if request.uri().path() == "/emit" { "/api/v1/emit" } else { "other" };
    let response = match publish.keys.check(request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    };
    let result = response.extensions().get::<ApiError>().map_or("ok", ApiError::code);
    counter!(API_REQUESTS.name, "path" => path, "result" => result).increment(1);
    response
}
