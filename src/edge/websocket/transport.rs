//! The TCP stream of a WebSocket, as those see it who read and write frames: without what was agreed on compression.
//!
//! Gap: the WebSocket of socketioxide (tungstenite) knows no extensions (socketioxide's issue 761). Way round: what is
//! compressed is so on the wire alone.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::coop,
};

use crate::edge::frames::{
    binary_to_base64::BinaryToBase64,
    deflate::Deflater,
    inflate::{Inflater, PIECE},
    permessage_deflate::DeflateParams,
};

/// What it takes to compress a piece, in turns of a task, which has 128 of them before others have theirs.
const TURNS: u8 = 16;

thread_local! {
    /// What is read of a stream, and what becomes of it.
    static BUFFERS: RefCell<(Vec<u8>, Vec<u8>)> = RefCell::new((vec![0; PIECE], Vec::new()));
}

/// The stream of a WebSocket.
pub(super) enum FrameStream {
    /// Its frames are as they are.
    Plain(TcpStream),
    /// Some of its messages are compressed.
    DeflateStream(Box<DeflateStream>),
    /// None of its messages is binary.
    Base64Stream(Box<Base64Stream>),
}

/// A stream whose client wants binary as text.
pub(super) struct Base64Stream {
    wire: FrameStream,
    text: BinaryToBase64,
}

/// A stream of which some messages are compressed.
pub(super) struct DeflateStream {
    tcp: TcpStream,
    /// What the client sent, and has not been looked at.
    sent: Bytes,
    /// What became of it, and the reader has not come for.
    ready: Bytes,
    inflating: Inflater,
    deflating: Deflater,
    /// It has compressed a piece since others had their turn.
    has_worked: bool,
}

impl FrameStream {
    /// With what was agreed. `read_buf` is what the client sent right behind its handshake; what is not to be read from the
    /// stream is given back.
    pub fn new(tcp: TcpStream, read_buf: Bytes, agreed: Option<DeflateParams>) -> (Self, Bytes) {
        let Some(agreed) = agreed else { return (Self::Plain(tcp), read_buf) };
        let deflated = DeflateStream {
            tcp,
            // Copied: a slice of hyper's buffer would keep all of that.
            sent: Bytes::copy_from_slice(&read_buf),
            ready: Bytes::new(),
            inflating: Inflater::new(agreed.most),
            deflating: Deflater::new(agreed),
            has_worked: false,
        };
        (Self::DeflateStream(Box::new(deflated)), Bytes::new())
    }

    /// With binary as text.
    pub fn in_text(self, text: BinaryToBase64) -> Self {
        Self::Base64Stream(Box::new(Base64Stream { wire: self, text }))
    }

    /// Whether the client has begun what it has not sent enough of to be read.
    pub fn holds(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::DeflateStream(deflated) => deflated.inflating.holds(),
            Self::Base64Stream(text) => text.wire.holds(),
        }
    }

    /// Whether that has grown since it was asked.
    pub fn take_progress(&mut self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::DeflateStream(deflated) => deflated.inflating.take_progress(),
            Self::Base64Stream(text) => text.wire.take_progress(),
        }
    }

    /// Lets others have their turn, once it has worked for long: that is no sign of a client that takes nothing.
    pub fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::DeflateStream(deflated) if deflated.has_worked => {
                for _ in 0..TURNS {
                    ready!(coop::poll_proceed(context)).made_progress();
                }
                deflated.has_worked = false;
                Poll::Ready(())
            }
            Self::Base64Stream(text) => text.wire.poll_turn(context),
            _ => Poll::Ready(()),
        }
    }

    /// Whether something has been taken that the client has not.
    pub fn is_behind(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::DeflateStream(deflated) => !deflated.deflating.out.is_empty(),
            Self::Base64Stream(text) => text.is_behind(),
        }
    }

    /// Writes some of that.
    pub fn poll_catch_up(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Plain(_) => Poll::Ready(Ok(())),
            Self::DeflateStream(deflated) => deflated.poll_catch_up(context),
            Self::Base64Stream(text) => text.poll_catch_up(context),
        }
    }
}

