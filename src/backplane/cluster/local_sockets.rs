//! The sockets of this pod, as other servers and the API see them.

use crate::backplane::{Target, members::Members, wire::RemoteSocket};

/// Those of a target. `pod` is the id of this one, if it is in a cluster.
pub(in crate::backplane) fn describe(
    pod: Option<&str>,
    members: &Members,
    target: &Target,
) -> Vec<RemoteSocket> {
    let sockets = members.lookup().describe(target).into_iter();
    sockets
        .map(|socket| RemoteSocket {
            id: socket.id.to_string(),
            rooms: socket.rooms,
            handshake: socket.member.handshake(),
            data: socket.member.data(),
            claims: socket.member.claims(),
            pod: pod.map(str::to_owned),
        })
        .collect()
}
