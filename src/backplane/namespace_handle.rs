//! A namespace on all servers: everything that reaches a room goes through here, whoever asked for it.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use serde::Serialize;
use serde_json::Value as Json;
use socketioxide_core::{Str, Value};

use super::{
    Answered, Backplane, ClientAnswers, Cluster, ClusterError, Emit, EncodeError, LocalNamespace,
    Pods, Publishing, RemoteSocket, Target, UnknownNamespace,
    cluster::{describe, local_answers},
    delivery::{Arrived, deliver},
    members::Members,
    payload, traced,
    wire::{Broadcast, Message},
};

/// A namespace that exists, on this pod or as a child that other pods may have.
pub struct NamespaceHandle<'a> {
    pub(super) backplane: &'a Backplane,
    pub(super) name: &'a str,
    /// Nothing for a child of a dynamic namespace that nobody of this pod is in.
    pub(super) members: Option<Arc<Members>>,
}

impl NamespaceHandle<'_> {
    /// The part of it that this pod has.
    pub fn here(&self) -> Option<LocalNamespace> {
        self.members.clone().map(LocalNamespace)
    }

    /// Writes an event as the parser of the pod does. A tuple is several arguments.
    ///
    /// # Errors
    /// If its arguments cannot be written, or not be read by all that it may be for.
    pub fn encode<T: Serialize + ?Sized>(
        &self,
        event: &str,
        arguments: &T,
    ) -> Result<Value, EncodeError> {
        let namespaces = &self.backplane.namespaces;
        // All have the same parser.
        let any = self.members.clone().or_else(|| namespaces.any());
        let any = any.ok_or_else(|| UnknownNamespace(self.name.to_owned()))?;
        payload::encode(&any.local, namespaces.shared.bounds, event, arguments)
    }

    /// Puts an emit in the queue of each socket that it is for, and sends it to the other pods.
    ///
    /// What cannot be queued or sent is counted and logged: there is nobody to tell.
    pub fn emit(self, mut emit: Emit) {
        let arrived = Arrived::now();
        let _sending = traced::sending(self.name, &mut emit);
        if let Some(cluster) = self.cluster()
            && let Err(error) = cluster.publisher().emit(&self.path(), &emit, &arrived)
        {
            tracing::debug!(%error, "an emit did not go to other pods");
        }
        if let Some(members) = self.members {
            let giving = traced::giving(&members, &emit);
            let _here = giving.enter();
            deliver(&members, emit, arrived);
        }
    }

    /// The same for a publisher that can be told: when it is done, it reaches the sockets of this pod only if
    /// the other pods get it too, or will get it when Redis is back. Emits of one publisher reach each
    /// socket in the order in which they began if it waits for them in that order.
    pub fn begin(self, mut emit: Emit) -> Result<Publishing, ClusterError> {
        let arrived = Arrived::now();
        let span = traced::sending(self.name, &mut emit);
        let receipt = match self.cluster() {
            Some(cluster) => cluster.publisher().begin(&self.path(), &emit, &arrived)?,
            None => None,
        };
        Ok(Publishing { members: self.members, emit, arrived, receipt, span })
    }

    /// Emits, and collects what the clients answer within `timeout`.
    pub async fn emit_with_ack(self, mut emit: Emit, timeout: Duration) -> Answered<ClientAnswers> {
        let _sending = traced::sending(self.name, &mut emit);
        // A socket is also a room, of which it alone is a member.
        emit.target.except.extend(emit.from.map(|socket| socket.to_string()));
        let members = self.members.as_deref();
        let _giving = members.map(|members| traced::giving(members, &emit));
        let Some(cluster) = self.cluster() else {
            let Emit { payload, target, source, .. } = emit;
            return alone(local_answers(members, payload, &target, source, timeout).await);
        };
        let broadcast = Broadcast {
            payload: emit.payload,
            target: emit.target,
            volatile: false,
            ask: None,
            // Who asks for answers asks for nothing else.
            meta: emit.traceparent.and_then(|trace| Arrived::now().stamp(Some(trace), false)),
        };
        cluster.asks().emit_with_ack(self.name, members, broadcast, emit.source, timeout).await
    }

    /// The sockets of a target, on all servers.
    pub async fn fetch_sockets(self, target: &Target) -> Answered<Vec<RemoteSocket>> {
        let members = self.members.as_deref();
        match self.cluster() {
            Some(cluster) => cluster.asks().fetch_sockets(self.name, members, target).await,
            None => alone(members.map(|here| describe(None, here, target)).unwrap_or_default()),
        }
    }

    /// The rooms that have members, on all servers.
    pub async fn rooms(self) -> Answered<BTreeSet<String>> {
        let members = self.members.as_deref();
        match self.cluster() {
            Some(cluster) => cluster.asks().rooms(self.name, members).await,
            None => {
                alone(members.into_iter().flat_map(|members| members.lookup().rooms()).collect())
            }
        }
    }

    /// Puts sockets in rooms, on all servers.
    pub async fn join_all(self, target: Target, rooms: Vec<String>) -> Result<(), ClusterError> {
        let message = Message::Join { target: target.clone(), rooms: rooms.clone() };
        self.tell(&message).await?;
        if let Some(members) = self.members {
            members.join_all(&target, rooms);
        }
        Ok(())
    }

    /// Takes sockets out of rooms, on all servers.
    pub async fn leave_all(self, target: Target, rooms: Vec<String>) -> Result<(), ClusterError> {
        let message = Message::Leave { target: target.clone(), rooms: rooms.clone() };
        self.tell(&message).await?;
        if let Some(members) = self.members {
            members.leave_all(&target, rooms);
        }
        Ok(())
    }

    /// Disconnects sockets, on all servers; with `close`, their connections end.
    pub async fn disconnect_all(self, target: Target, close: bool) -> Result<(), ClusterError> {
        self.tell(&Message::Disconnect { target: target.clone(), close }).await?;
        if let Some(members) = self.members {
            self.backplane.namespaces.disconnect_all(&members, &target, close);
        }
        Ok(())
    }

    /// Sends an event to the other servers themselves.
    pub fn server_side_emit(self, arguments: Vec<Json>) -> Result<(), ClusterError> {
        if let Some(cluster) = self.cluster() {
            let message = Message::ServerSideEmit { arguments, question: None };
            cluster.publisher().send(self.name, &message, None)?;
        }
        Ok(())
    }

    /// The same, and collects what they answer.
    pub async fn server_side_ask(self, arguments: Vec<Json>) -> Answered<Vec<Json>> {
        match self.cluster() {
            Some(cluster) => cluster.asks().server_side_ask(self.name, arguments).await,
            None => alone(Vec::new()),
        }
    }

    async fn tell(&self, message: &Message) -> Result<(), ClusterError> {
        match self.cluster() {
            Some(cluster) => cluster.publisher().tell(self.name, message).await,
            None => Ok(()),
        }
    }

    fn cluster(&self) -> Option<&Arc<Cluster>> {
        self.backplane.cluster.as_ref()
    }

    /// Its name, to keep: without a copy if it is here.
    fn path(&self) -> Str {
        let here = self.members.as_ref().map(|members| members.local.path().clone());
        here.unwrap_or_else(|| self.name.to_owned().into())
    }
}

/// The answer of a pod on its own.
fn alone<T>(answer: T) -> Answered<T> {
    Answered { answer, pods: Pods { asked: 1, silent: 0 } }
}
