//! The queues of this pod's sockets: what is sent goes in there, and socketioxide writes it.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use metrics::counter;
use socketioxide_core::{
    Sid, Value,
    adapter::{BroadcastFlags, BroadcastOptions, errors::SocketError},
    packet::{Packet, PacketData},
    parser::Parse,
};

use super::Members;
use crate::{
    backplane::{Target, Watch, acks::Acks, slow::size, watch::Watched},
    telemetry::metrics::PACKETS_DROPPED,
};

/// Sends to the sockets of a namespace.
#[derive(Clone, Copy)]
pub struct Queues<'a>(pub(super) &'a Members);

impl Queues<'_> {
    /// Puts an event in the queue of each socket that it is for, but for `from`.
    pub fn emit(
        self,
        payload: Value,
        target: &Target,
        from: Option<Sid>,
        volatile: bool,
    ) -> Result<(), Vec<SocketError>> {
        if self.0.recipients().nobody(target) {
            return Ok(());
        }
        self.announce(&payload, target, from);
        let bytes = size(&payload);
        let packet = Packet::event(self.0.local.path().clone(), payload);
        let emitted =
            self.0.local.broadcast(packet, self.0.recipients().audience(target, from, volatile));
        let gets = |socket| Some(socket) != from && self.0.recipients().is_for(socket, target);
        if !volatile {
            self.note(target, gets, bytes);
        }
        emitted.inspect_err(|errors| {
            let full = |error: &&SocketError| matches!(error, SocketError::InternalChannelFull);
            let full = errors.iter().filter(full).count();
            self.overflowed(self.0.shared.slow.most_behind(full, gets));
        })
    }

    /// The same, and each client is asked for an answer. Says how many were asked.
    pub fn emit_with_ack(self, payload: Value, target: &Target, timeout: Duration) -> (Acks, u32) {
        self.announce(&payload, target, None);
        self.note(target, |socket| self.0.recipients().is_for(socket, target), size(&payload));
        let packet = Packet::event(self.0.local.path().clone(), payload);
        let options = self.0.recipients().audience(target, None, false);
        let (acks, asked) = self.0.local.broadcast_with_ack(packet, options, Some(timeout));
        (Acks::new(acks, asked), asked)
    }

    /// Puts a packet in the queue of one socket, or drops it if it is volatile and the client not ready. It fails also if too
    /// many bytes wait.
    pub fn send(self, socket: Sid, packet: Packet, volatile: bool) -> Result<(), SocketError> {
        let bytes = match &packet.inner {
            PacketData::Event(payload, _) | PacketData::BinaryEvent(payload, _) => {
                self.announce_to(socket, payload);
                size(payload)
            }
            PacketData::EventAck(payload, _) | PacketData::BinaryAck(payload, _) => size(payload),
            _ => 0,
        };
        // Without rooms and flags, it is for this socket alone.
        let mut options = BroadcastOptions::new(socket);
        if volatile {
            options.add_flag(BroadcastFlags::Volatile);
        }
        let sent = self.0.local.broadcast(packet, options);
        sent.map_err(|errors| errors.into_iter().next().unwrap_or(SocketError::Closed))?;
        match volatile || self.has_room(socket, bytes) {
            true => Ok(()),
            false => Err(SocketError::InternalChannelFull),
        }
    }

    /// The same, and its client is asked for an answer.
    pub fn ask(self, socket: Sid, event: Value, timeout: Duration) -> Result<Acks, SocketError> {
        self.announce_to(socket, &event);
        if !self.has_room(socket, size(&event)) {
            return Err(SocketError::InternalChannelFull);
        }
        let packet = Packet::event(self.0.local.path().clone(), event);
        let options = BroadcastOptions::new(socket);
        let (acks, asked) = self.0.local.broadcast_with_ack(packet, options, Some(timeout));
        if asked == 0 { Err(SocketError::Closed) } else { Ok(Acks::new(acks, asked)) }
    }

    /// Has the connection of one of these sockets tell when it has written an event, if one of a few can.
    pub fn watch(
        self,
        sockets: &[Sid],
        begin: usize,
        payload: &Value,
        watched: &Watched<'_>,
    ) -> Option<Arc<Watch>> {
        const FEW: usize = 4;
        let packet = Packet::event(self.0.local.path().clone(), payload.clone());
        let packet = Parse::encode(self.0.local.parser(), packet);
        let watch = Watch::new(&packet, watched);
        let (before, after) = sockets.split_at(begin.min(sockets.len()));
        let mut few = after.iter().chain(before).take(FEW);
        let watches =
            |socket: &Sid| self.0.lookup().member(*socket).is_some_and(|one| one.watch(&watch));
        few.any(watches).then_some(watch)
    }

    /// Disconnects sockets from the namespace.
    pub fn disconnect(self, target: &Target) {
        if !self.0.recipients().nobody(target) {
            // Who cannot be told is gone already.
            let _ =
                self.0.local.disconnect_socket(self.0.recipients().options(target, None, false));
        }
    }

    /// From now on, the sockets of the namespace hear of what they are sent.
    pub fn listen(self) {
        self.0.listens.store(true, Ordering::Release);
    }

    /// Counts a packet for those that are behind, and ends those for which too much waits. An emit costs as much as it has
    /// recipients, or as there are sockets behind, whatever is less: polling clients are behind between their polls.
    fn note(self, target: &Target, gets: impl Fn(Sid) -> bool, bytes: usize) {
        let behind = self.0.shared.slow.count();
        if behind == 0 {
            return;
        }
        let full = if self.0.recipients().most(target) < behind {
            let sockets =
                self.0.recipients().matching(target).into_iter().filter(|socket| gets(*socket));
            self.0.shared.slow.note(sockets.collect::<Vec<_>>(), bytes)
        } else {
            self.0.shared.slow.note_all(gets, bytes)
        };
        if !full.is_empty() {
            counter!(PACKETS_DROPPED.name, "reason" => "queue full").increment(full.len() as u64);
            self.overflowed(full);
        }
    }

    fn overflowed(self, sockets: Vec<Sid>) {
        for socket in sockets {
            if let Some(member) = self.0.lookup().member(socket) {
                member.overflowed();
            }
        }
    }

    /// Counts a packet of so many bytes for a socket, if that is behind.
    fn has_room(self, socket: Sid, bytes: usize) -> bool {
        self.0.shared.slow.count() == 0 || self.0.shared.slow.note([socket], bytes).is_empty()
    }

    fn announce(self, event: &Value, target: &Target, from: Option<Sid>) {
        if self.0.listens.load(Ordering::Acquire) {
            let sockets = self.0.local.sockets(self.0.recipients().audience(target, from, false));
            sockets.into_iter().for_each(|socket| self.announce_to(socket, event));
        }
    }

    fn announce_to(self, socket: Sid, event: &Value) {
        if self.0.listens.load(Ordering::Acquire)
            && let Some(member) = self.0.lookup().member(socket)
        {
            member.outgoing(event);
        }
    }
}
