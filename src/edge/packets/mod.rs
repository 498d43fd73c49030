//! Packets of Engine.IO and Socket.IO, as bytes: read, and rewritten where socketioxide and Node differ.
//! Nothing here waits, or knows which transport carries a packet.
//! All other folders of the edge may call it, but `streams` and `requests`.

pub(super) mod attachments;
pub(super) mod connect_error;
pub(super) mod connect_query;
pub(super) mod eio3_payload;
pub(super) mod engine_io;
pub(super) mod event_mark;
pub(super) mod event_name;
pub(super) mod lenient_base64;
pub(super) mod msgpack;
pub(super) mod namespace_connect;
pub(super) mod open_packet;
pub(super) mod packet_head;
pub(super) mod session_id;
