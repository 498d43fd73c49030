//! What a program answers to other servers of its cluster: `io.on("event", (…args, callback) => …)` for `serverSideEmit`.

use std::{future::Future, sync::Arc};

use serde_json::Value;

use crate::{
    backplane::{ServerAnswer, ServerSide},
    gateway::replies::catch_panic::{catch_panic, catch_panic_async},
};

/// What a handler of [`Namespace::on_server_side`](crate::Namespace::on_server_side) may give: a value, which is the answer; `None` or `()`, which is none, as a
/// handler on Node that does not call its callback; or a future of these.
///
/// `M` tells values and futures apart, and is inferred.
pub trait IntoServerAnswer<M> {
    /// The answer, or how to wait for it.
    fn into_answer(self) -> ServerAnswer;
}

/// Marks answers that are there at once.
pub struct Now;
/// Marks those that take time.
pub struct Later;

/// What is an answer by itself.
pub trait AsServerAnswer {
    /// The answer, if there is one.
    fn server_answer(self) -> Option<Value>;
}

impl AsServerAnswer for Value {
    fn server_answer(self) -> Option<Value> {
        Some(self)
    }
}

impl AsServerAnswer for Option<Value> {
    fn server_answer(self) -> Option<Value> {
        self
    }
}

impl AsServerAnswer for () {
    fn server_answer(self) -> Option<Value> {
        None
    }
}

impl<T: AsServerAnswer> IntoServerAnswer<Now> for T {
    fn into_answer(self) -> ServerAnswer {
        ServerAnswer::Now(self.server_answer())
    }
}

impl<F> IntoServerAnswer<Later> for F
where
    F: Future<Output: AsServerAnswer> + Send + 'static,
{
    fn into_answer(self) -> ServerAnswer {
        ServerAnswer::Later(Box::pin(async {
            let answer = catch_panic_async("on_server_side", self).await;
            // One that panics answers with `null`, as one that is called at once: nobody is to wait for it.
            answer.map_or(Some(Value::Null), AsServerAnswer::server_answer)
        }))
    }
}

type HandlerFn = dyn Fn(String, Vec<Value>) -> ServerAnswer + Send + Sync;

/// The handler of a namespace; all children of a dynamic one have the same.
#[derive(Clone)]
pub(in crate::gateway) struct ServerSideHandler(Arc<HandlerFn>);

impl ServerSideHandler {
    pub fn new<M, R: IntoServerAnswer<M>>(
        handler: impl Fn(String, Vec<Value>) -> R + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(move |event, arguments| handler(event, arguments).into_answer()))
    }
}

impl ServerSide for ServerSideHandler {
    fn handle(&self, event: String, arguments: Vec<Value>) -> ServerAnswer {
        let answer = catch_panic("on_server_side", || (self.0)(event, arguments));
        answer.unwrap_or(ServerAnswer::Now(Some(Value::Null)))
    }
}
