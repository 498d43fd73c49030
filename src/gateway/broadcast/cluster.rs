//! A namespace on all servers of a cluster, for handlers.

use serde_json::Value;

use crate::backplane::{
    Answered, Backplane, BackplaneError, RemoteSocket, Target, UnknownNamespace,
};

/// A namespace on all servers of its cluster, those on Node among them. It outlives the handler.
#[derive(Clone)]
pub struct Cluster {
    backplane: Backplane,
    namespace: String,
}

impl Cluster {
    pub(in crate::gateway) fn new(backplane: Backplane, namespace: &str) -> Self {
        Self { backplane, namespace: namespace.to_owned() }
    }

    /// The sockets of rooms; all of the namespace, if there are no rooms.
    ///
    /// # Errors
    /// If the namespace does not exist.
    pub async fn fetch_sockets(
        &self,
        rooms: Vec<String>,
    ) -> Result<Answered<Vec<RemoteSocket>>, UnknownNamespace> {
        let target = Target { rooms, except: Vec::new() };
        Ok(self.backplane.namespace(&self.namespace)?.fetch_sockets(&target).await)
    }

    /// Sends an event to the other servers themselves, not to their clients.
    ///
    /// # Errors
    /// If the pod is cut off from the others.
    pub fn server_side_emit(
        &self,
        event: &str,
        arguments: Vec<Value>,
    ) -> Result<(), BackplaneError> {
        let namespace = self.backplane.namespace(&self.namespace)?;
        Ok(namespace.server_side_emit(named(event, arguments))?)
    }

    /// The same, and collects what they answer within `backplane.request_timeout`.
    ///
    /// # Errors
    /// If the namespace does not exist. One that is cut off counts the servers that were not heard of.
    pub async fn server_side_emit_with_ack(
        &self,
        event: &str,
        arguments: Vec<Value>,
    ) -> Result<Answered<Vec<Value>>, UnknownNamespace> {
        let namespace = self.backplane.namespace(&self.namespace)?;
        Ok(namespace.server_side_ask(named(event, arguments)).await)
    }
}

/// An event as it travels: its name before its arguments.
fn named(event: &str, arguments: Vec<Value>) -> Vec<Value> {
    [Value::from(event)].into_iter().chain(arguments).collect()
}
