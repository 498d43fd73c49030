//! A queue that is bounded by the bytes in it: messages differ too much in size to count them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

/// What an item costs beside its bytes, about.
const OVERHEAD: usize = 128;

/// Something with a size.
pub trait Sizable {
    /// Its bytes.
    fn size(&self) -> usize;

    /// What it costs to keep it, about.
    fn cost(&self) -> usize {
        self.size() + OVERHEAD
    }
}

/// The way in.
pub struct Sender<T> {
    items: mpsc::UnboundedSender<T>,
    waiting: Arc<AtomicUsize>,
    limit: usize,
}

/// The way out.
pub struct Receiver<T> {
    items: mpsc::UnboundedReceiver<T>,
    waiting: Arc<AtomicUsize>,
}

/// The item did not fit.
#[derive(Debug)]
pub struct Full;

/// A queue of so many bytes.
pub fn queue<T: Sizable>(limit: usize) -> (Sender<T>, Receiver<T>) {
    #[allow(clippy::disallowed_methods)] // it has a bound: `limit`
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    (
        Sender { items: sender, waiting: waiting.clone(), limit },
        Receiver { items: receiver, waiting },
    )
}

impl<T: Sizable> Sender<T> {
    /// Puts an item in, if it fits.
    pub fn send(&self, item: T) -> Result<(), Full> {
        let cost = item.cost();
        if self.waiting.fetch_add(cost, Ordering::Relaxed) + cost > self.limit {
            self.waiting.fetch_sub(cost, Ordering::Relaxed);
            return Err(Full);
        }
        // Nobody takes it out when the pod is over.
        let _ = self.items.send(item);
        Ok(())
    }
}

impl<T: Sizable> Receiver<T> {
    /// Takes the next items out, up to a number; none when nobody puts any in any longer. They count
    /// as waiting until they are [`Self::settled`].
    pub async fn take(&mut self, items: &mut Vec<T>, most: usize) -> bool {
        self.items.recv_many(items, most).await > 0
    }

    /// These are done with.
    pub fn settled(&self, items: &[T]) {
        let cost: usize = items.iter().map(Sizable::cost).sum();
        self.waiting.fetch_sub(cost, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Sizable for &str {
        fn size(&self) -> usize {
            self.len()
        }
    }

    #[tokio::test]
    async fn what_is_in_it_counts_until_it_is_settled() {
        let (sender, mut receiver) = queue(2 * OVERHEAD + 10);
        assert!(sender.send("12345").is_ok());
        assert!(sender.send("123456").is_err());
        assert!(sender.send("12345").is_ok());
        let mut items = Vec::new();
        assert!(receiver.take(&mut items, 1).await);
        assert!(sender.send("1").is_err());
        receiver.settled(&items);
        assert!(sender.send("1").is_ok());
        drop(sender);
        assert!(receiver.take(&mut items, 10).await);
        assert_eq!(items, ["12345", "12345", "1"]);
        assert!(!receiver.take(&mut items, 10).await);
    }
}
