//! Requests that do something to the cluster. Each is carried out in a task of its own: HTTP drops what it was asked for
//! when its connection ends, between two steps of it.

use std::future::Future;

use tokio::sync::watch;

use crate::tasks::spawn_named;

/// The tasks that have not ended. Clones are the same.
#[derive(Clone, Debug)]
pub struct Underway(watch::Sender<()>);

impl Default for Underway {
    fn default() -> Self {
        Self(watch::Sender::new(()))
    }
}

impl Underway {
    /// Carries something out to its end, whether or not the answer is waited for. None if it panicked.
    pub(super) async fn done<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let here = self.0.subscribe();
        let task = spawn_named("api request", async move {
            let done = work.await;
            drop(here);
            done
        });
        task.await.ok()
    }

    /// Waits until none is there.
    pub async fn ended(&self) {
        self.0.closed().await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use tokio::{sync::oneshot, time::timeout};

    use super::*;

    #[tokio::test]
    async fn what_nobody_waits_for_is_done_and_known_until_then() {
        let (underway, (go, went), (did, done)) =
            (Underway::default(), oneshot::channel::<()>(), oneshot::channel());
        underway.ended().await;
        let work = underway.done(async move {
            went.await.unwrap();
            did.send(()).unwrap();
        });
        // The caller hangs up.
        assert!(timeout(Duration::from_millis(20), work).await.is_err());
        assert!(timeout(Duration::from_millis(20), underway.ended()).await.is_err());
        go.send(()).unwrap();
        done.await.unwrap();
        underway.ended().await;
    }

    #[tokio::test]
    async fn a_panic_is_no_answer() {
        let underway = Underway::default();
        assert_eq!(underway.done(async { panic!("as a bug would") }).await, None::<()>);
        underway.ended().await;
    }
}
