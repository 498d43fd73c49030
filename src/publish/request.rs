//! What one publish asks for, whichever way it came: `/emit`, `/batch`, or the stream.

use std::time::Duration;

use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::{
    ApiError,
    limits::{check_rooms, list},
};
use crate::{
    backplane::{
        Answered, Backplane, ClientAnswers, Emit, Publishing, Source, Target, is_reserved,
    },
    config::Limits,
    telemetry::traces::Trace,
};

/// Most arguments of one event.
const MAX_ARGUMENTS: usize = 1024;
/// Longest wait for the answers of clients.
const MAX_ACK_TIMEOUT: Duration = Duration::from_secs(300);

/// The body of a publish.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EmitRequest {
    /// The namespace; `/` if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Rooms or socket ids; every socket of the namespace if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "list")]
    #[schema(min_items = 1, max_items = 1000, nullable = false)]
    pub rooms: Option<Vec<String>>,
    /// Rooms or socket ids that do not get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 1000)]
    pub except: Option<Vec<String>>,
    /// The name of the event.
    #[schema(min_length = 1)]
    pub event: String,
    /// Its arguments: an array, whose text goes to clients as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<serde_json::Value>>, max_items = 1024)]
    pub args: Option<Box<RawValue>>,
    /// May be dropped for a client that is not ready for it.
    #[serde(default)]
    pub volatile: bool,
    /// How long clients have to answer, as `"2s"`; they are asked for an answer if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "2s")]
    pub ack_timeout: Option<String>,
}

/// A publish that has been checked and written as clients will read it.
pub(super) struct Prepared {
    namespace: String,
    emit: Emit,
    ack_timeout: Option<Duration>,
}

impl EmitRequest {
    /// Where it is emitted.
    pub(super) fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("/")
    }

    /// Checks it, and writes its event.
    pub(super) fn prepare(
        self,
        backplane: &Backplane,
        limits: &Limits,
        source: Source,
        traceparent: Option<Trace>,
    ) -> Result<Prepared, ApiError> {
        check(&self, limits.name_length)?;
        let ack_timeout = self.ack_timeout.as_deref().map(ack_timeout).transpose()?;
        let emit = Emit {
            payload: backplane.encode_raw(&self.event, self.args.as_deref())?,
            target: Target {
                rooms: self.rooms.unwrap_or_default(),
                except: self.except.unwrap_or_default(),
            },
            from: None,
            volatile: self.volatile,
            source,
            traceparent,
        };
        let namespace = self.namespace.unwrap_or_else(|| "/".into());
        Ok(Prepared { namespace, emit, ack_timeout })
    }
}

impl Prepared {
    /// How long clients have to answer, if they are asked.
    pub fn ack_timeout(&self) -> Option<Duration> {
        self.ack_timeout
    }

    /// Sends it on its way, for someone who cannot be told what clients answer.
    pub fn begin(self, backplane: &Backplane) -> Result<Publishing, ApiError> {
        if self.ack_timeout.is_some() {
            let message = "ack_timeout: answers can be had from POST /api/v1/emit only";
            return Err(ApiError::InvalidRequest(message.into()));
        }
        Ok(backplane.namespace(&self.namespace)?.begin(self.emit)?)
    }

    /// Emits, and collects what clients answer in this time.
    pub async fn ask(
        self,
        backplane: &Backplane,
        timeout: Duration,
    ) -> Result<Answered<ClientAnswers>, ApiError> {
        Ok(backplane.namespace(&self.namespace)?.emit_with_ack(self.emit, timeout).await)
    }
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
