//! What backends can ask of the whole cluster, and do to its sockets.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, RawQuery, State, rejection::BytesRejection},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, Publish,
    body::{Parameters, parse},
    limits::check_rooms,
};
use crate::backplane::{Answered, Link, Target};

/// `GET /api/v1/sockets`: the sockets of a namespace or of rooms.
pub(super) async fn sockets(
    State(publish): State<Arc<Publish>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["namespace", "room", "except"])?;
    let target = Target { rooms: parameters.room.clone(), except: parameters.except.clone() };
    let Answered { answer, pods } =
        publish.backplane.fetch_sockets(parameters.namespace(), &target).await?;
    Ok(Json(json!({"sockets": answer, "pods": pods})))
}

/// `GET /api/v1/sockets/{id}`: one socket, and the pod that holds it.
pub(super) async fn socket(
    State(publish): State<Arc<Publish>>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["namespace"])?;
    let target = Target { rooms: vec![id.clone()], except: Vec::new() };
    let Answered { answer, pods } =
        publish.backplane.fetch_sockets(parameters.namespace(), &target).await?;
    match answer.into_iter().find(|socket| socket.id == id) {
        Some(socket) => Ok(Json(json!({"socket": socket}))),
        None if pods.silent > 0 => Err(ApiError::UnknownSocket(format!(
            "no socket {id:?} was found, but {} of {} servers did not answer",
            pods.silent, pods.asked
        ))),
        None => Err(ApiError::UnknownSocket(format!("there is no socket {id:?}"))),
    }
}

/// `GET /api/v1/rooms`: the rooms that have members.
pub(super) async fn rooms(
    State(publish): State<Arc<Publish>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["namespace"])?;
    let Answered { answer, pods } = publish.backplane.rooms(parameters.namespace()).await?;
    Ok(Json(json!({"rooms": answer, "pods": pods})))
}

/// The body of a join or a leave.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Move {
    namespace: Option<String>,
    /// Whose sockets: rooms or socket ids; all of the namespace if it is left out.
    r#in: Option<Vec<String>>,
    except: Option<Vec<String>>,
    /// The rooms that they are put in, or taken out of.
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

/// `POST /api/v1/rooms/join`: puts sockets in rooms.
pub(super) async fn join(
    State(publish): State<Arc<Publish>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let (namespace, target, rooms) = Move::read(&body?, publish.limits.name_length)?;
    publish.backplane.join_all(&namespace, target, rooms).await?;
    Ok(Json(json!({"accepted": true})))
}

/// `POST /api/v1/rooms/leave`: takes them out.
pub(super) async fn leave(
    State(publish): State<Arc<Publish>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    let (namespace, target, rooms) = Move::read(&body?, publish.limits.name_length)?;
    publish.backplane.leave_all(&namespace, target, rooms).await?;
    Ok(Json(json!({"accepted": true})))
}

/// `POST /api/v1/sockets/disconnect`: disconnects sockets from a namespace.
pub(super) async fn disconnect(
    State(publish): State<Arc<Publish>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<Value>, ApiError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Disconnect {
        namespace: Option<String>,
        r#in: Option<Vec<String>>,
        except: Option<Vec<String>>,
        /// From all their namespaces, and their connections end.
        #[serde(default)]
        close: bool,
    }

    let Disconnect { namespace, r#in, except, close } = parse(&body?, "not {in, close}")?;
    let namespace = namespace.unwrap_or_else(|| "/".into());
    publish.backplane.disconnect_all(&namespace, target(r#in, except)?, close).await?;
    Ok(Json(json!({"accepted": true})))
}

/// `GET /api/v1/cluster`: the pods, and how this one is connected to them.
pub(super) async fn cluster(
    State(publish): State<Arc<Publish>>,
    RawQuery(query): RawQuery,
) -> Result<Json<Value>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["namespace"])?;
    let backplane = &publish.backplane;
    let connected = backplane.link().is_none_or(|link| link == Link::Up);
    let state = json!({"kind": publish.kind, "connected": connected});
    // Cut off, a pod knows of itself only.
    let known =
        if connected { backplane.pods(parameters.namespace()).await.ok().flatten() } else { None };
    let (pods, others) = known.unwrap_or_else(|| (vec![(publish.record)()], 0));
    Ok(Json(json!({"pods": pods, "others": others, "backplane": state})))
}
