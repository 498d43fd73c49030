//! What people who move pods by hand ask of one pod: to drain, or to give connections away.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{
    ApiError,
    answers::{Ends, PhaseAnswer, RebalanceAnswer, RebalanceStopped, Refused},
    body::parse,
};
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

pub(super) fn router(operations: Operations) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(drain, undo))
        .routes(routes!(rebalance, stay))
        .with_state(Arc::new(operations))
}

/// End this pod
///
/// It drains, as on SIGTERM.
#[utoipa::path(
    post, path = "/drain", tag = "pod",
    responses((status = 202, description = "It begins", body = PhaseAnswer), Refused)
)]
async fn drain(State(operations): State<Arc<Operations>>) -> (StatusCode, Json<PhaseAnswer>) {
    operations.lifecycle.announce(false);
    (StatusCode::ACCEPTED, phase(&operations.lifecycle))
}

/// Do not end this pod
///
/// Takes a drain back while it is announced.
#[utoipa::path(
    delete, path = "/drain", tag = "pod",
    responses((status = 200, description = "It serves", body = PhaseAnswer), Refused, Ends)
)]
async fn undo(State(operations): State<Arc<Operations>>) -> Result<Json<PhaseAnswer>, ApiError> {
    if operations.lifecycle.resume() {
        Ok(phase(&operations.lifecycle))
    } else {
        Err(ApiError::DrainFinal(operations.lifecycle.phase().name()))
    }
}

fn phase(lifecycle: &Lifecycle) -> Json<PhaseAnswer> {
    Json(PhaseAnswer { phase: lifecycle.phase().name() })
}

/// How much to give away.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Rebalance {
    /// Of the connections, more than 0 and at most 1.
    #[schema(exclusive_minimum = 0, maximum = 1)]
    share: f64,
    /// Connections closed a second.
    #[schema(minimum = 0.1, maximum = 1_000_000)]
    per_second: f64,
}

/// Give connections of this pod away
///
/// Closes a share of them, idle ones first, so that their clients land on other pods too.
#[utoipa::path(
    post, path = "/rebalance", tag = "pod",
    request_body = Rebalance,
    responses((status = 202, description = "It begins", body = RebalanceAnswer), Refused, Ends)
)]
async fn rebalance(
    State(operations): State<Arc<Operations>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<RebalanceAnswer>), ApiError> {
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
    let none = || format!("a share of {share} rounds to no connection: none is closed");
    let answer = RebalanceAnswer {
        closing: count,
        seconds: count as f64 / per_second,
        message: (count == 0).then(none),
    };
    Ok((StatusCode::ACCEPTED, Json(answer)))
}

/// Give no more connections away
///
/// Stops a rebalance; what it has closed stays closed. Does no harm if none runs.
#[utoipa::path(
    delete, path = "/rebalance", tag = "pod",
    responses((status = 200, description = "None runs", body = RebalanceStopped), Refused)
)]
async fn stay(State(operations): State<Arc<Operations>>) -> Json<RebalanceStopped> {
    Json(RebalanceStopped { closed: operations.shedder.stop() })
}
