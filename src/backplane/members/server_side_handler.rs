//! What handles the events that other servers send to the servers of a namespace.

use std::sync::OnceLock;

use crate::backplane::{ServerAnswer, ServerSide};

/// The handler of a namespace, if it has one.
#[derive(Default)]
pub struct ServerSideHandler(OnceLock<Box<dyn ServerSide>>);

impl ServerSideHandler {
    /// From now on, events of other servers are handled by this.
    pub fn set(&self, handler: Box<dyn ServerSide>) {
        // A namespace is built once.
        let _ = self.0.set(handler);
    }

    /// Handles an event of another server: its name, then its arguments.
    pub fn handle(&self, event: Vec<serde_json::Value>) -> ServerAnswer {
        let mut event = event.into_iter();
        match (event.next(), self.0.get()) {
            (Some(serde_json::Value::String(name)), Some(handler)) => {
                handler.handle(name, event.collect())
            }
            // The other server would wait for nothing.
            _ => ServerAnswer::Now(Some(serde_json::Value::Null)),
        }
    }
}
