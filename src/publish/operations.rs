//! What people who move pods by hand ask of one pod: to drain, or to give connections away.

use std::sync::Arc;

use axum::{
    Json, Router,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
    routing::post,
};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{ApiError, body::parse};
use crate::{
    drain::{Lifecycle, Phase},
    edge::Shedder,
};

/// What is asked for.
pub struct Operations {
    /// The life of this pod.
    pub lifecycle: Lifecycle,
    /// Gives connections away.
    pub shedder: Shedder,
}

pub(super) fn router(operations: Operations) -> Router {
    Router::new()
        .route("/drain", post(drain).delete(undo))
        .route("/rebalance", post(rebalance))
        .with_state(Arc::new(operations))
}

/// `POST /api/v1/drain`: the pod ends, as on SIGTERM.
async fn drain(State(operations): State<Arc<Operations>>) -> (StatusCode, Json<Value>) {
    operations.lifecycle.announce(false);
    (StatusCode::ACCEPTED, phase(&operations.lifecycle))
}

/// `DELETE /api/v1/drain`: it does not, while that can be taken back.
async fn undo(State(operations): State<Arc<Operations>>) -> Result<Json<Value>, ApiError> {
    if operations.lifecycle.resume() {
        Ok(phase(&operations.lifecycle))
    } else {
        Err(ApiError::DrainFinal(operations.lifecycle.phase().name()))
    }
}

fn phase(lifecycle: &Lifecycle) -> Json<Value> {
    Json(json!({"phase": lifecycle.phase().name()}))
}

/// `POST /api/v1/rebalance`: closes a share of the connections, so that they land on other pods too.
async fn rebalance(
    State(operations): State<Arc<Operations>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<Value>), ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Rebalance {
        /// Of the connections, more than 0 and at most 1.
        share: f64,
        /// Connections closed a second.
        per_second: f64,
    }

    let Rebalance { share, per_second } = parse(&body?, "not {share, per_second}")?;
    for (name, value, fits) in [
        ("share", share, share > 0.0 && share <= 1.0),
        ("per_second", per_second, (0.1..=1e6).contains(&per_second)),
    ] {
        if !fits {
            let range = if name == "share" { "more than 0, at most 1" } else { "0.1 to 1000000" };
            let message = format!("{name} is {value}; expected {range}");
            return Err(ApiError::InvalidRequest(message));
        }
    }
    if operations.lifecycle.phase() != Phase::Serving {
        return Err(ApiError::DrainFinal(operations.lifecycle.phase().name()));
    }
    let count = operations.shedder.begin(share, per_second).ok_or(ApiError::RebalanceRunning)?;
    let answer = json!({"closing": count, "seconds": count as f64 / per_second});
    Ok((StatusCode::ACCEPTED, Json(answer)))
}
