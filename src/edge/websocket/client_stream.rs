//! The stream of one WebSocket, from the handshake to its end.
//!
//! Gap: socketioxide has no call that closes one connection's transport. `Socket::disconnect` tells
//! the stock client to stay away; `SocketIo::close` takes the namespaces with it, runs no disconnect
//! handlers, and leaves sockets and namespaces in a cycle that is never freed. Way round: when a
//! connection is to end, the stream ends *for socketioxide* in the client's name, with an
//! Engine.IO close packet. socketioxide then does all that it does when a client leaves: it writes
//! what is queued, closes the WebSocket, and runs the disconnect handlers. The client sees its
//! transport closed, and comes back.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    opening::Opening, probe, read_ahead::ReadAhead, transport::FrameStream,
    upgraded_session::UpgradedSession,
};
use crate::{
    edge::{
        connections::{close_reason::CloseReason, connection::Connection, traffic},
        frames::{
            base64_to_binary::Base64ToBinary,
            frame_counter::{CLOSE, FrameCounter},
            message_tracker::MessageTracker,
            opening_frames::{ChangedFrames, OpeningChange, with_refusals},
        },
        streams::timer::Timer,
    },
    tasks,
};

/// A client's text frame with the Engine.IO packet `1` (close), masked with zeros.
const CLOSE_PACKET: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'1'];
/// The same with `3` (pong).
const PONG: &[u8] = &[0x81, 0x81, 0, 0, 0, 0, b'3'];
/// Bytes that are read of a client while it is behind, beyond those that it takes meanwhile. Whoever answers what it
/// sends (tungstenite its pings, handlers its events) queues no more than the answers to so much. Not none: a client
/// that reads slowly shows with what it sends that it lives.
const READ_BEHIND: u16 = 16 * 1024;

// Each connection has one; one byte more would take the allocator's next larger place.
#[cfg(target_pointer_width = "64")]
const _: () = assert!(size_of::<ClientStream>() <= 152);

pub(super) struct ClientStream {
    wire: FrameStream,
    read_ahead: ReadAhead,
    frames: MessageTracker,
    /// Runs while a message of the client is unfinished.
    unfinished: Timer,
    /// Runs while the client takes nothing of what is written to it.
    unread: Timer,
    connection: Arc<Connection>,
    /// The polling session that this stream upgrades; dropping it ends it.
    session: Option<Box<UpgradedSession>>,
    wrote_close_packet: bool,
    /// While something of what is written is to be changed.
    opening: Option<Box<Opening>>,
    /// The first ping was withheld and is to be answered.
    owes_pong: bool,
    /// The client has not taken all that was written.
    behind: bool,
    /// The client has gone, or is to have nothing more: what is written is dropped.
    over: bool,
    /// Bytes that were read while the client was behind, less those that it has taken.
    unanswered: u16,
    /// The client's probe has been answered: socketioxide answers it once more.
    probed: bool,
    written: FrameCounter,
}

impl ClientStream {
    /// The stream of a connection, and of the polling session that it upgrades, if it does. `read_buf` is what the
    /// client sent right behind its handshake; `base64` reads what it sends as text of its binary packets.
    pub fn new(
        wire: FrameStream,
        read_buf: &[u8],
        base64: Option<Box<Base64ToBinary>>,
        connection: Arc<Connection>,
        session: Option<Box<UpgradedSession>>,
        opening: Option<Box<Opening>>,
    ) -> Self {
        let probed = session.is_some();
        Self {
            wire,
            read_ahead: ReadAhead::new(read_buf, connection.request.eio3, base64, &*connection),
            frames: MessageTracker::default(),
            unfinished: Timer::default(),
            unread: Timer::default(),
            connection,
            session,
            wrote_close_packet: false,
            opening,
            owes_pong: false,
            behind: false,
            over: false,
            unanswered: 0,
            probed,
            written: FrameCounter::default(),
        }
    }

