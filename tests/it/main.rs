//! Tests of the real binary, from outside.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods, missing_docs)]

mod api;
mod bounds;
mod client;
mod command_line;
mod control_plane;
mod deflate;
mod doctor;
mod dynamic;
mod embedded;
mod external_metrics;
mod features;
mod handlers;
mod healthcheck;
mod hostile;
mod kubernetes;
mod raw;
mod roomcast;
mod scale;
mod stop;
mod support;
mod top;
mod traces;
