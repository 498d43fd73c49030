//! Reading more of a stream at once than its reader has room for.
//!
//! An idle connection costs the buffer that socketioxide reads into, so that is small; and then a message of some
//! kilobytes would take a system call for each of its pieces. So the threads have a large buffer each, and what
//! is left in it is kept until the reader comes for it, which it does at once.

use std::{
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::{
    io::{AsyncRead, ReadBuf},
    net::TcpStream,
};

/// Bytes that one system call reads at most.
const AT_ONCE: usize = 16 * 1024;

thread_local! {
    static LARGE: RefCell<Vec<u8>> = RefCell::new(vec![0; AT_ONCE]);
}

/// What has been read of a stream, and not been asked for yet.
#[derive(Debug)]
pub(super) struct Ahead(Bytes);

impl Ahead {
    /// These bytes come first. They are copied: a slice of hyper's buffer would keep all of that.
    pub fn new(early: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(early))
    }

    /// Reads what is there, as much as the reader has room for.
    pub fn poll_read(
        &mut self,
        tcp: &mut TcpStream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0.has_remaining() {
            let length = self.0.len().min(buffer.remaining());
            buffer.put_slice(&self.0.split_to(length));
            return Poll::Ready(Ok(()));
        }
        LARGE.with_borrow_mut(|large| {
            let mut large = ReadBuf::new(large);
            ready!(Pin::new(tcp).poll_read(context, &mut large))?;
            let read = large.filled();
            let (now, later) = read.split_at(read.len().min(buffer.remaining()));
            buffer.put_slice(now);
            if !later.is_empty() {
                self.0 = Bytes::copy_from_slice(later);
            }
            Poll::Ready(Ok(()))
        })
    }
}
