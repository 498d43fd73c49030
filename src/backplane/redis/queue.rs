//! A queue that is bounded by the bytes in it: messages differ too much in size to count them.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;

/// What an item costs beside its bytes, about.
const OVERHEAD: usize = 192;

/// Something with a size.
pub trait Sizable {
    /// Its bytes.
    fn size(&self) -> usize;

    /// What it costs to keep it, about.
    fn cost(&self) -> usize {
        self.size() + OVERHEAD
    }
}

/// What is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub items: usize,
    /// What they cost.
    pub bytes: usize,
}

/// The same, as both ends count it.
#[derive(Default)]
struct Counts {
    items: AtomicUsize,
    bytes: AtomicUsize,
}

/// The way in.
pub struct Sender<T> {
    items: mpsc::UnboundedSender<T>,
    waiting: Arc<Counts>,
    limit: usize,
}

/// The way out.
pub struct Receiver<T> {
    items: mpsc::UnboundedReceiver<T>,
    waiting: Arc<Counts>,
}

/// The item did not fit.
#[derive(Debug)]
pub struct Full;

/// A queue of so many bytes.
pub fn queue<T: Sizable>(limit: usize) -> (Sender<T>, Receiver<T>) {
    #[allow(clippy::disallowed_methods)] // it has a bound: `limit`
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(Counts::default());
    (
        Sender { items: sender, waiting: waiting.clone(), limit },
        Receiver { items: receiver, waiting },
    )
}

impl<T: Sizable> Sender<T> {
    /// Puts an item in, if it fits.
    pub fn send(&self, item: T) -> Result<(), Full> {
        let cost = item.cost();
        if self.waiting.bytes.fetch_add(cost, Ordering::Relaxed) + cost > self.limit {
            self.waiting.bytes.fetch_sub(cost, Ordering::Relaxed);
            return Err(Full);
        }
        self.waiting.items.fetch_add(1, Ordering::Relaxed);
        // Nobody takes it out when the pod is over.
        let _ = self.items.send(item);
        Ok(())
    }

    /// What is in it.
    pub fn waiting(&self) -> Waiting {
        let Counts { items, bytes } = &*self.waiting;
        Waiting { items: items.load(Ordering::Relaxed), bytes: bytes.load(Ordering::Relaxed) }
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
        self.waiting.bytes.fetch_sub(cost, Ordering::Relaxed);
        self.waiting.items.fetch_sub(items.len(), Ordering::Relaxed);
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
        assert_eq!(sender.waiting(), Waiting { items: 2, bytes: 2 * OVERHEAD + 10 });
        let mut items = Vec::new();
        assert!(receiver.take(&mut items, 1).await);
        assert!(sender.send("1").is_err());
        receiver.settled(&items);
        assert_eq!(sender.waiting(), Waiting { items: 1, bytes: OVERHEAD + 5 });
        assert!(sender.send("1").is_ok());
        drop(sender);
        assert!(receiver.take(&mut items, 10).await);
        assert_eq!(items, ["12345", "12345", "1"]);
        assert!(!receiver.take(&mut items, 10).await);
    }
}
