//! What is emitted, whom it is for, and who asked for it.

use socketioxide_core::{Sid, Value};

use crate::telemetry::traces::Trace;

/// Who asked for an emit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A client whose event is relayed.
    Client,
    /// The HTTP API.
    Api,
    /// The publish stream.
    Stream,
    /// A handler of a Rust program.
    Handler,
    /// The gateway, which tells those who may know it who comes to their rooms and goes.
    Presence,
    /// A Redis emitter of another program.
    Emitter,
    /// A hook, with its answer to an event.
    Hook,
    /// Another server.
    Backplane,
}

impl Source {
    /// All of them.
    pub(super) const ALL: [Self; 8] = [
        Self::Client,
        Self::Api,
        Self::Stream,
        Self::Handler,
        Self::Presence,
        Self::Emitter,
        Self::Hook,
        Self::Backplane,
    ];

    /// Its name in metrics and logs.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Api => "api",
            Self::Stream => "stream",
            Self::Handler | Self::Presence => "handler",
            Self::Emitter => "emitter",
            Self::Hook => "hook",
            Self::Backplane => "backplane",
        }
    }
}

/// Sockets of a namespace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Target {
    /// Rooms (or socket ids) whose members are meant. Empty: every socket of the namespace.
    pub rooms: Vec<String>,
    /// Rooms (or socket ids) whose members are not.
    pub except: Vec<String>,
}

/// An event, and the sockets it is for.
#[derive(Debug, Clone)]
pub struct Emit {
    /// The event: its name and arguments, as the parser of the pod writes them.
    pub payload: Value,
    /// Who gets it.
    pub target: Target,
    /// The socket that it comes from, which does not get it.
    pub from: Option<Sid>,
    /// May be dropped for a client that is not ready for it.
    pub volatile: bool,
    /// Who asked for it.
    pub source: Source,
    /// W3C trace context of what caused it.
    pub traceparent: Option<Trace>,
}
