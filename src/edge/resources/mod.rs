//! What a pod may run out of: memory, open files, the accept queues of its listeners.
//! It measures them, and gives memory back. `connections` and `listener` refuse clients when there is too little.
//! `listener` may call it, and the server.

pub(super) mod memory;
pub(super) mod open_files;
pub(super) mod sampling;
