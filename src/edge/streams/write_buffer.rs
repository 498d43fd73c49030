//! Bytes that are to be written to a stream before all others: those that a rewriter has made of what it was given.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::AsyncWrite;

#[derive(Debug, Default)]
pub(crate) struct WriteBuffer {
    /// All that was put there since it was empty.
    pub bytes: Vec<u8>,
    /// How much of that has been written.
    written: usize,
}

impl WriteBuffer {
    /// What is left.
    pub fn left(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Whether nothing is.
    pub fn is_empty(&self) -> bool {
        self.left().is_empty()
    }

    /// So much of it has been written.
    pub fn wrote(&mut self, length: usize) {
        self.written += length;
        if self.is_empty() {
            // An idle connection keeps none.
            *self = Self::default();
        }
    }

    /// Writes some of it.
    pub fn poll_some(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let written = ready!(Pin::new(stream).poll_write(context, self.left()))?;
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.wrote(written);
        Poll::Ready(Ok(()))
    }

    /// Writes all of it.
    pub fn poll_all(
        &mut self,
        stream: &mut (impl AsyncWrite + Unpin),
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.is_empty() {
            ready!(self.poll_some(stream, context))?;
        }
        Poll::Ready(Ok(()))
    }
}
