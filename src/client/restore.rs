//! What a socket does again on a new connection: authenticate, and join its rooms.

use std::collections::BTreeSet;

use parking_lot::Mutex;

use crate::config::Secret;

/// What outlives a connection, until the socket leaves its namespace.
#[derive(Default)]
pub(super) struct Restore {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// The last token that the server accepted.
    token: Option<Secret>,
    /// The rooms that the server put the socket in when asked.
    rooms: BTreeSet<String>,
}

impl Restore {
    /// The server accepted a token, or does not accept the last one any more.
    pub fn token(&self, token: Option<Secret>) {
        self.inner.lock().token = token;
    }

    /// The server put the socket into these rooms.
    pub fn joined(&self, rooms: impl IntoIterator<Item = String>) {
        self.inner.lock().rooms.extend(rooms);
    }

    /// The socket is not in these rooms any more.
    pub fn left<'a>(&self, rooms: impl IntoIterator<Item = &'a String>) {
        let mut inner = self.inner.lock();
        for room in rooms {
            inner.rooms.remove(room);
        }
    }

    /// The next connection begins without a token and without rooms.
    pub fn forget(&self) {
        *self.inner.lock() = Inner::default();
    }

    /// The token and the rooms for a new connection, if there are any.
    pub fn get(&self) -> Option<(Option<Secret>, Vec<String>)> {
        let inner = self.inner.lock();
        let rooms: Vec<_> = inner.rooms.iter().cloned().collect();
        (inner.token.is_some() || !rooms.is_empty()).then(|| (inner.token.clone(), rooms))
    }
}
