//! The adapter that socketioxide asks for one of per namespace: the sockets of this pod.

use std::{convert::Infallible, sync::Arc, time::Duration};

use socketioxide::adapter::Emitter;
use socketioxide_core::{
    adapter::{BroadcastOptions, CoreAdapter, CoreLocalAdapter, DefinedAdapter, SocketEmitter},
    packet::Packet,
};

use super::{Backplane, members::Local, namespaces::Namespaces};

/// One namespace in the [`Backplane`].
///
/// socketioxide's own `LocalAdapter` would do, but it cannot be reached from outside: here each
/// namespace is also known to the backplane, which can then emit a packet as it is.
pub struct Adapter {
    local: Local,
    namespaces: Arc<Namespaces>,
}

impl CoreAdapter<Emitter> for Adapter {
    type Error = Infallible;
    type State = Backplane;
    type AckStream = <Emitter as SocketEmitter>::AckStream;
    type InitRes = ();

    fn new(backplane: &Backplane, local: CoreLocalAdapter<Emitter>) -> Self {
        Self { local: Arc::new(local), namespaces: backplane.namespaces.clone() }
    }

    fn init(self: Arc<Self>, on_success: impl FnOnce() + Send + 'static) {
        self.namespaces.register(self.local.clone(), on_success);
    }

    async fn broadcast_with_ack(
        &self,
        packet: Packet,
        options: BroadcastOptions,
        timeout: Option<Duration>,
    ) -> Result<Self::AckStream, Self::Error> {
        Ok(self.local.broadcast_with_ack(packet, options, timeout).0)
    }

    fn get_local(&self) -> &CoreLocalAdapter<Emitter> {
        &self.local
    }
}

impl DefinedAdapter for Adapter {}
