//! Reading more of a stream at once than its reader has room for.
//!
//! An idle connection costs the buffer that socketioxide reads into, so that is small; and then a message of some
//! kilobytes would take a system call for each of its pieces. So the threads have a large buffer each, and what
//! is left in it is kept until the reader comes for it, which it does at once. What is given to the reader has passed
//! [`IncomingFrames`].

use std::{
    borrow::Cow,
    cell::RefCell,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, ReadBuf};

use super::transport::{FrameStream, fill};
use crate::edge::{
    frames::{
        base64_to_binary::Base64ToBinary, connect_query_frames::ConnectQueryFrames,
        incoming::IncomingFrames,
    },
    packets::namespace_connect::ClientNamespaces,
};

/// Bytes that one system call reads at most.
const AT_ONCE: usize = 16 * 1024;

thread_local! {
    static LARGE: RefCell<Vec<u8>> = RefCell::new(vec![0; AT_ONCE]);
}

/// What has been read of a stream, and not been asked for yet: nothing, most of the time and of most streams.
#[derive(Debug)]
pub(super) struct ReadAhead(Option<Box<Buffered>>);

#[derive(Debug, Default)]
struct Buffered {
    /// What the reader has not come for.
    bytes: Bytes,
    /// Of a client that sends binary as text.
    base64: Option<Box<Base64ToBinary>>,
    /// Of a client of version 2: what is changed of what it sends.
    connects: Option<ConnectQueryFrames>,
    names: IncomingFrames,
}

impl Buffered {
    /// Whether it is kept as long as the stream is.
    fn is_for_life(&self) -> bool {
        self.connects.is_some() || self.base64.is_some()
    }
}

impl ReadAhead {
    /// These bytes come first. They are copied: a slice of hyper's buffer would keep all of that. Of a client of Engine.IO
    /// v3, and of one that sends binary as text, what it sends is looked through for what is to be changed.
    pub fn new(
        read_buf: &[u8],
        eio3: bool,
        base64: Option<Box<Base64ToBinary>>,
        namespaces: &impl ClientNamespaces,
    ) -> Self {
        let kept = Buffered {
            base64,
            connects: eio3.then(ConnectQueryFrames::default),
            ..Buffered::default()
        };
        let mut ahead = Self(kept.is_for_life().then(|| Box::new(kept)));
        ahead.take(read_buf, namespaces, |_| 0);
        ahead
    }

    /// Whether the client has begun what it has not sent enough of to be read.
    pub fn holds(&self) -> bool {
        self.0.as_ref().is_some_and(|kept| {
            kept.names.holds()
                || kept.connects.as_ref().is_some_and(ConnectQueryFrames::holds)
                || kept.base64.as_ref().is_some_and(|base64| base64.holds())
        })
    }

    /// Reads what is there, as much as the reader has room for. What waits until the client is let in a namespace is not
    /// there: the reader is to be woken when it is.
    pub fn poll_read(
        &mut self,
        wire: &mut FrameStream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
        namespaces: &impl ClientNamespaces,
    ) -> Poll<io::Result<()>> {
        if let Some(kept) = self.0.as_deref_mut()
            && !kept.bytes.is_empty()
        {
            // As if it came from the system: who has much to read lets others have their turn, above all those who
            // write what is read here.
            let turn = ready!(tokio::task::coop::poll_proceed(context));
            turn.made_progress();
            let given = fill(buffer, &kept.bytes);
            kept.bytes.advance(given);
            if kept.bytes.is_empty() {
                // What it was part of is let go.
                kept.bytes = Bytes::new();
                if kept.names.is_idle() && !kept.is_for_life() {
                    self.0 = None;
                }
            }
            return Poll::Ready(Ok(()));
        }
        LARGE.with_borrow_mut(|large| {
            loop {
                let awaited = self.0.as_ref().and_then(|kept| kept.names.awaited());
                if let Some(namespace) = awaited {
                    if namespaces.is_connecting(namespace) {
                        return Poll::Pending;
                    }
                    if self.take(&[], namespaces, |passed| fill(buffer, passed)) > 0 {
                        return Poll::Ready(Ok(()));
                    }
                    continue;
                }
                let mut large = ReadBuf::new(large);
                ready!(Pin::new(&mut *wire).poll_read(context, &mut large))?;
                let taken = self.take(large.filled(), namespaces, |passed| fill(buffer, passed));
                // Nothing is the end, for the reader.
                if taken > 0 || large.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
            }
        })
    }

    /// Takes what came of the client: `give` gets it, and says how much of it is not to be kept.
    fn take(
        &mut self,
        bytes: &[u8],
        namespaces: &impl ClientNamespaces,
        give: impl FnOnce(&[u8]) -> usize,
    ) -> usize {
        let mut fresh = Buffered::default();
        let kept = self.0.as_deref_mut().unwrap_or(&mut fresh);
        let mut bytes = Cow::Borrowed(bytes);
        if let Some(base64) = &mut kept.base64 {
            bytes = base64.pass(&bytes).into();
        }
        if let Some(connects) = &mut kept.connects {
            bytes = connects.pass(&bytes).into();
        }
        let passed = kept.names.pass(&bytes, namespaces);
        let idle = kept.names.is_idle() && !kept.is_for_life();
        let given = give(&passed);
        let later = &passed[given..];
        if later.is_empty() && idle {
            self.0 = None;
        } else {
            let kept = self.0.get_or_insert_with(|| Box::new(fresh));
            kept.bytes = Bytes::copy_from_slice(later);
        }
        given
    }
}
