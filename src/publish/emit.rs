//! `POST /api/v1/emit`: sends an event to rooms, to sockets, or to a whole namespace.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{State, rejection::BytesRejection},
};
use serde::{Deserialize, Serialize, Serializer, ser::SerializeTuple};
use serde_json::{Value, json};

use super::{ApiError, Publish};
use crate::{
    backplane::{Emit, EncodeError, Source},
    gateway::is_reserved,
};

/// Most rooms in one request, in `rooms` and in `except`.
const MAX_ROOMS: usize = 1000;
/// Most arguments of one event.
const MAX_ARGUMENTS: usize = 1024;

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
    /// Its arguments.
    #[serde(default)]
    pub args: Vec<Value>,
    /// May be dropped for a client that is not ready for it.
    #[serde(default)]
    pub volatile: bool,
}

/// A parser writes a tuple as the arguments of an event, and a list as its one argument.
struct Arguments<'a>(&'a [Value]);

impl Serialize for Arguments<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(self.0.len())?;
        self.0.iter().try_for_each(|argument| tuple.serialize_element(argument))?;
        tuple.end()
    }
}

pub(super) async fn emit(
    State(publish): State<Arc<Publish>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let request: EmitRequest = serde_json::from_slice(&body?)
        .map_err(|error| ApiError::InvalidRequest(format!("the body is no emit: {error}")))?;
    check(&request, publish.limits.name_length)?;

    let namespace = request.namespace.as_deref().unwrap_or("/");
    let payload = publish.backplane.encode(namespace, &request.event, &Arguments(&request.args))?;
    let emit = Emit {
        payload,
        rooms: request.rooms.unwrap_or_default(),
        except: request.except.unwrap_or_default(),
        from: None,
        volatile: request.volatile,
        source: Source::Api,
    };
    publish.backplane.emit(namespace, emit).map_err(EncodeError::from)?;
    Ok(Json(json!({"accepted": true})))
}

fn check(request: &EmitRequest, name_length: usize) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::InvalidRequest(message));
    if request.event.is_empty() || request.event.len() > name_length {
        return invalid(format!("event: expected 1 to {name_length} bytes"));
    }
    if is_reserved(&request.event) {
        return invalid(format!("event: {:?} is reserved by Socket.IO", request.event));
    }
    if request.args.len() > MAX_ARGUMENTS {
        return invalid(format!("args: at most {MAX_ARGUMENTS}"));
    }
    if request.rooms.as_ref().is_some_and(Vec::is_empty) {
        // A list that came out empty must not reach everyone.
        return invalid("rooms: is empty; leave it out to reach the whole namespace".into());
    }
    for (key, rooms) in [("rooms", &request.rooms), ("except", &request.except)] {
        if rooms.as_ref().is_some_and(|rooms| rooms.len() > MAX_ROOMS) {
            return invalid(format!("{key}: at most {MAX_ROOMS}"));
        }
    }
    Ok(())
}
