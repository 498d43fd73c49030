//! The turns of one socket: its calls in flight are a share of the hook's, so that a client that keeps the hook busy
//! leaves places for all others. What it asks for beyond that waits for its own answers, for nobody else's.

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

/// Waits for a place, or a turn, no longer than this.
pub async fn in_time<T>(
    most: Duration,
    place: impl Future<Output = Result<T, AcquireError>>,
) -> Result<T, Down> {
    timeout(most, place).await.ok().and_then(Result::ok).ok_or(Down::InFlightLimit)
}

/// The turns of the sockets that a hook is called for now.
pub struct Turns {
    /// Calls of one socket in flight at once.
    most: usize,
    /// By the id of the socket: how many want a turn or have one, and the turns that are left.
    sockets: Mutex<HashMap<String, (usize, Arc<Semaphore>)>>,
}

/// A socket's turn, until it is dropped.
pub struct Turn<'a> {
    turns: &'a Turns,
    socket: &'a str,
    permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Nobody has one yet.
    pub fn new(most: usize) -> Self {
        Self { most, sockets: Mutex::default() }
    }

    /// Waits until a socket has less calls in flight than it may.
    pub async fn turn<'a>(&'a self, socket: &'a str, most: Duration) -> Result<Turn<'a>, Down> {
        let semaphore = {
            let mut sockets = self.sockets.lock();
            let (wanted, semaphore) = sockets
                .entry(socket.to_owned())
                .or_insert_with(|| (0, Arc::new(Semaphore::new(self.most))));
            *wanted += 1;
            semaphore.clone()
        };
        // Before it waits: who waits no longer wants none.
        let mut turn = Turn { turns: self, socket, permit: None };
        turn.permit = Some(in_time(most, semaphore.acquire_owned()).await?);
        Ok(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        drop(self.permit.take());
        if let Entry::Occupied(mut entry) = self.turns.sockets.lock().entry(self.socket.to_owned())
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
        let turns = Turns::new(2);
        let first = turns.turn("a", LONG).await.ok();
        let second = turns.turn("a", LONG).await.ok();
        assert!(first.is_some() && second.is_some());
        assert!(matches!(turns.turn("a", Duration::ZERO).await, Err(Down::InFlightLimit)));
        let other = turns.turn("b", LONG).await.ok();
        assert!(other.is_some());
        let (third, ()) = tokio::join!(turns.turn("a", LONG), async { drop(second) });
        assert!(third.is_ok());
        drop((first, third, other));
        assert!(turns.sockets.lock().is_empty());
    }
}
