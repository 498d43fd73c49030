//! What a handler answers.

use std::{future::Future, pin::Pin};

use serde::Serialize;
use socketioxide_core::Value;

use super::refusal::{Refusal, codes};
use crate::backplane::encode_ack;

/// What a handler answers: the values of the ack, if the client asked for one.
pub struct Reply(pub(in crate::gateway) ReplyState);

/// Whether the answer is known.
pub(in crate::gateway) enum ReplyState {
    /// The values of the ack. `None` is no ack.
    Ready(Option<Value>),
    Later(ReplyFuture),
    /// A hook is asked for it.
    Hook(ReplyFuture),
}

type ReplyFuture = Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>;

impl Reply {
    /// An ack with a value. Several are a tuple, any number is [`Spread`](crate::Spread), and `()` is an ack without any;
    /// `bytes::Bytes` are binary.
    ///
    /// ```
    /// # use roomcast::{Event, Namespace, Reply};
    /// let files = Namespace::new("/files").on("read", |event: &Event<'_>| {
    ///     let name: String = event.arguments()?;
    ///     let content = bytes::Bytes::from_static(b"\x00\x01");
    ///     Reply::json((name, content)) // callback(name, content)
    /// });
    /// # let _ = files;
    /// ```
    ///
    /// # Errors
    /// A refusal with `bad_request` if the value is no JSON, such as a map whose keys are no text. What not every client could
    /// be given, such as a nesting deeper than `limits.depth`, is refused with `bad_arguments` when it is sent.
    pub fn json(value: impl Serialize) -> Result<Self, Refusal> {
        let values = encode_ack(&value).map_err(|error| {
            Refusal::new(codes::BAD_REQUEST, format!("the reply is no JSON: {error}"))
        })?;
        Ok(Self(ReplyState::Ready(Some(values))))
    }

    /// `{"accepted":true}`: it was done, and there is nothing more to say.
    pub fn accepted() -> Self {
        Self(ReplyState::Ready(Some(Value::Str(r#"[{"accepted":true}]"#.into(), None))))
    }

    /// No ack, as a handler on Node that does not call its callback. A handler that returns `()` answers so.
    pub fn none() -> Self {
        Self(ReplyState::Ready(None))
    }

    /// An ack that takes time to find. The next events of the client are handled meanwhile.
    pub fn later(reply: impl Future<Output = Result<Self, Refusal>> + Send + 'static) -> Self {
        Self(ReplyState::Later(Box::pin(reply)))
    }

    /// The ack that a hook finds.
    pub(in crate::gateway) fn of_hook(
        reply: impl Future<Output = Result<Self, Refusal>> + Send + 'static,
    ) -> Self {
        Self(ReplyState::Hook(Box::pin(reply)))
    }

    /// Waits for the values.
    pub(in crate::gateway) async fn values(self) -> Result<Option<Value>, Refusal> {
        let mut reply = self;
        loop {
            match reply.0 {
                ReplyState::Ready(values) => return Ok(values),
                ReplyState::Later(later) | ReplyState::Hook(later) => reply = later.await?,
            }
        }
    }
}
