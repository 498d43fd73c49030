//! What backends can ask of the whole cluster, and do to its sockets.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{
        Extension, Path, RawQuery, State,
        rejection::{BytesRejection, PathRejection},
    },
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::{
    ApiError, Publish,
    answers::{
        ACCEPTED, Accepted, BackplaneState, ClusterAnswer, Name, Refused, RoomsAnswer,
        SocketAnswer, SocketsAnswer,
    },
    body::{Parameters, parse},
    keys::Caller,
    limits::{check_rooms, list},
};
use crate::backplane::{Answered, Link, Target};

/// List sockets
///
/// Those of a namespace, or of rooms, on all servers.
#[utoipa::path(
    get, path = "/sockets", tag = "cluster",
    params(
        ("namespace" = Option<String>, Query, description = "`/` if it is left out"),
        ("room" = Option<Vec<String>>, Query, description = "Rooms or socket ids"),
        ("except" = Option<Vec<String>>, Query, description = "Rooms or socket ids that are left out")
    ),
    responses((status = 200, description = "The sockets", body = SocketsAnswer), Refused)
)]
pub(super) async fn sockets(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Json<SocketsAnswer>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["namespace", "room", "except"])?;
    caller.enters(parameters.namespace())?;
    let target = Target { rooms: parameters.room.clone(), except: parameters.except.clone() };
    let Answered { answer, pods } =
        publish.backplane.namespace(parameters.namespace())?.fetch_sockets(&target).await;
    Ok(Json(SocketsAnswer { sockets: answer, pods }))
}

/// Find a socket
///
/// Says which pod holds it.
#[utoipa::path(
    get, path = "/sockets/{id}", tag = "cluster",
    params(
        ("id" = String, Path, description = "Its id"),
        ("namespace" = Option<String>, Query, description = "`/` if it is left out")
    ),
    responses((status = 200, description = "The socket", body = SocketAnswer), Refused)
)]
pub(super) async fn socket(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    id: Result<Path<String>, PathRejection>,
    RawQuery(query): RawQuery,
) -> Result<Json<SocketAnswer>, ApiError> {
    let Path(id) = id?;
    let parameters = Parameters::read(query.as_deref(), &["namespace"])?;
    caller.enters(parameters.namespace())?;
    let target = Target { rooms: vec![id.clone()], except: Vec::new() };
    let Answered { answer, pods } =
        publish.backplane.namespace(parameters.namespace())?.fetch_sockets(&target).await;
    match answer.into_iter().find(|socket| socket.id == id) {
        Some(socket) => Ok(Json(SocketAnswer { socket })),
        None if pods.silent > 0 => Err(ApiError::UnknownSocket(format!(
            "no socket {id:?} was found, but {} of {} servers did not answer",
            pods.silent, pods.asked
        ))),
        None => Err(ApiError::UnknownSocket(format!("there is no socket {id:?}"))),
    }
}

/// List the rooms that have members
#[utoipa::path(
    get, path = "/rooms", tag = "cluster",
    params(("namespace" = Option<String>, Query, description = "`/` if it is left out")),
    responses((status = 200, description = "The rooms", body = RoomsAnswer), Refused)
)]
pub(super) async fn rooms(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Json<RoomsAnswer>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["namespace"])?;
    caller.enters(parameters.namespace())?;
    let Answered { answer, pods } =
        publish.backplane.namespace(parameters.namespace())?.rooms().await;
    Ok(Json(RoomsAnswer { rooms: answer, pods }))
}

/// The body of a join or a leave.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    namespace: Option<String>,
    /// Whose sockets: rooms or socket ids; all of the namespace if it is left out.
    #[serde(default, deserialize_with = "list")]
    #[schema(min_items = 1, max_items = 1000, nullable = false)]
    r#in: Option<Vec<String>>,
    #[schema(max_items = 1000)]
    except: Option<Vec<String>>,
    /// The rooms that they are put in, or taken out of.
    #[schema(min_items = 1, max_items = 1000, value_type = Vec<Name>)]
    rooms: Vec<String>,
}

