//! How long connections last, and how long it takes to let one in. The histograms are looked up once.

use std::sync::LazyLock;

use metrics::{Histogram, histogram};

use super::traffic::name;
use crate::{
    config::Transport,
    telemetry::metrics::{CONNECTION_DURATION, HANDSHAKE_DURATION},
};

/// Those of one transport.
pub(super) struct Durations {
    /// From the opening request to the end.
    pub connection: Histogram,
    /// From the opening request until the first CONNECT that is let in has been answered.
    pub handshake: Histogram,
}

static POLLING: LazyLock<Durations> = LazyLock::new(|| Durations::new(Transport::Polling));
static WEBSOCKET: LazyLock<Durations> = LazyLock::new(|| Durations::new(Transport::Websocket));

/// Those of a transport.
pub(super) fn durations(transport: Transport) -> &'static Durations {
    match transport {
        Transport::Polling => &POLLING,
        Transport::Websocket => &WEBSOCKET,
    }
}

impl Durations {
    fn new(transport: Transport) -> Self {
        Self {
            connection: histogram!(CONNECTION_DURATION.name, "transport" => name(transport)),
            handshake: histogram!(HANDSHAKE_DURATION.name, "transport" => name(transport)),
        }
    }
}