impl DeflateStream {
    fn poll_catch_up(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.deflating.out.poll_some(&mut self.tcp, context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        ready!(self.deflating.out.poll_all(&mut self.tcp, context))?;
        let passes = self.deflating.passes(bytes);
        if passes > 0 {
            let written = ready!(Pin::new(&mut self.tcp).poll_write(context, &bytes[..passes]))?;
            self.deflating.passed(bytes, written);
            return Poll::Ready(Ok(written));
        }
        self.has_worked = true;
        let taken = self.deflating.take(bytes);
        // What is not written now is before the next write, or when it is flushed.
        if let Poll::Ready(written) = self.deflating.out.poll_all(&mut self.tcp, context) {
            written?;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.deflating.out.poll_all(&mut self.tcp, context))?;
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if !self.ready.is_empty() {
                ready!(coop::poll_proceed(context)).made_progress();
                let given = fill(buffer, &self.ready);
                self.ready.advance(given);
                if self.ready.is_empty() {
                    self.ready = Bytes::new();
                }
                return Poll::Ready(Ok(()));
            }
            let is_over = BUFFERS.with_borrow_mut(|(read, passed)| {
                let Self { tcp, sent, ready, inflating, .. } = &mut *self;
                passed.clear();
                if !sent.is_empty() || inflating.has_more() {
                    ready!(coop::poll_proceed(context)).made_progress();
                    let taken = inflating.pass(sent, passed);
                    sent.advance(taken);
                    if sent.is_empty() {
                        *sent = Bytes::new();
                    }
                } else {
                    let mut read = ReadBuf::new(read);
                    ready!(Pin::new(tcp).poll_read(context, &mut read))?;
                    if read.filled().is_empty() {
                        return Poll::Ready(io::Result::Ok(true));
                    }
                    let taken = inflating.pass(read.filled(), passed);
                    let later = &read.filled()[taken..];
                    if !later.is_empty() {
                        *sent = Bytes::copy_from_slice(later);
                    }
                }
                let given = fill(buffer, passed);
                if given < passed.len() {
                    *ready = Bytes::copy_from_slice(&passed[given..]);
                }
                Poll::Ready(Ok(given > 0))
            });
            if ready!(is_over)? {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl Base64Stream {
    fn is_behind(&self) -> bool {
        !self.text.out.is_empty() || self.wire.is_behind()
    }

    fn poll_catch_up(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.text.out.is_empty() {
            return self.wire.poll_catch_up(context);
        }
        self.text.out.poll_some(&mut self.wire, context)
    }

    fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.text.out.poll_all(&mut self.wire, context))?;
        let taken = self.text.take(bytes);
        // What is not written now is before the next write, or when it is flushed.
        if let Poll::Ready(written) = self.text.out.poll_all(&mut self.wire, context) {
            written?;
        }
        Poll::Ready(Ok(taken))
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.text.out.poll_all(&mut self.wire, context))?;
        Pin::new(&mut self.wire).poll_flush(context)
    }
}

/// Gives the reader as much as it has room for, and says how much that is.
pub(crate) fn fill(buffer: &mut ReadBuf<'_>, bytes: &[u8]) -> usize {
    let length = bytes.len().min(buffer.remaining());
    buffer.put_slice(&bytes[..length]);
    length
}

impl AsyncRead for FrameStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_read(context, buffer),
            Self::DeflateStream(deflated) => deflated.poll_read(context, buffer),
            Self::Base64Stream(text) => Pin::new(&mut text.wire).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for FrameStream {
    #[inline]
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_write(context, bytes),
            Self::DeflateStream(deflated) => deflated.poll_write(context, bytes),
            Self::Base64Stream(text) => text.poll_write(context, bytes),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_flush(context),
            Self::DeflateStream(deflated) => deflated.poll_flush(context),
            Self::Base64Stream(text) => text.poll_flush(context),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(tcp) => Pin::new(tcp).poll_shutdown(context),
            Self::DeflateStream(deflated) => Pin::new(&mut deflated.tcp).poll_shutdown(context),
            Self::Base64Stream(text) => Pin::new(&mut text.wire).poll_shutdown(context),
        }
    }
}
