//! Bytes and packets of clients. The counters are looked up once: a look-up takes a lock, adding does not.

use std::sync::LazyLock;

use metrics::{Counter, counter};

use crate::{
    config::Transport,
    edge::packets::engine_io::SEPARATOR,
    telemetry::metrics::{BYTES, PACKETS},
};

/// What came or went over one transport.
pub(crate) struct Direction {
    bytes: Counter,
    packets: Counter,
}

/// Both directions of one transport.
pub(crate) struct TransportTraffic {
    pub received: Direction,
    pub sent: Direction,
}

static POLLING: LazyLock<TransportTraffic> =
    LazyLock::new(|| TransportTraffic::new(Transport::Polling));
static WEBSOCKET: LazyLock<TransportTraffic> =
    LazyLock::new(|| TransportTraffic::new(Transport::Websocket));

/// That of polling: bodies, and the packets in them.
pub(crate) fn polling() -> &'static TransportTraffic {
    &POLLING
}

/// That of WebSockets: frames with their headers, and messages.
pub(crate) fn websocket() -> &'static TransportTraffic {
    &WEBSOCKET
}

impl TransportTraffic {
    fn new(transport: Transport) -> Self {
        let way = |direction| Direction {
            bytes: counter!(BYTES.name, "transport" => name(transport), "direction" => direction),
            packets: counter!(PACKETS.name, "transport" => name(transport), "direction" => direction),
        };
        Self { received: way("received"), sent: way("sent") }
    }
}

impl Direction {
    pub fn count(&self, bytes: usize, packets: u64) {
        self.bytes.increment(bytes as u64);
        if packets > 0 {
            self.packets.increment(packets);
        }
    }

    /// Counts a body of polling. Packets are divided by a record separator (Engine.IO, "Packet encoding").
    pub fn count_body(&self, body: &[u8]) {
        let divided = body.iter().filter(|byte| **byte == SEPARATOR).count() as u64;
        self.count(body.len(), if body.is_empty() { 0 } else { divided + 1 });
    }
}

/// A transport's name in metrics and in Engine.IO.
pub(crate) fn name(transport: Transport) -> &'static str {
    match transport {
        Transport::Polling => "polling",
        Transport::Websocket => "websocket",
    }
}
