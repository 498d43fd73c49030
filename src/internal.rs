//! The internal listener: probes, metrics, figures to scale on, and the API.

mod scale;

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    response::{IntoResponse, Response},
    routing::get,
};
use http::{StatusCode, header};

use crate::{
    backplane::{Backplane, Link},
    drain::{Lifecycle, Phase},
    edge::Admission,
    gateway::Tokens,
    telemetry::metrics::Metrics,
};

pub use scale::Scale;

/// The content type of Prometheus' text format.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

#[derive(Clone)]
struct Internal {
    readiness: Readiness,
    metrics: Metrics,
}

/// What decides whether new clients should come here.
#[derive(Clone)]
pub struct Readiness {
    pub lifecycle: Lifecycle,
    pub backplane: Backplane,
    /// Whether a pod that is cut off from the others is ready.
    pub when_away: bool,
    pub admission: Arc<Admission>,
    /// The tokens that it accepts.
    pub tokens: Option<Tokens>,
}

impl Readiness {
    /// Whether the pod is ready, and in what state it is.
    fn now(&self) -> (bool, String) {
        let phase = self.lifecycle.phase();
        if self.admission.is_full() {
            return (false, format!("{}, full\n", phase.name()));
        }
        if self.tokens.as_ref().is_some_and(|tokens| !tokens.ready()) {
            return (false, format!("{}, waiting for auth.jwt.jwks_url\n", phase.name()));
        }
        let (linked, link) = match self.backplane.cluster().link() {
            Some(Link::Up) if !self.backplane.cluster().has_met() => {
                (false, ", meeting the other pods")
            }
            None | Some(Link::Up) => (true, ""),
            Some(Link::Starting) => (false, ", waiting for the backplane"),
            Some(Link::Away) => (self.when_away, ", cut off from the backplane"),
        };
        (phase == Phase::Serving && linked, format!("{}{link}\n", phase.name()))
    }
}

/// The internal routes; `api` is nested at `/api/v1`.
pub fn router(readiness: Readiness, metrics: Metrics, scale: Scale, api: Router) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scrape))
        .with_state(Internal { readiness, metrics })
        .merge(scale::router(scale))
        .nest("/api/v1", api)
        .fallback(|| async {
            let paths = "here are /livez, /readyz, /metrics, /scale/connections and /api/v1";
            (StatusCode::NOT_FOUND, Json(crate::error_body("not_found", paths)))
        })
}

/// Ready means: send new clients here.
async fn readyz(State(internal): State<Internal>) -> impl IntoResponse {
    let (ready, state) = internal.readiness.now();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, state)
}

async fn scrape(State(internal): State<Internal>) -> Response {
    match internal.metrics.render() {
        Some(page) => ([(header::CONTENT_TYPE, PROMETHEUS_TEXT)], page).into_response(),
        None => {
            let body = crate::error_body("metrics_off", "telemetry.metrics is false");
            (StatusCode::NOT_FOUND, Json(body)).into_response()
        }
    }
}
