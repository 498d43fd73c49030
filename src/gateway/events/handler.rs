//! What handles an event: a closure that takes the event, or one that takes what it needs of it.
//!
//! ```
//! # use roomcast::{Ack, Args, Namespace, Refusal, Socket};
//! let math = Namespace::new("/math")
//!     .on("add", |Args((a, b)): Args<(i64, i64)>| Ack(a + b))
//!     .on("divide", |Args((a, b)): Args<(u64, u64)>| {
//!         let quotient = a.checked_div(b).ok_or(Refusal::new("by_zero", "b is 0"))?;
//!         Ok::<_, Refusal>(Ack((quotient, a % b))) // callback(quotient, remainder)
//!     })
//!     .on("slow", async |socket: Socket, Args(text): Args<String>| {
//!         let _ = socket.emit("working", &text);
//!         Ok::<_, Refusal>(Ack(text.len()))
//!     });
//! # let _ = math;
//! ```

use std::future::Future;

use serde::{Serialize, de::DeserializeOwned};

use super::event::Event;
use crate::gateway::{
    replies::{refusal::Refusal, reply::Reply},
    sockets::socket::Socket,
    tokens::Claims,
};

/// Handles the events of a pattern. Called in the order in which a client sent them, before the
/// next packet of that client is read: it must not block. An `async` one is begun in that order, and the
/// client's next events are handled while it waits.
///
/// `M` tells the kinds of closures apart, and is inferred: those that take `&Event`, and those that take up to four
/// [`FromEvent`]. The answer is the ack: [`IntoReply`].
pub trait Handler<M>: Send + Sync + 'static {
    /// Handles one event. The reply, or the refusal, is its ack.
    fn handle(&self, event: &Event<'_>) -> Result<Reply, Refusal>;
}

/// A handler of any kind.
pub(in crate::gateway) type HandlerFn =
    Box<dyn Fn(&Event<'_>) -> Result<Reply, Refusal> + Send + Sync>;

/// Boxes a handler.
pub(in crate::gateway) fn boxed<M>(handler: impl Handler<M>) -> HandlerFn {
    Box::new(move |event| handler.handle(event))
}

impl<F> Handler<()> for F
where
    F: Fn(&Event<'_>) -> Result<Reply, Refusal> + Send + Sync + 'static,
{
    fn handle(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
        self(event)
    }
}

/// Something that a handler takes of an event.
pub trait FromEvent: Sized {
    /// Takes it.
    ///
    /// # Errors
    /// The event is refused, and the handler is not called.
    fn from_event(event: &Event<'_>) -> Result<Self, Refusal>;
}

/// The arguments of an event: the first as any type, several as a tuple, or any number as [`Spread`](crate::Spread).
/// `bytes::Bytes` for binary; `rmpv::Value` for any value, binary among it.
pub struct Args<T>(pub T);

/// The name of an event.
pub struct Name(pub String);

/// What the token of the client says; without a valid one, the event is refused.
pub struct Bearer(pub Claims);

impl<T: DeserializeOwned> FromEvent for Args<T> {
    fn from_event(event: &Event<'_>) -> Result<Self, Refusal> {
        event.arguments().map(Self)
    }
}

impl FromEvent for Name {
    fn from_event(event: &Event<'_>) -> Result<Self, Refusal> {
        Ok(Self(event.name().to_owned()))
    }
}

impl FromEvent for Socket {
    fn from_event(event: &Event<'_>) -> Result<Self, Refusal> {
        Ok(event.socket().clone())
    }
}

impl FromEvent for Bearer {
    fn from_event(event: &Event<'_>) -> Result<Self, Refusal> {
        event.socket().claims().map(Self).ok_or_else(Refusal::authentication_required)
    }
}

/// What a handler may answer.
pub trait IntoReply {
    /// The ack.
    ///
    /// # Errors
    /// The refusal is the ack.
    fn into_reply(self) -> Result<Reply, Refusal>;
}

/// An ack with a value; several are a tuple, `()` is an ack without any. `bytes::Bytes` are binary.
pub struct Ack<T>(pub T);

impl<T: Serialize> IntoReply for Ack<T> {
    fn into_reply(self) -> Result<Reply, Refusal> {
        Reply::json(self.0)
    }
}

/// No ack, as a handler on Node that does not call its callback.
impl IntoReply for () {
    fn into_reply(self) -> Result<Reply, Refusal> {
        Ok(Reply::none())
    }
}

impl IntoReply for Reply {
    fn into_reply(self) -> Result<Reply, Refusal> {
        Ok(self)
    }
}

impl<T: IntoReply, E: Into<Refusal>> IntoReply for Result<T, E> {
    fn into_reply(self) -> Result<Reply, Refusal> {
        self.map_err(Into::into)?.into_reply()
    }
}

/// Marks closures that answer at once.
pub struct Now;
/// Marks closures whose answer is a future.
pub struct Later;

macro_rules! handlers {
    ($($part:ident),*) => {
        impl<F, R, $($part),*> Handler<(Now, $($part),*)> for F
        where
            F: Fn($($part),*) -> R + Send + Sync + 'static,
            R: IntoReply,
            $($part: FromEvent),*
        {
            fn handle(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
                self($($part::from_event(event)?),*).into_reply()
            }
        }

        impl<F, R, $($part),*> Handler<(Later, $($part),*)> for F
        where
            F: Fn($($part),*) -> R + Send + Sync + 'static,
            R: Future<Output: IntoReply> + Send + 'static,
            $($part: FromEvent),*
        {
            fn handle(&self, event: &Event<'_>) -> Result<Reply, Refusal> {
                let reply = self($($part::from_event(event)?),*);
                Ok(Reply::later(async { reply.await.into_reply() }))
            }
        }
    };
}

handlers!(A);
handlers!(A, B);
handlers!(A, B, C);
handlers!(A, B, C, D);
