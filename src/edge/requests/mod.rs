//! What an HTTP request asks for, and what it is answered before there is a session: errors, CORS, files.
//! Nothing here knows a session.
//! All other folders of the edge may call it, but `streams`, `packets` and `frames`.

pub(super) mod allowed_origins;
pub(super) mod client_addr;
pub(super) mod client_files;
pub(super) mod content_encoding;
pub(super) mod cors;
pub(super) mod engine_request;
pub(super) mod kept_headers;
pub(super) mod proxy_protocol;
pub(super) mod request_error;
pub(super) mod request_hooks;
pub(super) mod subprotocol;
pub(super) mod upgrade_slot;
