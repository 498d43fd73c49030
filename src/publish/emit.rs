//! `POST /api/v1/emit`: sends an event to rooms, to sockets, or to a whole namespace.

use std::sync::Arc;

use axum::{
    body::Bytes,
    extract::{Extension, State, rejection::BytesRejection},
    response::Response,
};
use http::HeaderMap;

use super::{
    ApiError, Publish,
    answers::{EmitAnswer, KeyRefused, Refused},
    body::parse,
    idempotency::Done,
    keys::Caller,
    request::EmitRequest,
};
use crate::{
    backplane::Source,
    telemetry::traces::{self, Trace},
};

/// Emit an event
///
/// To sockets, to rooms or to a whole namespace, on all pods. With `ack_timeout`, clients are asked for an answer.
#[utoipa::path(
    post, path = "/emit", tag = "publish",
    params(("Idempotency-Key" = Option<String>, Header, min_length = 1, max_length = 255,
        description = "The same key with the same body is emitted once")),
    request_body = EmitRequest,
    responses((status = 200, description = "It is emitted", body = EmitAnswer), Refused, KeyRefused)
)]
pub(super) async fn emit(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body?;
    let request: EmitRequest = parse(&body, "no emit")?;
    caller.enters(request.namespace())?;
    let backplane = publish.backplane.clone();
    let prepared =
        request.prepare(&backplane, &publish.limits, Source::Api, caused_by(&headers))?;
    let ack_timeout = prepared.ack_timeout();
    let work = async move {
        let answer = match ack_timeout {
            Some(timeout) => prepared.ask(&backplane, timeout).await?.into(),
            None => {
                prepared.begin(&backplane)?.done().await?;
                EmitAnswer::accepted()
            }
        };
        Done::new(&answer, true)
    };
    let limit = ack_timeout.unwrap_or_default();
    publish.idempotency.once(&headers, &caller, "/emit", &body, limit, work).await
}

/// What an emit is caused by: the call that is recorded, or else what its caller says (W3C Trace Context).
pub(super) fn caused_by(headers: &HeaderMap) -> Option<Trace> {
    traces::current().or_else(|| traces::of_request(headers))
}
