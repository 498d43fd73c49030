//! The event `presence`, with which a member of a room asks who is in it.

use serde::Deserialize;

use super::{
    access::{Action, Decision},
    room_rules::RoomRules,
};
use crate::gateway::{
    events::event::Event,
    replies::{
        refusal::{Refusal, codes},
        reply::Reply,
    },
};

/// The event `presence`: `{room}` → `{room, members: [{id, sub}], silent}`, for members.
pub(in crate::gateway) fn presence(rules: &RoomRules, event: &Event<'_>) -> Result<Reply, Refusal> {
    #[derive(Deserialize)]
    struct Request {
        room: String,
    }

    let Request { room } = event
        .arguments()
        .map_err(|_| Refusal::new(codes::BAD_REQUEST, "expected {\"room\": \"name\"}"))?;
    let socket = event.socket();
    match rules.decide(socket, Action::Presence, &room) {
        Decision::Allow => {}
        Decision::AskHook(_) => return Err(denied(codes::ROOM_DENIED)),
        Decision::Deny(code) => return Err(denied(code)),
    }
    if !socket.is_in(&room) {
        let message = "only members may ask who is in this room; join it first";
        return Err(Refusal::new(codes::NOT_IN_ROOM, message));
    }
    if !socket.state.check_presence_rate() {
        let most = socket.state.namespace.limits.presence_per_second;
        let message = format!("more than {most} questions a second who is in a room");
        return Err(Refusal::new(codes::RATE_LIMITED, message));
    }
    let (rules, cluster) = (rules.clone(), socket.cluster());
    Ok(Reply::later(async move {
        let members = rules.presence_queries().members(&cluster, &room).await?;
        Reply::json(&*members)
    }))
}

fn denied(code: &'static str) -> Refusal {
    Refusal::new(code, "no rule shows this client who is in this room")
}
