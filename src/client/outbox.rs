//! What waits to be sent over one connection. When the connection is lost, so is what waits.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use super::{ClientError, State, engine::Frame, packets::Encoded, transport::Sink};

/// How much may wait.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub packets: usize,
    pub bytes: usize,
    /// The largest that the server takes at once, if it said so.
    pub payload: Option<usize>,
}

/// A bounded queue between those who emit and the task that writes.
pub(super) struct Outbox {
    bounds: Bounds,
    waiting: Mutex<Waiting>,
    changed: Notify,
}

#[derive(Default)]
struct Waiting {
    packets: VecDeque<Encoded>,
    bytes: usize,
    /// An answer to a ping is due. It overtakes what waits, else a long queue would look like a
    /// dead client.
    pong: bool,
    /// The writer shall stop, and go on with what comes through here.
    upgrade: Option<oneshot::Receiver<Sink>>,
    /// Attachments are sent in base64, which makes them longer.
    base64: bool,
    closed: bool,
}

/// What the writer does next.
pub(super) enum Next {
    Send(Vec<Frame>),
    Upgrade(oneshot::Receiver<Sink>),
    Close,
}

impl Outbox {
    pub fn new(bounds: Bounds, base64: bool) -> Arc<Self> {
        let waiting = Mutex::new(Waiting { base64, ..Waiting::default() });
        Arc::new(Self { bounds, waiting, changed: Notify::new() })
    }

    /// Queues what the application sends, within the bounds.
    pub fn push(&self, packet: Encoded) -> Result<(), ClientError> {
        let Bounds { packets, bytes, payload } = self.bounds;
        let mut waiting = self.waiting.lock();
        if waiting.closed {
            return Err(ClientError::NotConnected(State::Reconnecting));
        }
        if let Some(max) = payload {
            let size = largest_frame(&packet, waiting.base64);
            if size > max {
                return Err(ClientError::TooLarge { size, max });
            }
        }
        let full = waiting.packets.len() >= packets || waiting.bytes + packet.size() > bytes;
        // One packet alone may be larger than the queue: else it could never be sent.
        if full && !waiting.packets.is_empty() {
            let (packets, bytes) = (waiting.packets.len(), waiting.bytes);
            return Err(ClientError::QueueFull { packets, bytes });
        }
        waiting.add(packet);
        drop(waiting);
        self.changed.notify_one();
        Ok(())
    }

    /// Queues what the protocol needs. There is one for each call of `connect` or `disconnect`.
    pub fn push_control(&self, packet: Encoded) {
        self.waiting.lock().add(packet);
        self.changed.notify_one();
    }

    pub fn pong(&self) {
        self.waiting.lock().pong = true;
        self.changed.notify_one();
    }

    /// Has the writer stop until the other transport is ready.
    pub fn upgrade(&self, ready: oneshot::Receiver<Sink>) {
        let mut waiting = self.waiting.lock();
        waiting.upgrade = Some(ready);
        waiting.base64 = false;
        drop(waiting);
        self.changed.notify_one();
    }

    /// Nothing more is taken. What waits is written, then the connection is closed.
    pub fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_one();
    }

    /// The connection is lost: what waits goes with it.
    pub fn abandon(&self) {
        *self.waiting.lock() = Waiting { closed: true, ..Waiting::default() };
    }

    /// Waits for something to do. Takes packets until they are `enough` bytes, at least one.
    pub async fn next(&self, enough: usize) -> Next {
        loop {
            if let Some(next) = self.waiting.lock().take(enough) {
                return next;
            }
            self.changed.notified().await;
        }
    }
}

impl Waiting {
    fn add(&mut self, packet: Encoded) {
        self.bytes += packet.size();
        self.packets.push_back(packet);
    }

    fn take(&mut self, enough: usize) -> Option<Next> {
        if let Some(ready) = self.upgrade.take() {
            return Some(Next::Upgrade(ready));
        }
        let mut frames = Vec::new();
        if std::mem::take(&mut self.pong) {
            frames.push(Frame::Pong);
        }
        let mut taken = 0;
        while let Some(packet) = self.packets.front() {
            if taken > 0 && taken + packet.size() > enough {
                break;
            }
            taken += packet.size();
            if let Some(Encoded { text, attachments }) = self.packets.pop_front() {
                frames.push(Frame::Text(text));
                frames.extend(attachments.into_iter().map(Frame::Binary));
            }
        }
        self.bytes -= taken;
        match frames.is_empty() {
            false => Some(Next::Send(frames)),
            true => self.closed.then_some(Next::Close),
        }
    }
}

fn largest_frame(packet: &Encoded, base64: bool) -> usize {
    let attachment = |bytes: &bytes::Bytes| match base64 {
        true => Frame::Binary(bytes.clone()).size_in_body(),
        false => bytes.len(),
    };
    packet.attachments.iter().map(attachment).fold(packet.text.len() + 1, usize::max)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn packet(size: usize) -> Encoded {
        Encoded { text: vec![b'x'; size].into(), attachments: Vec::new() }
    }

    fn outbox(packets: usize, bytes: usize, payload: Option<usize>) -> Arc<Outbox> {
        Outbox::new(Bounds { packets, bytes, payload }, true)
    }

    #[tokio::test]
    async fn it_is_bounded_and_a_large_packet_still_goes() {
        let outbox = outbox(2, 10, None);
        outbox.push(packet(100)).unwrap();
        let full = outbox.push(packet(1));
        assert!(matches!(full, Err(ClientError::QueueFull { packets: 1, bytes: 100 })));
        assert!(matches!(outbox.next(5).await, Next::Send(frames) if frames.len() == 1));
        outbox.push(packet(5)).unwrap();
        outbox.push(packet(5)).unwrap();
        assert!(matches!(outbox.push(packet(0)), Err(ClientError::QueueFull { .. })));
        outbox.pong();
        let Next::Send(frames) = outbox.next(5).await else { panic!() };
        assert!(matches!(frames[..], [Frame::Pong, Frame::Text(_)]));
        outbox.close();
        assert!(matches!(outbox.push(packet(0)), Err(ClientError::NotConnected(_))));
        assert!(matches!(outbox.next(5).await, Next::Send(frames) if frames.len() == 1));
        assert!(matches!(outbox.next(5).await, Next::Close));
    }

    #[test]
    fn what_the_server_would_not_take_is_refused_here() {
        let outbox = outbox(10, 1000, Some(40));
        outbox.push(packet(39)).unwrap();
        assert!(matches!(
            outbox.push(packet(40)),
            Err(ClientError::TooLarge { size: 41, max: 40 })
        ));
        let attachment = || Encoded {
            text: Bytes::from_static(b"2[]"),
            attachments: vec![Bytes::from(vec![0; 31])],
        };
        // 44 characters of base64, and the letter before them.
        let refused = outbox.push(attachment());
        assert!(matches!(refused, Err(ClientError::TooLarge { size: 45, max: 40 })));
        outbox.upgrade(oneshot::channel().1);
        outbox.push(attachment()).unwrap();
    }
}
