//! Reading more of a stream at once than its reader has room for.
//!
//! An idle connection costs the buffer that socketioxide reads into, so that is small; and then a message of some
//! kilobytes would take a system call for each of its pieces. So the threads have a large buffer each, and what
//! is left in it is kept until the reader comes for it, which it does at once.

use std::{
    borrow::Cow,
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

use super::connect_frames::ConnectFrames;

/// Bytes that one system call reads at most.
const AT_ONCE: usize = 16 * 1024;

thread_local! {
    static LARGE: RefCell<Vec<u8>> = RefCell::new(vec![0; AT_ONCE]);
}

/// What has been read of a stream, and not been asked for yet: nothing, most of the time and of most streams.
#[derive(Debug)]
pub(super) struct Ahead(Option<Box<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Bytes,
    /// Of a client of version 2: what is changed of what it sends.
    connects: Option<ConnectFrames>,
}

impl Ahead {
    /// These bytes come first. They are copied: a slice of hyper's buffer would keep all of that. Of a client of Engine.IO
    /// v3, what it sends is looked through for what is to be changed.
    pub fn new(early: &[u8], eio3: bool) -> Self {
        let connects = eio3.then(ConnectFrames::default);
        let mut ahead = Self(eio3.then(|| Box::new(Kept { connects, ..Kept::default() })));
        let early = ahead.changed(early);
        ahead.keep(&early);
        ahead
    }

    /// Reads what is there, as much as the reader has room for.
    pub fn poll_read(
        &mut self,
        tcp: &mut TcpStream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(Kept { bytes: ahead, connects }) = self.0.as_deref_mut()
            && ahead.has_remaining()
        {
            // As if it came from the system: who has much to read lets others have their turn, above all those who
            // write what is read here.
            let turn = ready!(tokio::task::coop::poll_proceed(context));
            turn.made_progress();
            let length = ahead.len().min(buffer.remaining());
            buffer.put_slice(&ahead.split_to(length));
            if !ahead.has_remaining() {
                // What it was sliced from goes, too.
                *ahead = Bytes::new();
                if connects.is_none() {
                    self.0 = None;
                }
            }
            return Poll::Ready(Ok(()));
        }
        LARGE.with_borrow_mut(|large| {
            loop {
                let mut large = ReadBuf::new(large);
                ready!(Pin::new(&mut *tcp).poll_read(context, &mut large))?;
                let is_over = large.filled().is_empty();
                let read = self.changed(large.filled());
                if read.is_empty() && !is_over {
                    // More of it is to come first.
                    continue;
                }
                let (now, later) = read.split_at(read.len().min(buffer.remaining()));
                buffer.put_slice(now);
                self.keep(later);
                return Poll::Ready(Ok(()));
            }
        })
    }

    fn changed<'a>(&mut self, read: &'a [u8]) -> Cow<'a, [u8]> {
        match self.0.as_deref_mut() {
            Some(Kept { connects: Some(connects), .. }) => connects.pass(read).into(),
            _ => read.into(),
        }
    }

    fn keep(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.0.get_or_insert_default().bytes = Bytes::copy_from_slice(bytes);
        }
    }
}