impl Move {
    fn read(body: &[u8], name_length: usize) -> Result<(String, Target, Vec<String>), ApiError> {
        let Self { namespace, r#in, except, rooms } = parse(body, "not {in, rooms}")?;
        check_rooms("rooms", Some(&rooms))?;
        if let Some(room) = rooms.iter().find(|room| room.is_empty() || room.len() > name_length) {
            let message = format!("rooms: {room:?}: expected 1 to {name_length} bytes");
            return Err(ApiError::InvalidRequest(message));
        }
        Ok((namespace.unwrap_or_else(|| "/".into()), target(r#in, except)?, rooms))
    }
}

fn target(of: Option<Vec<String>>, except: Option<Vec<String>>) -> Result<Target, ApiError> {
    check_rooms("in", of.as_deref())?;
    check_rooms("except", except.as_deref())?;
    Ok(Target { rooms: of.unwrap_or_default(), except: except.unwrap_or_default() })
}

/// Put sockets in rooms
#[utoipa::path(
    post, path = "/rooms/join", tag = "cluster",
    request_body = Move,
    responses((status = 200, description = "They are in", body = Accepted), Refused)
)]
pub(super) async fn join(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Accepted>, ApiError> {
    let (namespace, target, rooms) = Move::read(&body?, publish.limits.name_length)?;
    caller.enters(&namespace)?;
    publish.backplane.namespace(&namespace)?.join_all(target, rooms).await?;
    Ok(Json(ACCEPTED))
}

/// Take sockets out of rooms
#[utoipa::path(
    post, path = "/rooms/leave", tag = "cluster",
    request_body = Move,
    responses((status = 200, description = "They are out", body = Accepted), Refused)
)]
pub(super) async fn leave(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Accepted>, ApiError> {
    let (namespace, target, rooms) = Move::read(&body?, publish.limits.name_length)?;
    caller.enters(&namespace)?;
    publish.backplane.namespace(&namespace)?.leave_all(target, rooms).await?;
    Ok(Json(ACCEPTED))
}

/// Whose sockets to disconnect.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Disconnect {
    namespace: Option<String>,
    /// Rooms or socket ids; all of the namespace if it is left out.
    #[serde(default, deserialize_with = "list")]
    #[schema(min_items = 1, max_items = 1000, nullable = false)]
    r#in: Option<Vec<String>>,
    #[schema(max_items = 1000)]
    except: Option<Vec<String>>,
    /// From all their namespaces, and their connections end.
    #[serde(default)]
    close: bool,
}

/// Disconnect sockets
///
/// From their namespace; with `close`, from all of theirs, and their connections end.
#[utoipa::path(
    post, path = "/sockets/disconnect", tag = "cluster",
    request_body = Disconnect,
    responses((status = 200, description = "They are gone", body = Accepted), Refused)
)]
pub(super) async fn disconnect(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Accepted>, ApiError> {
    let Disconnect { namespace, r#in, except, close } = parse(&body?, "not {in, close}")?;
    let namespace = namespace.unwrap_or_else(|| "/".into());
    caller.enters(&namespace)?;
    if close {
        caller.enters_all()?;
    }
    let target = target(r#in, except)?;
    publish.backplane.namespace(&namespace)?.disconnect_all(target, close).await?;
    Ok(Json(ACCEPTED))
}

/// List the pods
///
/// Says also how this one is connected to them; one that is cut off names itself only.
#[utoipa::path(
    get, path = "/cluster", tag = "cluster",
    params(("namespace" = Option<String>, Query, description = "For `others`; `/` if it is left out")),
    responses((status = 200, description = "The pods", body = ClusterAnswer), Refused)
)]
pub(super) async fn cluster(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Json<ClusterAnswer>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["namespace"])?;
    caller.enters(parameters.namespace())?;
    let cluster = publish.backplane.cluster();
    let connected = cluster.link().is_none_or(|link| link == Link::Up);
    let state = BackplaneState { kind: publish.kind, connected };
    // Cut off, a pod knows of itself only.
    let known =
        if connected { cluster.pods(parameters.namespace()).await.ok().flatten() } else { None };
    let (pods, others) = known.unwrap_or_else(|| (vec![(publish.record)()], 0));
    Ok(Json(ClusterAnswer { pods, others, backplane: state }))
}
