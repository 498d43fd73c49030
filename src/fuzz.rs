//! Every reader of bytes from outside, opened for `tests/fuzz` and for nothing else. Each takes any bytes, and
//! panics if a promise is broken.

use crate::{backplane, edge, gateway, publish, telemetry::traces};

/// A reader of bytes.
pub type Target = fn(&[u8]);

/// All of them, by the names of their folders in `tests/fuzz/corpus`.
pub const TARGETS: [(&str, Target); 14] = [
    ("eio3-payload", edge::fuzz::eio3_payload),
    ("eio4-payload", edge::fuzz::eio4_payload),
    ("websocket-frames", edge::fuzz::websocket_frames),
    ("deflated-frames", edge::fuzz::deflated_frames),
    ("websocket-extensions", edge::fuzz::websocket_extensions),
    ("proxy-protocol", edge::fuzz::proxy_protocol),
    ("event", gateway::fuzz::event),
    ("token", gateway::fuzz::token),
    ("hook-answer", gateway::fuzz::hook_answer),
    ("classic-wire", backplane::fuzz::classic),
    ("sharded-wire", backplane::fuzz::sharded),
    ("transcode", backplane::fuzz::transcode),
    ("stream-entry", publish::fuzz_entry),
    ("trace-context", traces::fuzz),
];
