//! The stream of one WebSocket, from the handshake to its end.
//!
//! Gap: socketioxide has no call that closes one connection's transport. `Socket::disconnect` tells
//! the stock client to stay away; `SocketIo::close` takes the namespaces with it, runs no disconnect
//! handlers, and leaves sockets and namespaces in a cycle that is never freed. Way round: when a
//! connection is to end, the stream says goodbye *to socketioxide* in the client's name, with an
//! Engine.IO close packet. socketioxide then does all that it does when a client leaves: it writes
//! what is queued, closes the WebSocket, and runs the disconnect handlers. The client sees its
//! transport closed, and comes back.

use std::{
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Sleep,
};

use super::{
    frames::Frames,
    sessions::{CloseReason, Connection},
};
use crate::config::Transport;

/// How long a client may leave a message unfinished.
#[derive(Debug)]
struct Patience {
    limit: Duration,
    /// Set while something is unfinished: an idle connection has no timer.
    timer: Option<Pin<Box<Sleep>>>,
}

/// A client's text frame with the Engine.IO packet `1` (close), masked with zeros.
const GOODBYE: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'1'];

pub(super) struct ClientStream {
    tcp: TcpStream,
    /// What is read before the rest: bytes that the client sent right behind its handshake.
    early: Bytes,
    frames: Frames,
    patience: Patience,
    connection: Arc<Connection>,
    upgrades_polling: bool,
    said_goodbye: bool,
}

impl ClientStream {
    /// `limit` is how long the client may leave a message unfinished.
    pub fn new(tcp: TcpStream, early: &[u8], connection: Arc<Connection>, limit: Duration) -> Self {
        let upgrades_polling = connection.use_transport(Transport::Websocket);
        // A copy: a slice of hyper's buffer would keep all of that.
        let early = Bytes::copy_from_slice(early);
        let patience = Patience { limit, timer: None };
        let frames = Frames::default();
        Self { tcp, early, frames, patience, connection, upgrades_polling, said_goodbye: false }
    }

    /// Ends the stream for socketioxide: with a goodbye, or at once in the middle of a frame.
    fn end(&mut self, buffer: &mut ReadBuf<'_>) {
        if !self.said_goodbye && self.frames.at_boundary() && buffer.remaining() >= GOODBYE.len() {
            buffer.put_slice(GOODBYE);
        }
        self.said_goodbye = true;
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if self.upgrades_polling {
            // An upgrade that failed leaves its session to polling.
            self.connection.use_transport(Transport::Polling);
        } else if !self.connection.is_in_namespace() {
            // Otherwise the end of its sockets comes first: it brings the reason.
            self.connection.end();
        }
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before it is looked at, so that an end in between is not missed.
        let control = &self.connection.stream;
        control.reader.register(context.waker());
        if control.ended.load(Ordering::Acquire) {
            self.end(buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        if self.early.has_remaining() {
            let length = self.early.len().min(buffer.remaining());
            buffer.put_slice(&self.early.split_to(length));
        } else {
            match Pin::new(&mut self.tcp).poll_read(context, buffer) {
                Poll::Ready(read) => read?,
                Poll::Pending => {
                    std::task::ready!(self.patience.poll_over(context));
                    self.connection.end_stream(CloseReason::MessageTimeout);
                    self.end(buffer);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        let Self { frames, patience, .. } = &mut *self;
        let progress = frames.follow(&buffer.filled()[before..]);
        patience.note(frames.is_complete(), progress);
        Poll::Ready(Ok(()))
    }
}

impl Patience {
    fn note(&mut self, complete: bool, progress: bool) {
        if complete {
            self.timer = None;
        } else if progress || self.timer.is_none() {
            self.timer = Some(Box::pin(tokio::time::sleep(self.limit)));
        }
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match &mut self.timer {
            Some(timer) => timer.as_mut().poll(context),
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.tcp).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.tcp).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }
}