    /// Ends the stream of a client that takes nothing for too long. Gap: the writer of socketioxide
    /// would wait for it for ever, and keep the session from closing.
    fn in_time(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(length)) => {
                self.unread.stop();
                self.took(length);
                return Poll::Ready(Ok(length));
            }
            Poll::Ready(Err(error)) => return self.drop_rest(error),
            Poll::Pending => {}
        }
        self.unread.start(self.connection.registry.timeouts.write);
        let control = &self.connection.stream;
        control.writer.register(context.waker());
        if self.connection.stream.is_discarding() {
            return self.drop_rest(io::ErrorKind::ConnectionAborted.into());
        }
        if !self.behind {
            self.behind = true;
            self.connection.backlog().set(true);
        }
        ready!(self.unread.poll_elapsed(context));
        self.connection.end_stream(CloseReason::WriteTimeout);
        self.drop_rest(io::ErrorKind::TimedOut.into())
    }

    /// The client gets nothing more. Gap: socketioxide goes on with what is queued, and tungstenite copies all of it that
    /// is not taken into a buffer without a bound. So the rest is taken and dropped, from now on and at once.
    fn drop_rest(&mut self, error: io::Error) -> Poll<io::Result<usize>> {
        self.over = true;
        self.unread.stop();
        if let Some(opening) = &mut self.opening {
            opening.frames = Vec::new();
        }
        // Who waits for the client to take something hears that it has gone.
        self.connection.stream.reader.wake();
        Poll::Ready(Err(error))
    }

    /// Whether what is written is to be dropped.
    fn is_over(&self) -> bool {
        self.over || self.connection.stream.is_discarding()
    }

    /// Whether what is written goes out as it is, with nothing before it, as it does to nearly all clients.
    fn passes(&self) -> bool {
        self.opening.is_none() && matches!(self.wire, FrameStream::Plain(_))
    }

    /// Whether so much of the client waits for it to take something that no more is read.
    fn is_read_enough(&self) -> bool {
        self.behind && !self.is_over() && self.unanswered >= READ_BEHIND
    }

    /// The client has taken so much: as much may be read.
    fn took(&mut self, length: usize) {
        if self.unanswered > 0 {
            let waits = self.is_read_enough();
            let length = u16::try_from(length).unwrap_or(u16::MAX);
            self.unanswered = self.unanswered.saturating_sub(length);
            if waits && !self.is_read_enough() {
                self.connection.stream.reader.wake();
            }
        }
    }

    /// So many of these bytes have been written, and some packet is watched for.
    #[cold]
    fn watched(&self, bytes: &[u8], length: usize) {
        let watching = &self.connection.watching;
        watching.wrote(self.written, bytes, length);
        // Otherwise it is so once nothing waits.
        if !self.wire.is_behind() {
            watching.is_written();
        }
    }

    /// Writes frames of the beginning, changed; all of them are taken, and written before any other.
    fn write_opening(
        &mut self,
        context: &mut Context<'_>,
        frames: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(opening) = &mut self.opening else { return Poll::Ready(Ok(0)) };
        let first =
            || self.connection.request.withhold_ping(self.connection.registry.timeouts.ping);
        let mut changed = match &opening.seal {
            Some(seal) => opening.change.apply(frames, seal, first),
            None => ChangedFrames { frames: frames.to_vec(), ping: false, sid: None },
        };
        if self.connection.connects.is_refused() {
            let told;
            (changed.frames, told) = with_refusals(&changed.frames);
            self.connection.connects.told_refusals(told);
        }
        if let Some(sid) = changed.sid {
            self.connection.has_id(sid);
        }
        if changed.ping {
            self.owes_pong = true;
            self.connection.stream.reader.wake();
        }
        if self.connection.watching.is_on() {
            // It is told of once all of the beginning is written, and nothing waits.
            self.connection.watching.wrote(self.written, frames, frames.len());
        }
        traffic::websocket().sent.count(changed.frames.len(), self.written.count(&changed.frames));
        opening.frames = changed.frames;
        match self.flush_opening(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => Poll::Ready(Ok(frames.len())),
        }
    }

    /// Writes what has been taken and not written: what the wire has of a compressed message, and what is left of the
    /// beginning.
    fn catch_up(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.wire.is_behind() {
            // It has been counted as taken.
            let written = self.wire.poll_catch_up(context).map_ok(|()| 0);
            ready!(self.in_time(context, written))?;
        }
        self.flush_opening(context)
    }

    /// Writes what is left of the beginning.
    fn flush_opening(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(opening) = self.opening.as_ref().filter(|opening| !opening.frames.is_empty())
        {
            let written = Pin::new(&mut self.wire).poll_write(context, &opening.frames);
            let written = ready!(self.in_time(context, written))?;
            if let Some(opening) = &mut self.opening {
                opening.frames.drain(..written);
            }
        }
        let changed = self.opening.as_ref().is_some_and(|opening| {
            let settled = opening.seal.is_none() || self.connection.namespaces() > 0;
            opening.change == OpeningChange::Nothing
                && settled
                && !self.connection.connects.is_refused()
        });
        if changed {
            self.opening = None;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the stream for socketioxide: with the packet, or at once in the middle of a frame.
    fn end(&mut self, buffer: &mut ReadBuf<'_>) {
        if !self.wrote_close_packet
            && self.frames.at_boundary()
            && buffer.remaining() >= CLOSE_PACKET.len()
        {
            buffer.put_slice(CLOSE_PACKET);
        }
        self.wrote_close_packet = true;
    }
}

impl Drop for ClientStream {
    fn drop(&mut self) {
        if self.session.is_none() && self.connection.namespaces() == 0 {
            // Otherwise the end of its sockets comes first: it brings the reason.
            self.connection.end();
        }
    }
}

/// What socketioxide has it do.
impl ClientStream {
    /// Does one step for socketioxide, which calls from tasks of its own: they would end with a panic, and the client would
    /// hear nothing until its ping timeout. So the connection breaks at once.
    fn step<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        tasks::attempt("connection", || step(self)).unwrap_or_else(|| {
            self.over = true;
            self.connection.cut_stream(CloseReason::TransportError);
            Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()))
        })
    }

    fn step_read(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // Registered before it is looked at, so that an end in between is not missed.
        let control = &self.connection.stream;
        control.reader.register(context.waker());
        if self.connection.stream.is_ending() {
            self.end(buffer);
            return Poll::Ready(Ok(()));
        }
        if self.is_read_enough() {
            // The writer wakes it; its time-out is the end of a client that takes nothing.
            return Poll::Pending;
        }
        if self.owes_pong && self.frames.at_boundary() && buffer.remaining() >= PONG.len() {
            self.owes_pong = false;
            buffer.put_slice(PONG);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let Self { read_ahead, wire, frames, unfinished, connection, behind, unanswered, .. } =
            self;
        let limit = connection.registry.timeouts.message;
        match read_ahead.poll_read(wire, context, buffer, &**connection) {
            Poll::Ready(read) => read?,
            Poll::Pending => {
                if wire.take_progress() {
                    unfinished.restart(limit);
                } else if read_ahead.holds() || wire.holds() {
                    unfinished.start(limit);
                }
                ready!(unfinished.poll_elapsed(context));
                connection.end_stream(CloseReason::MessageTimeout);
                self.end(buffer);
                return Poll::Ready(Ok(()));
            }
        }
        let received = &buffer.filled()[before..];
        let progress = frames.follow(received);
        traffic::websocket().received.count(received.len(), frames.take_messages());
        if !connection.control_packets.allow(frames.take_others().into()) {
            connection.end_stream(CloseReason::RateLimited);
        }
        if frames.is_malformed() {
            connection.end_stream(CloseReason::ParseError);
        }
        if *behind {
            let length = u16::try_from(received.len()).unwrap_or(u16::MAX);
            *unanswered = unanswered.saturating_add(length);
        }
        if frames.is_complete() && !read_ahead.holds() && !wire.holds() {
            unfinished.stop();
        } else if progress {
            unfinished.restart(limit);
        } else {
            unfinished.start(limit);
        }
        Poll::Ready(Ok(()))
    }

    fn step_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_over() {
            return Poll::Ready(Ok(bytes.len()));
        }
        if std::mem::take(&mut self.probed) && bytes == probe::ANSWER {
            traffic::websocket().sent.count(bytes.len(), 1);
            return Poll::Ready(Ok(bytes.len()));
        }
        if !self.passes() {
            ready!(self.wire.poll_turn(context));
            ready!(self.catch_up(context))?;
        }
        let seen = self.written.look(bytes);
        let all = bytes.len();
        let mut bytes = bytes;
        match seen.close {
            Some(0) => return Poll::Ready(Ok(CLOSE.len())),
            Some(at) => bytes = &bytes[..at],
            None => {}
        }
        if !seen.events && self.opening.is_none() && self.connection.connects.is_refused() {
            match self.written.unfinished() {
                0 => self.opening = Some(Opening::of_refusals()),
                unfinished => bytes = &bytes[..unfinished.min(bytes.len())],
            }
        }
        if self.opening.is_some() {
            return self.write_opening(context, bytes);
        }
        let written = Pin::new(&mut self.wire).poll_write(context, bytes);
        if let Poll::Ready(Ok(length)) = written {
            if self.connection.watching.is_on() {
                self.watched(bytes, length);
            }
            let frames = if length == all {
                self.written = seen.then;
                seen.frames
            } else {
                self.written.count(&bytes[..length])
            };
            traffic::websocket().sent.count(length, frames);
            if self.behind {
                self.connection.watching.took(frames);
            }
        }
        self.in_time(context, written)
    }

    fn step_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.passes() && !self.behind {
            // TCP holds nothing back.
            return Poll::Ready(Ok(()));
        }
        let is_over = self.is_over();
        if !is_over {
            ready!(self.catch_up(context))?;
        }
        // socketioxide flushes when its queue is empty.
        if self.behind {
            let waits = self.is_read_enough();
            self.behind = false;
            self.unanswered = 0;
            self.connection.backlog().set(false);
            if waits {
                self.connection.stream.reader.wake();
            }
        }
        if !is_over && self.connection.watching.is_on() {
            self.connection.watching.is_empty();
        }
        // What is left is for nobody.
        if is_over { Poll::Ready(Ok(())) } else { Pin::new(&mut self.wire).poll_flush(context) }
    }

    fn step_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_over() && self.wire.is_behind() {
            ready!(self.catch_up(context))?;
        }
        Pin::new(&mut self.wire).poll_shutdown(context)
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.step(|stream| stream.step_read(context, buffer))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.step(|stream| stream.step_write(context, bytes))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.step(|stream| stream.step_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.step(|stream| stream.step_shutdown(context))
    }
}
