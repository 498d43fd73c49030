//! The internal listener: probes, metrics, and the API.

use axum::{Json, Router, extract::State, response::IntoResponse, routing::get};
use http::{StatusCode, header};

use crate::{
    drain::{Lifecycle, Phase},
    telemetry::metrics::Metrics,
};

/// The content type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Internal {
    lifecycle: Lifecycle,
    metrics: Metrics,
}

/// The internal routes; `api` is nested at `/api/v1`.
pub fn router(lifecycle: Lifecycle, metrics: Metrics, api: Router) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Internal { lifecycle, metrics })
        .nest("/api/v1", api)
        .fallback(|| async {
            let paths = "here are /livez, /readyz, /metrics and /api/v1";
            (StatusCode::NOT_FOUND, Json(crate::error_body("not_found", paths)))
        })
}

/// Ready means: send new clients here.
async fn readyz(State(internal): State<Internal>) -> impl IntoResponse {
    let phase = internal.lifecycle.phase();
    let status =
        if phase == Phase::Serving { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, format!("{}\n", phase.name()))
}

async fn scrape(State(internal): State<Internal>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], internal.metrics.render())
}
