//! Tells hooks of disconnects. Nobody waits for that: each is tried for as long as the settings say, in a task of its
//! own, of which there are only so many.

use std::{sync::Arc, time::Duration};

use metrics::{Gauge, counter, gauge};
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{Down, Hook, HookError, Patience, Request, turns::in_time};
use crate::{
    config,
    telemetry::metrics::{HOOK_DROPPED, HOOK_QUEUE},
};

/// What one hook has not been told yet.
pub struct Notifications {
    /// A place for each.
    queue: Arc<Semaphore>,
    size: usize,
    waiting: Gauge,
    /// A place for each that is being told.
    turns: Semaphore,
}

impl Notifications {
    /// Nothing yet. `share` may be told at once.
    pub fn new(label: &str, settings: &config::Hooks, share: usize) -> Self {
        Self {
            queue: Arc::new(Semaphore::new(settings.disconnect_queue)),
            size: settings.disconnect_queue,
            waiting: gauge!(HOOK_QUEUE.name, "hook" => label.to_owned()),
            turns: Semaphore::new(share),
        }
    }

    /// Waits for its turn to be told.
    pub async fn turn(&self, most: Duration) -> Result<SemaphorePermit<'_>, Down> {
        in_time(most, self.turns.acquire()).await
    }

    /// Waits until everything was told, or given up.
    pub async fn flushed(&self) {
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        let _ = self.queue.acquire_many(all).await;
    }
}

/// Tells a hook of something, later.
pub fn disconnect(hook: &Hook, request: impl FnOnce() -> Request) {
    let notifications = &hook.0.notifications;
    let Ok(place) = notifications.queue.clone().try_acquire_owned() else {
        dropped(hook, "queue full");
        return;
    };
    notifications.waiting.increment(1);
    let (hook, request) = (hook.clone(), request());
    tokio::spawn(async move {
        if let Err(error) = hook.measured(&request, hook.tell(&request)).await {
            tracing::debug!(hook = hook.0.label, id = request.id, %error, "a disconnect was not told");
            dropped(&hook, "failed");
        }
        hook.0.notifications.waiting.decrement(1);
        drop(place);
    });
}

fn dropped(hook: &Hook, reason: &'static str) {
    counter!(HOOK_DROPPED.name, "hook" => hook.0.label.clone(), "reason" => reason).increment(1);
}

impl Hook {
    async fn tell(&self, request: &Request) -> Result<(), HookError> {
        let time = self.0.settings.disconnect_timeout;
        let patience = Patience { deadline: Instant::now() + time, retries: u32::MAX, wait: time };
        self.call(request, patience).await.map(drop)
    }
}
