//! Limits the calls in flight of one socket to a share of the hook's, so that a client that keeps the hook busy leaves room
//! for all others. Its calls beyond the limit wait for its own answers, and for nobody else's.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{AcquireError, OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::Down;

/// Acquires a permit, or gives up after this time.
pub async fn acquire_within<T>(
    most: Duration,
    permit: impl Future<Output = Result<T, AcquireError>>,
) -> Result<T, Down> {
    timeout(most, permit).await.ok().and_then(Result::ok).ok_or(Down::InFlightLimit)
}

/// The slots of all sockets that a hook is called for now.
pub struct SocketSlots {
    /// Calls of one socket in flight at once.
    most: usize,
    /// By the id of the socket: how many calls want a slot or have one, and the slots that are left.
    sockets: Mutex<HashMap<String, (usize, Arc<Semaphore>)>>,
}

/// A slot of a socket, until it is dropped.
pub struct SocketSlot<'a> {
    slots: &'a SocketSlots,
    socket: &'a str,
    permit: Option<OwnedSemaphorePermit>,
}

impl SocketSlots {
    /// No socket has a slot yet.
    pub fn new(most: usize) -> Self {
        Self { most, sockets: Mutex::default() }
    }

    /// Waits until a socket has less calls in flight than it may.
    pub async fn acquire<'a>(
        &'a self,
        socket: &'a str,
        most: Duration,
    ) -> Result<SocketSlot<'a>, Down> {
        let semaphore = {
            let mut sockets = self.sockets.lock();
            let (wanted, semaphore) = sockets
                .entry(socket.to_owned())
                .or_insert_with(|| (0, Arc::new(Semaphore::new(self.most))));
            *wanted += 1;
            semaphore.clone()
        };
        // Before the wait: a call that is given up while it waits must not be counted any longer.
        let mut slot = SocketSlot { slots: self, socket, permit: None };
        slot.permit = Some(acquire_within(most, semaphore.acquire_owned()).await?);
        Ok(slot)
    }
}

impl Drop for SocketSlot<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        if let Entry::Occupied(mut entry) = self.slots.sockets.lock().entry(self.socket.to_owned())
        {
            let (wanted, _) = entry.get_mut();
            *wanted -= 1;
            if *wanted == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn one_socket_waits_for_itself_and_leaves_nothing_behind() {
        let slots = SocketSlots::new(2);
        let first = slots.acquire("a", LONG).await.ok();
        let second = slots.acquire("a", LONG).await.ok();
        assert!(first.is_some() && second.is_some());
        assert!(matches!(slots.acquire("a", Duration::ZERO).await, Err(Down::InFlightLimit)));
        let other = slots.acquire("b", LONG).await.ok();
        assert!(other.is_some());
        let (third, ()) = tokio::join!(slots.acquire("a", LONG), async { drop(second) });
        assert!(third.is_ok());
        drop((first, third, other));
        assert!(slots.sockets.lock().is_empty());
    }
}
