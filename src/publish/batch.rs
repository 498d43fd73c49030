//! `POST /api/v1/batch`: several emits in one request, each with a result of its own.

use std::{sync::Arc, time::Duration};

use axum::{
    body::Bytes,
    extract::{Extension, State, rejection::BytesRejection},
    response::Response,
};
use http::HeaderMap;
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    ApiError, Publish,
    answers::{ACCEPTED, BatchAnswer, BatchResult, KeyRefused, Refused},
    body::parse,
    emit::caused_by,
    idempotency::Done,
    keys::Caller,
    request::EmitRequest,
};
use crate::{
    backplane::{Backplane, Publishing, Source},
    telemetry::traces::Trace,
};

/// Most emits of one batch.
const MAX_EMITS: usize = 1000;

/// Emits, in their order.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Batch {
    /// Each is read on its own: what is wrong with one is no matter of the others. `ack_timeout` is for `/emit`.
    #[schema(value_type = Vec<EmitRequest>, min_items = 1, max_items = 1000)]
    emits: Vec<Box<RawValue>>,
}

/// Emit several events, in order
///
/// One that is refused does not stop the others: the status is 200, and `results` says for each what became of it.
#[utoipa::path(
    post, path = "/batch", tag = "publish",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "The same key with the same body is emitted once")),
    request_body = Batch,
    responses((status = 200, description = "What became of each", body = BatchAnswer), Refused, KeyRefused)
)]
pub(super) async fn batch(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body?;
    let Batch { emits } = parse(&body, "no batch {emits}")?;
    if !(1..=MAX_EMITS).contains(&emits.len()) {
        return Err(ApiError::InvalidRequest(format!("emits: expected 1 to {MAX_EMITS}")));
    }
    let (owner, trace, bearer) = (publish.clone(), caused_by(&headers), caller.clone());
    let work = async move {
        // All are on their way, in order, before the first is waited for.
        let begun: Vec<_> =
            emits.iter().map(|emit| begin(emit.get(), &owner, &bearer, trace.clone())).collect();
        let mut results = Vec::with_capacity(begun.len());
        for publishing in begun {
            results.push(match publishing {
                Ok(publishing) => publishing.done().await.map_err(ApiError::from),
                Err(error) => Err(error),
            });
        }
        let emitted = results.iter().any(Result::is_ok);
        let result = |result: Result<(), ApiError>| match result {
            Ok(()) => BatchResult::Accepted(ACCEPTED),
            Err(error) => BatchResult::Refused((&error).into()),
        };
        Done::new(&BatchAnswer { results: results.into_iter().map(result).collect() }, emitted)
    };
    publish.idempotency.once(&headers, &caller, "/batch", &body, Duration::ZERO, work).await
}

fn begin(
    emit: &str,
    publish: &Publish,
    caller: &Caller,
    trace: Option<Trace>,
) -> Result<Publishing, ApiError> {
    let backplane: &Backplane = &publish.backplane;
    let request: EmitRequest = parse(emit.as_bytes(), "no emit")?;
    caller.enters(request.namespace())?;
    request.prepare(backplane, &publish.limits, Source::Api, trace)?.begin(backplane)
}
