//! `POST /api/v1/emit`: sends an event to rooms, to sockets, or to a whole namespace.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use http::HeaderMap;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::{Value, json, value::RawValue};

use super::{ApiError, Publish, body::parse, limits::check_rooms};
use crate::backplane::{Answered, Emit, Source, Target, is_reserved};

/// Most arguments of one event.
const MAX_ARGUMENTS: usize = 1024;
/// Longest wait for the answers of clients.
const MAX_ACK_TIMEOUT: Duration = Duration::from_secs(300);

/// The body of a publish.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmitRequest {
    /// The namespace; `/` if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Rooms or socket ids; every socket of the namespace if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rooms: Option<Vec<String>>,
    /// Rooms or socket ids that do not get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub except: Option<Vec<String>>,
    /// The name of the event.
    pub event: String,
    /// Its arguments: an array, whose text goes to clients as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args: Option<Box<RawValue>>,
    /// May be dropped for a client that is not ready for it.
    #[serde(default)]
    pub volatile: bool,
    /// How long clients have to answer, as `"2s"`; they are asked for an answer if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ack_timeout: Option<String>,
}

pub(super) async fn emit(
    State(publish): State<Arc<Publish>>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let request: EmitRequest = parse(&body?, "no emit")?;
    check(&request, publish.limits.name_length)?;
    let ack_timeout = request.ack_timeout.as_deref().map(ack_timeout).transpose()?;

    let namespace = request.namespace.as_deref().unwrap_or("/");
    let payload = publish.backplane.encode_raw(&request.event, request.args.as_deref())?;
    let emit = Emit {
        payload,
        target: Target {
            rooms: request.rooms.unwrap_or_default(),
            except: request.except.unwrap_or_default(),
        },
        from: None,
        volatile: request.volatile,
        source: Source::Api,
        traceparent: traceparent(&headers),
    };
    let Some(timeout) = ack_timeout else {
        publish.backplane.publish(namespace, emit).await?;
        return Ok(Json(json!({"accepted": true})));
    };
    let Answered { answer, pods } =
        publish.backplane.emit_with_ack(namespace, emit, timeout).await?;
    Ok(Json(json!({
        "accepted": true,
        "answers": answer.answers,
        "missing": answer.missing,
        "pods": pods,
    })))
}

fn check(request: &EmitRequest, name_length: usize) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::InvalidRequest(message));
    if request.event.is_empty() || request.event.len() > name_length {
        return invalid(format!("event: expected 1 to {name_length} bytes"));
    }
    if is_reserved(&request.event) {
        return invalid(format!("event: {:?} is reserved by Socket.IO", request.event));
    }
    if let Some(args) = &request.args {
        match serde_json::from_str::<Vec<IgnoredAny>>(args.get()) {
            Ok(args) if args.len() > MAX_ARGUMENTS => {
                return invalid(format!("args: at most {MAX_ARGUMENTS}"));
            }
            Ok(_) => {}
            Err(error) => return invalid(format!("args: expected an array: {error}")),
        }
    }
    if request.volatile && request.ack_timeout.is_some() {
        return invalid("volatile: a client that may be left out cannot be asked; leave out one of volatile and ack_timeout".into());
    }
    check_rooms("rooms", request.rooms.as_deref())?;
    check_rooms("except", request.except.as_deref())
}

fn ack_timeout(text: &str) -> Result<Duration, ApiError> {
    let timeout = humantime::parse_duration(text).ok();
    timeout.filter(|timeout| *timeout <= MAX_ACK_TIMEOUT && !timeout.is_zero()).ok_or_else(|| {
        ApiError::InvalidRequest(format!(
            "ack_timeout: expected a duration with its unit, such as \"2s\", of {MAX_ACK_TIMEOUT:?} at most"
        ))
    })
}

/// The W3C trace context of a request (`traceparent`), if it looks like one.
fn traceparent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let parts: Vec<_> = text.split('-').map(str::len).collect();
    let hex = text.chars().all(|c| c == '-' || c.is_ascii_hexdigit());
    (hex && parts == [2, 32, 16, 2]).then(|| text.to_owned())
}
