//! A time-out of writes, around any stream. While the other side reads, no timer runs.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::timer::Timer;

/// The other side has read nothing for the time-out.
#[derive(Debug, thiserror::Error)]
#[error("the other side takes nothing")]
struct WriteTimedOut;

/// Whether an error is of this time-out. TCP has time-outs of its own, whose errors look alike.
pub(crate) fn is_write_timeout(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<WriteTimedOut>())
}

/// A stream whose writes fail when nothing of them is taken for a limit.
pub(crate) struct WriteTimeout<S> {
    stream: S,
    limit: Duration,
    unread: Timer,
}

impl<S: Unpin> WriteTimeout<S> {
    pub fn new(stream: S, limit: Duration) -> Self {
        Self { stream, limit, unread: Timer::default() }
    }

    pub fn into_inner(self) -> S {
        self.stream
    }

    fn in_time<T>(
        &mut self,
        context: &mut Context<'_>,
        write: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let written = write(Pin::new(&mut self.stream), context);
        if written.is_ready() {
            self.unread.stop();
            return written;
        }
        self.unread.start(self.limit);
        ready!(self.unread.poll_elapsed(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, WriteTimedOut)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WriteTimeout<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WriteTimeout<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context, |stream, context| stream.poll_write(context, bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.in_time(context, |stream, context| stream.poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const LIMIT: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_given_up() {
        let (ours, _theirs) = duplex(4);
        let error = WriteTimeout::new(ours, LIMIT).write_all(b"more than fits").await.unwrap_err();
        assert!(is_write_timeout(&error));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_is_waited_for() {
        let (ours, mut theirs) = duplex(1);
        let mut ours = WriteTimeout::new(ours, LIMIT);
        let reading = async {
            let mut seen = [0; 8];
            for byte in &mut seen {
                tokio::time::sleep(LIMIT * 3 / 4).await;
                *byte = theirs.read_u8().await.unwrap();
            }
            seen
        };
        let (written, seen) = tokio::join!(ours.write_all(b"12345678"), reading);
        written.unwrap();
        assert_eq!(&seen, b"12345678");
    }
}
