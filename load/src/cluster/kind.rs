//! What is compared: the kinds of servers, and the ways Redis carries messages between them.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use clap::ValueEnum;

use super::{receiver, redis::Redis};
use crate::peer::{Peer, command};

/// A kind of server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Socket.IO with its Redis adapter, on Node.
    Node,
    /// The same program on Bun.
    Bun,
    Roomcast,
    /// Another build of it, at the path in `ROOMCAST_BEFORE`.
    RoomcastBefore,
    /// With `telemetry.metrics = false`.
    RoomcastNoMetrics,
    /// With traces of one emit in a hundred, to a receiver that takes all.
    #[value(name = "roomcast-traces-1")]
    RoomcastTracesFew,
    /// With traces of each emit.
    #[value(name = "roomcast-traces-100")]
    RoomcastTracesAll,
}

/// How Redis carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// `createAdapter` and `backplane.kind = "pubsub"`.
    Pubsub,
    /// `createShardedAdapter` and `backplane.kind = "sharded"`.
    Sharded,
}

impl Kind {
    /// Starts a pod.
    pub fn start(self, mode: Mode, redis: &Redis) -> io::Result<Peer> {
        let mut server = match self {
            Self::Node => command("node"),
            // The binary itself: what npm calls `bun` could be a process between.
            Self::Bun => command(peers("node_modules/bun/bin/bun.exe")?),
            Self::Roomcast
            | Self::RoomcastBefore
            | Self::RoomcastNoMetrics
            | Self::RoomcastTracesFew
            | Self::RoomcastTracesAll => {
                let mut settings = vec![
                    format!("backplane.kind={mode}"),
                    format!("backplane.url={}", redis.url()),
                    // As many as a server of Node has: the pods share this machine.
                    "runtime.workers=1".into(),
                ];
                if self == Self::RoomcastNoMetrics {
                    settings.push("telemetry.metrics=false".into());
                }
                let share = match self {
                    Self::RoomcastTracesFew => Some("0.01"),
                    Self::RoomcastTracesAll => Some("1"),
                    _ => None,
                };
                let variables = receiver::variables(share)?;
                return match self {
                    Self::RoomcastBefore => Peer::roomcast_of(&before()?, &settings, &variables),
                    _ => Peer::roomcast(&settings, &variables),
                };
            }
        };
        server.arg(peers("server.mjs")?).arg(mode.to_string()).arg(redis.url());
        Peer::program(self.name(), server)
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Bun => "bun",
            Self::Roomcast => "roomcast",
            Self::RoomcastBefore => "roomcast, before",
            Self::RoomcastNoMetrics => "roomcast, no metrics",
            Self::RoomcastTracesFew => "roomcast, 1 % traced",
            Self::RoomcastTracesAll => "roomcast, all traced",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pubsub => "pubsub",
            Self::Sharded => "sharded",
        })
    }
}

/// The other build.
fn before() -> io::Result<PathBuf> {
    let path = std::env::var_os("ROOMCAST_BEFORE").map(PathBuf::from);
    path.filter(|path| path.is_file()).ok_or_else(|| {
        io::Error::other(
            "`roomcast-before` needs ROOMCAST_BEFORE, the path of another build's binary",
        )
    })
}

/// A file of the programs for Node and Bun.
pub fn peers(name: &str) -> io::Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
    if !folder.join("node_modules").exists() {
        let folder = folder.display();
        return Err(io::Error::other(format!(
            "{folder}/node_modules is not there; `make bench` installs it, as does `npm ci` in {folder}"
        )));
    }
    Ok(folder.join(name))
}
