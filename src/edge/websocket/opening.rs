//! The beginning of a session over a WebSocket, while something of it is changed on its way to the client.

use std::sync::Arc;

use bytes::Bytes;

use crate::edge::{frames::opening_frames::OpeningChange, packets::session_id::Seal};

/// The beginning of a session, as the client sees it.
pub(crate) struct Opening {
    pub(super) change: OpeningChange,
    /// None if nothing is changed but refusals.
    pub(super) seal: Option<Arc<Seal>>,
    /// What was changed and is not yet written.
    pub(super) frames: Vec<u8>,
    /// The buffer of the HTTP connection that this was. While it is held, what is allocated for the life of the session
    /// and its first socket is not put where the buffer was, and the next connection finds that whole: some hundred
    /// bytes less for each (`make bench`).
    pub http: Bytes,
}

impl Opening {
    /// What is to be changed of a session that is new, or was begun by polling.
    pub fn new(seal: &Arc<Seal>, change: OpeningChange) -> Option<Box<Self>> {
        let seal = Some(seal.clone());
        let opening = Self { change, seal, frames: Vec::new(), http: Bytes::new() };
        (change != OpeningChange::Nothing).then(|| Box::new(opening))
    }

    /// While a CONNECT is refused later.
    pub(super) fn of_refusals() -> Box<Self> {
        let (frames, http) = (Vec::new(), Bytes::new());
        Box::new(Self { change: OpeningChange::Nothing, seal: None, frames, http })
    }

    /// Whether socketioxide connects the client to a namespace before it has asked, as in Engine.IO v3: perhaps before
    /// the opening packet has told the id by which the connection is found.
    pub fn connects_at_once(&self) -> bool {
        self.change == OpeningChange::Opening { pings: false }
    }
}
