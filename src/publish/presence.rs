//! `GET /api/v1/presence`: who is in rooms, on all servers.

use std::{collections::BTreeMap, sync::Arc};

use axum::{
    Json,
    extract::{Extension, RawQuery, State},
};

use super::{
    ApiError, Publish,
    answers::{Member, Name, PresenceAnswer, Refused, RoomPresence},
    body::Parameters,
    keys::Caller,
};
use crate::backplane::{Answered, Target};

/// Most rooms of one request.
const MAX_ROOMS: usize = 100;

/// Ask who is in rooms
///
/// On all servers: it is as complete as `pods.silent` is 0.
#[utoipa::path(
    get, path = "/presence", tag = "cluster",
    params(
        ("namespace" = Option<String>, Query, description = "`/` if it is left out"),
        ("room" = Vec<Name>, Query, description = "The rooms", min_items = 1, max_items = 100)
    ),
    responses((status = 200, description = "Who is in each of them", body = PresenceAnswer), Refused)
)]
pub(super) async fn presence(
    State(publish): State<Arc<Publish>>,
    Extension(caller): Extension<Caller>,
    RawQuery(query): RawQuery,
) -> Result<Json<PresenceAnswer>, ApiError> {
    let parameters = Parameters::read(query.as_deref(), &["namespace", "room"])?;
    caller.enters(parameters.namespace())?;
    let (asked, length) = (&parameters.room, publish.limits.name_length);
    if !(1..=MAX_ROOMS).contains(&asked.len()) {
        return Err(ApiError::InvalidRequest(format!("room: expected 1 to {MAX_ROOMS} of them")));
    }
    if let Some(room) = asked.iter().find(|room| room.is_empty() || room.len() > length) {
        let message = format!("room: {room:?}: expected 1 to {length} bytes");
        return Err(ApiError::InvalidRequest(message));
    }
    // One question for all of them: sockets know their rooms.
    let target = Target { rooms: asked.clone(), except: Vec::new() };
    let Answered { answer, pods } =
        publish.backplane.namespace(parameters.namespace())?.fetch_sockets(&target).await;
    let mut rooms: BTreeMap<String, RoomPresence> =
        asked.iter().map(|room| (room.clone(), RoomPresence::default())).collect();
    for socket in answer {
        for room in &socket.rooms {
            if let Some(present) = rooms.get_mut(room) {
                let (id, data) = (socket.id.clone(), socket.data.clone());
                present.add(Member { id, data, claims: socket.claims.clone() });
            }
        }
    }
    Ok(Json(PresenceAnswer { rooms, pods }))
}
