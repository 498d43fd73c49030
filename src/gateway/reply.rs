//! What a handler answers.

use std::{future::Future, pin::Pin};

use serde::Serialize;
use serde_json::Value;

use super::{Refusal, codes};

/// What a handler answers: the one argument of the ack, if the client asked for one.
pub struct Reply(pub(super) When);

/// When the answer is known.
pub(super) enum When {
    Now(Value),
    Later(Pin<Box<dyn Future<Output = Result<Reply, Refusal>> + Send>>),
}

impl Reply {
    /// An ack with a value.
    ///
    /// # Errors
    /// A refusal with `bad_request` if the value is no JSON, such as a map whose keys are no text.
    pub fn json(value: impl Serialize) -> Result<Self, Refusal> {
        let value = serde_json::to_value(value).map_err(|error| {
            Refusal::new(codes::BAD_REQUEST, format!("the reply is no JSON: {error}"))
        })?;
        Ok(Self(When::Now(value)))
    }

    /// `{"accepted":true}`: it was done, and there is nothing more to say.
    pub fn accepted() -> Self {
        Self(When::Now(serde_json::json!({"accepted": true})))
    }

    /// An ack that takes time to find. The next events of the client are handled meanwhile.
    pub fn later(reply: impl Future<Output = Result<Self, Refusal>> + Send + 'static) -> Self {
        Self(When::Later(Box::pin(reply)))
    }

    /// Waits for the value.
    pub(super) async fn value(self) -> Result<Value, Refusal> {
        let mut reply = self;
        loop {
            match reply.0 {
                When::Now(value) => return Ok(value),
                When::Later(later) => reply = later.await?,
            }
        }
    }
}
