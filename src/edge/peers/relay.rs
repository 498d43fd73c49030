//! A WebSocket of another pod's session: bytes go to and fro between the client and that pod.
//!
//! Only the other pod knows the session, and it sees this pod read where the client does not. So the limit that a
//! client of this pod has is kept here as well, and the other pod is told.

use std::{io, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, copy_buf},
    net::TcpStream,
    time::timeout,
};

use super::peer_signal::PeerSignal;
use crate::edge::{
    connections::relayed::RelayGuard,
    streams::write_timeout::{WriteTimeout, is_write_timeout},
};

/// Bytes of each buffer: of all that pass through, and empty most of the time.
const BUFFER: usize = 4096;

/// A WebSocket of another pod, waiting to be joined to that of the client.
pub(super) struct Relay {
    pub pod: TcpStream,
    /// What it sent right behind its answer.
    pub answer: Bytes,
    /// Longest time that either side may take nothing, and that the one may stay when the other has gone.
    pub limit: Duration,
    /// Tells the pod that its client takes nothing.
    pub unread: PeerSignal,
    pub guard: RelayGuard,
}

impl Relay {
    /// Joins both until one ends, or this pod does. `read_buf` is what the client sent behind its handshake.
    pub async fn join(self, client: TcpStream, read_buf: Bytes) {
        let Self { pod, answer, limit, unread, guard } = self;
        let (client, pod) = ((client, read_buf), (pod, answer));
        tokio::select! {
            joined = join(client, pod, limit, &unread) => {
                if let Err(error) = joined {
                    tracing::debug!(%error, "a forwarded WebSocket broke");
                }
            }
            () = guard.told_to_end() => {}
        }
    }
}

async fn join(
    (mut client, read_buf): (TcpStream, Bytes),
    (mut pod, answer): (TcpStream, Bytes),
    limit: Duration,
    unread: &PeerSignal,
) -> io::Result<()> {
    let (from_client, to_client) = client.split();
    let (from_pod, to_pod) = pod.split();
    let up = pass(read_buf, from_client, WriteTimeout::new(to_pod, limit));
    let down = async {
        let passed = pass(answer, from_pod, WriteTimeout::new(to_client, limit)).await;
        if passed.as_ref().is_err_and(is_write_timeout) {
            // Before it sees the WebSocket end, and takes that for the reason.
            unread.send().await;
        }
        passed
    };
    tokio::pin!(up, down);
    let last = tokio::select! {
        ended = &mut up => {
            ended?;
            timeout(limit, down).await
        }
        ended = &mut down => {
            ended?;
            timeout(limit, up).await
        }
    };
    last.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

/// Passes on what comes, behind what has come, and the end.
async fn pass(
    before: Bytes,
    from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
) -> io::Result<()> {
    to.write_all(&before).await?;
    drop(before);
    copy_buf(&mut BufReader::with_capacity(BUFFER, from), &mut to).await?;
    to.shutdown().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use axum::body::Body;
    use http::Request;
    use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    use metrics::gauge;
    use socketioxide_core::Sid;
    use tokio::{io::AsyncReadExt, net::TcpListener};

    use super::*;
    use crate::{
        edge::connections::relayed::RelayedSessions,
        tasks::{self, inject},
    };

    const LONG: Duration = Duration::from_secs(30);

    /// Both ends of a connection.
    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let connecting = TcpStream::connect(listener.local_addr().unwrap());
        let (here, there) = tokio::join!(connecting, listener.accept());
        (here.unwrap(), there.unwrap().0)
    }

    #[tokio::test]
    async fn after_a_panic_both_sides_see_the_end_and_none_is_counted() {
        let relayed = Arc::new(RelayedSessions::default());
        let ((pod, mut other_pod), (client, mut other_client)) = (pair().await, pair().await);
        let relay = Relay {
            pod,
            answer: Bytes::new(),
            limit: LONG,
            unread: PeerSignal {
                client: Client::builder(TokioExecutor::new()).build_http::<Body>(),
                request: Request::new(()),
                limit: LONG,
            },
            guard: relayed.begin(Sid::new(), gauge!("relayed")),
        };
        assert_eq!(relayed.count(), 1);
        inject::next("relayed websocket");
        tasks::spawn("relayed websocket", relay.join(client, Bytes::new())).await.unwrap();
        assert_eq!(inject::counted("relayed websocket"), 1);
        for side in [&mut other_pod, &mut other_client] {
            assert_eq!(timeout(LONG, side.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
        }
        assert_eq!(relayed.count(), 0);
    }
}
