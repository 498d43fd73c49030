//! The events that a client sends and is sent: how they are parsed, and what handles them (`Handler`).
//! It knows nothing of namespaces: which handler is called is for `dispatch` to say.
//! `hooks`, `rules`, `namespaces` and those that use them may call it.

pub mod event;
pub mod handler;
pub mod outgoing;
pub mod parser;
