//! What a pod may run out of: memory, open files, the accept queues of its listeners.
//! It measures, gives back, and says when there is too much; `connections` and `listener` refuse.
//! `listener` may call it, and the server.

pub(super) mod memory;
pub(super) mod open_files;
pub(super) mod sampling;
