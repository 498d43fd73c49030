//! The probe of a WebSocket that is to take a polling session over (Engine.IO protocol, "Upgrade").
//!
//! Gap: socketioxide never takes an upgrade back: from its first frame on, the polling session is answered with nothing
//! for good. Way round: the edge is asked by the client in its place (`2probe`, `3probe`), and lets polls that wait go, as
//! Node does. Only when the client says that it upgrades (`5`) does socketioxide hear of the WebSocket, and is told both
//! packets at once. A WebSocket that is cut before, says something else or nothing leaves the session as it was.

use std::{io, sync::Weak, time::Duration};

use metrics::counter;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::interval,
};

use super::transport::FrameStream;
use crate::{
    edge::connections::connection::Connection,
    telemetry::{Reached, metrics::UPGRADES},
};

/// The packets as frames of a client, masked with zeros: what socketioxide is told.
const SAID: &[u8] = b"\x81\x86\0\0\0\x002probe\x81\x81\0\0\0\x005";
/// The answer to the first, as socketioxide and the edge frame it.
pub(crate) const ANSWER: &[u8] = b"\x81\x063probe";
/// An empty close frame.
const CLOSE: &[u8] = &[0x88, 0];
/// How often polls that wait are let go, as on Node: the client sends `5` when it has none.
const LET_GO: Duration = Duration::from_millis(100);
/// How long a WebSocket that is closed may take to go.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes of a header of a short frame with its mask.
const HEADER: usize = 6;
/// More than both frames, and what a client may have sent right behind them.
const AT_ONCE: usize = 512;

/// What becomes of a WebSocket that is to take a polling session over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UpgradeResult {
    /// It has.
    Ok,
    /// Its client did not go through with it within `engine.upgrade_timeout`.
    Timeout,
    /// It was cut, or said something else.
    Abandoned,
    /// The session ended before.
    SessionEnded,
    /// The session has one, or is about to.
    Surplus,
}

impl UpgradeResult {
    /// Counts it.
    pub fn count(self) {
        counter!(UPGRADES.name, "result" => self.label()).increment(1);
    }

    fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Timeout => "timeout",
            Self::Abandoned => "abandoned",
            Self::SessionEnded => "session ended",
            Self::Surplus => "surplus",
        }
    }
}

/// Waits until the client upgrades, and gives what socketioxide is to read first; or why it does not. `read_buf` is what the client sent right behind its handshake.
pub(crate) async fn probe(
    wire: &mut FrameStream,
    read_buf: &[u8],
    connection: &Weak<Connection>,
    limit: Duration,
) -> Result<Vec<u8>, UpgradeResult> {
    let mut read = read_buf.to_vec();
    let upgraded = async {
        expect(wire, &mut read, b"2probe").await.ok_or(UpgradeResult::Abandoned)?;
        wire.write_all(ANSWER).await.map_err(|_| UpgradeResult::Abandoned)?;
        let let_go = async {
            let mut ticks = interval(LET_GO);
            loop {
                ticks.tick().await;
                let connection = connection.upgrade();
                let polling = connection.as_ref().filter(|open| !open.stream.is_ending());
                let polling = polling.and_then(|open| open.polling());
                match polling.filter(|polling| !polling.is_closing()) {
                    Some(polling) => polling.release_poll(),
                    None => return,
                }
            }
        };
        tokio::select! {
            upgraded = expect(wire, &mut read, b"5") => upgraded.ok_or(UpgradeResult::Abandoned),
            () = let_go => Err(UpgradeResult::SessionEnded),
        }
    };
    tokio::time::timeout(limit, upgraded).await.map_err(|_| UpgradeResult::Timeout)??;
    Ok([SAID, &read].concat())
}

/// Closes a WebSocket that its session has no use for. What the client still sends is read for a moment: unread, it would
/// have TCP throw the close frame away.
pub(crate) async fn close(mut wire: FrameStream) {
    let said = async {
        wire.write_all(CLOSE).await?;
        wire.shutdown().await?;
        let mut rest = [0; AT_ONCE];
        while wire.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    if tokio::time::timeout(FAREWELL, said).await.is_err() {
        Reached::WebsocketFarewell.count();
    }
}

/// Reads a text frame, which must have these bytes: fewer than 126.
async fn expect(wire: &mut FrameStream, read: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let length = HEADER + text.len();
    let header = [0x81, 0x80 | text.len() as u8];
    while read.len() < length {
        let mut buffer = [0; AT_ONCE];
        let more = wire.read(&mut buffer).await.ok().filter(|more| *more > 0)?;
        read.extend_from_slice(&buffer[..more]);
        // What is something else is not waited for.
        if !header.starts_with(&read[..read.len().min(2)]) {
            return None;
        }
    }
    let frame: Vec<u8> = read.drain(..length).collect();
    let (start, payload) = frame.split_at(HEADER);
    let mask = start[2..].iter().cycle();
    let said = payload.iter().zip(mask).map(|(byte, mask)| byte ^ mask);
    (start[..2] == header && said.eq(text.iter().copied())).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_result_has_a_series_from_the_start() {
        use UpgradeResult::*;
        let mut results = [Ok, Timeout, Abandoned, SessionEnded, Surplus].map(UpgradeResult::label);
        results.sort_unstable();
        assert_eq!(results.as_slice(), UPGRADES.values_of("result"));
    }
}
