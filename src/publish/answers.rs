//! What the API answers, as the OpenAPI document describes it too.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use utoipa::{IntoResponses, ToSchema};

use super::ApiError;
use crate::backplane::{Answered, ClientAnswers, PodRecord, Pods, RemoteSocket};

/// The name of a room, of `limits.name_length` bytes at most.
#[derive(ToSchema)]
#[schema(min_length = 1)]
#[expect(dead_code, reason = "it describes, and is never made")]
pub(super) struct Name(String);

/// It is done.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Accepted {
    /// Always `true`.
    accepted: bool,
}

/// It is done.
pub(super) const ACCEPTED: Accepted = Accepted { accepted: true };

/// The emit is done; with `ack_timeout`, this is what clients answered.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct EmitAnswer {
    /// Always `true`.
    accepted: bool,
    /// The first argument of each ack, in the order of arrival.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    answers: Option<Vec<Value>>,
    /// Clients that were asked and did not answer in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    missing: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pods: Option<Pods>,
}

impl EmitAnswer {
    /// Nobody was asked.
    pub fn accepted() -> Self {
        Self { accepted: true, ..Self::default() }
    }
}

impl From<Answered<ClientAnswers>> for EmitAnswer {
    fn from(Answered { answer, pods }: Answered<ClientAnswers>) -> Self {
        let first = answer.answers.iter().map(|values| values.first_json().unwrap_or_default());
        Self {
            accepted: true,
            answers: Some(first.collect()),
            missing: Some(answer.missing),
            pods: Some(pods),
        }
    }
}

/// What became of each emit of a batch, in its order.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BatchAnswer {
    pub results: Vec<BatchResult>,
}

/// What became of one.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum BatchResult {
    /// It is emitted.
    Accepted(Accepted),
    /// It is not, for this reason.
    Refused(ErrorAnswer),
}

/// The one shape of an error.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ErrorAnswer {
    error: ErrorBody,
}

/// An error.
#[derive(Debug, Serialize, ToSchema)]
struct ErrorBody {
    /// Stable; docs/errors.md lists them.
    #[schema(example = "invalid_request")]
    code: &'static str,
    /// For people; it may change.
    message: String,
}

impl From<&ApiError> for ErrorAnswer {
    fn from(error: &ApiError) -> Self {
        Self { error: ErrorBody { code: error.code(), message: error.to_string() } }
    }
}

/// Sockets of the cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SocketsAnswer {
    pub sockets: Vec<RemoteSocket>,
    pub pods: Pods,
}

/// One socket.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct SocketAnswer {
    pub socket: RemoteSocket,
}

/// The rooms that have members.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RoomsAnswer {
    pub rooms: BTreeSet<String>,
    pub pods: Pods,
}

/// Who is in rooms.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PresenceAnswer {
    /// Each room that was asked for, also without members.
    pub rooms: BTreeMap<String, RoomPresence>,
    pub pods: Pods,
}

/// Who is in a room.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct RoomPresence {
    count: usize,
    members: Vec<Member>,
}

impl RoomPresence {
    pub fn add(&mut self, member: Member) {
        self.count += 1;
        self.members.push(member);
    }
}

/// A socket in a room.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Member {
    pub id: String,
    /// As that of `GET /api/v1/sockets`.
    pub data: Value,
    /// The claims of its token, where its `data` is no object or has `claims` of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<serde_json::Value>,
}

/// The pods of the cluster.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ClusterAnswer {
    pub pods: Vec<PodRecord>,
    /// Servers of another kind in the namespace: those on Node.
    pub others: usize,
    pub backplane: BackplaneState,
}

/// How this pod is connected to the others.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct BackplaneState {
    /// `backplane.kind`.
    pub kind: &'static str,
    pub connected: bool,
}

/// Where the pod is in its life.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PhaseAnswer {
    #[schema(example = "announced")]
    pub phase: &'static str,
}

/// How a rebalance will go.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RebalanceAnswer {
    /// Connections that are being closed.
    pub closing: usize,
    /// How long it takes.
    pub seconds: f64,
    /// Why no connection is closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How far a rebalance had come.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct RebalanceStopped {
    /// Connections that it closed; 0 if none ran.
    pub closed: usize,
}

/// What every path may answer instead.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes, and is never made")]
pub(super) enum Refused {
    /// `invalid_request`: the body or a parameter has another form.
    #[response(status = 400)]
    Invalid(ErrorAnswer),
    /// `unauthorized`: no key, or a wrong one.
    #[response(status = 401)]
    Unauthorized(ErrorAnswer),
    /// `api_disabled`: no keys are configured; `forbidden`: the key is for other things, or other namespaces.
    #[response(status = 403)]
    Disabled(ErrorAnswer),
    /// `unknown_namespace`, `unknown_socket`.
    #[response(status = 404)]
    Unknown(ErrorAnswer),
    /// `request_timeout`: the body did not come within `public.request_timeout`.
    #[response(status = 408)]
    Late(ErrorAnswer),
    /// `payload_too_large`: more than `limits.max_payload`.
    #[response(status = 413)]
    TooLarge(ErrorAnswer),
    /// `backplane_unavailable`, `backplane_unconfirmed`, `publish_queue_full`.
    #[response(status = 503)]
    Away(ErrorAnswer),
}

/// What a path with `Idempotency-Key` may answer beside that.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes, and is never made")]
pub(super) enum KeyRefused {
    /// `idempotency_key_in_use`: the first request of this key has not ended.
    #[response(status = 409)]
    InUse(ErrorAnswer),
    /// `idempotency_key_reused`: the key was sent with another request.
    #[response(status = 422)]
    Reused(ErrorAnswer),
}

/// What a path about one pod may answer beside that.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "it describes, and is never made")]
pub(super) enum Ends {
    /// `drain_final`, `rebalance_running`.
    #[response(status = 409)]
    Conflict(ErrorAnswer),
}
