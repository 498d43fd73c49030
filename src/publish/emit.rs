//! `POST /api/v1/emit`: sends an event to rooms, to sockets, or to a whole namespace.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use http::HeaderMap;
use serde_json::{Value, json};

use super::{ApiError, Publish, body::parse, request::EmitRequest};
use crate::backplane::{Answered, Source};

pub(super) async fn emit(
    State(publish): State<Arc<Publish>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let request: EmitRequest = parse(&body?, "no emit")?;
    let backplane = &publish.backplane;
    let prepared =
        request.prepare(backplane, &publish.limits, Source::Api, traceparent(&headers))?;
    let Some(timeout) = prepared.ack_timeout() else {
        prepared.begin(backplane)?.done().await?;
        return Ok(Json(json!({"accepted": true})));
    };
    let Answered { answer, pods } = prepared.ask(backplane, timeout).await?;
    Ok(Json(json!({
        "accepted": true,
        "answers": answer.answers,
        "missing": answer.missing,
        "pods": pods,
    })))
}

/// The W3C trace context of a request (`traceparent`), if it looks like one.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    let hex = text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    (hex && parts == [2, 32, 16, 2]).then(|| text.to_owned())
}
