//! What goes between the handles of a client and its task.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::socket::Socket;

/// What handles of the client ask its task for. Each answers when it is done.
pub(super) enum Command {
    /// The socket shall be connected. The socket itself keeps who waits for that.
    Connect(Arc<Socket>),
    Disconnect(Arc<Socket>, oneshot::Sender<()>),
    Shutdown(oneshot::Sender<()>),
}

/// All sockets of one client, by namespace.
pub(super) type Registry = Arc<Mutex<HashMap<String, Arc<Socket>>>>;

/// Why the task ends: who called `shutdown` and waits for it; nobody if the last handle is gone.
pub(super) type Stop = Option<oneshot::Sender<()>>;
