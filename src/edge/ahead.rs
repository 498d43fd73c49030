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

/// What has been read of a stream, and not been asked for yet: nothing, most of the time and of most streams.
#[derive(Debug)]
pub(super) struct Ahead(Option<Box<Bytes>>);

impl Ahead {
    /// These bytes come first. They are copied: a slice of hyper's buffer would keep all of that.
    pub fn new(early: &[u8]) -> Self {
        let mut ahead = Self(None);
        ahead.keep(early);
        ahead
    }

    /// Reads what is there, as much as the reader has room for.
    pub fn poll_read(
        &mut self,
        tcp: &mut TcpStream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(ahead) = &mut self.0 {
            // As if it came from the system: who has much to read lets others have their turn, above all those who
            // write what is read here.
            let turn = ready!(tokio::task::coop::poll_proceed(context));
            turn.made_progress();
            let length = ahead.len().min(buffer.remaining());
            buffer.put_slice(&ahead.split_to(length));
            if !ahead.has_remaining() {
                self.0 = None;
            }
            return Poll::Ready(Ok(()));
        }
        LARGE.with_borrow_mut(|large| {
            let mut large = ReadBuf::new(large);
            ready!(Pin::new(tcp).poll_read(context, &mut large))?;
            let read = large.filled();
            let (now, later) = read.split_at(read.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.keep(later);
            Poll::Ready(Ok(()))
        })
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0 = Some(Box::new(Bytes::copy_from_slice(bytes)));
        }
    }
}
