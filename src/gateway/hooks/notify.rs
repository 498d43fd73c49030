//! Notifies hooks of disconnects. Nobody waits for that: a task tries each notification for as long as the settings say. The
//! number of these tasks is limited.

use std::{sync::Arc, time::Duration};

use metrics::{Gauge, counter, gauge};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::Instant,
};

use super::{CallLimits, Down, Hook, HookError, Request, socket_slots::acquire_within};
use crate::{
    config, tasks,
    telemetry::metrics::{HOOK_DROPPED, HOOK_QUEUE},
};

/// The notifications that a hook has not got yet.
pub struct Notifications {
    /// A permit for each.
    queue: Arc<Semaphore>,
    size: usize,
    waiting: Gauge,
    /// A permit for each notification in flight.
    slots: Semaphore,
}

impl Notifications {
    /// None yet. `share` of them may be in flight.
    pub fn new(label: &str, settings: &config::Hooks, share: usize) -> Self {
        Self {
            queue: Arc::new(Semaphore::new(settings.disconnect_queue)),
            size: settings.disconnect_queue,
            waiting: gauge!(HOOK_QUEUE.name, "hook" => label.to_owned()),
            slots: Semaphore::new(share),
        }
    }

    /// Waits until a notification may be sent.
    pub async fn acquire(&self, most: Duration) -> Result<SemaphorePermit<'_>, Down> {
        acquire_within(most, self.slots.acquire()).await
    }

    /// Waits until every notification was sent, or given up.
    pub async fn flushed(&self) {
        let all = u32::try_from(self.size).unwrap_or(u32::MAX);
        let _ = self.queue.acquire_many(all).await;
    }
}

/// Notifies a hook of a disconnect, in a task.
pub fn disconnect(hook: &Hook, request: impl FnOnce() -> Request) {
    let notifications = &hook.0.notifications;
    let Ok(place) = notifications.queue.clone().try_acquire_owned() else {
        dropped(hook, "queue full");
        return;
    };
    let waiting = Waiting::new(notifications.waiting.clone(), place);
    let (hook, request) = (hook.clone(), request());
    let untold = hook.clone();
    let tell = async move {
        let _waiting = waiting;
        if let Err(error) = hook.record_call(&request, hook.send_notification(&request)).await {
            tracing::debug!(hook = hook.0.label, id = request.id, %error, "a disconnect was not told");
            dropped(&hook, "failed");
        }
    };
    tasks::spawn_or("hook notification", tell, async move { dropped(&untold, "failed") });
}

/// A notification that the hook has not got yet, with its place in the queue.
struct Waiting(Gauge, #[expect(dead_code, reason = "dropped with it")] OwnedSemaphorePermit);

impl Waiting {
    fn new(waiting: Gauge, place: OwnedSemaphorePermit) -> Self {
        waiting.increment(1);
        Self(waiting, place)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.decrement(1);
    }
}

fn dropped(hook: &Hook, reason: &'static str) {
    counter!(HOOK_DROPPED.name, "hook" => hook.0.label.clone(), "reason" => reason).increment(1);
}

impl Hook {
    async fn send_notification(&self, request: &Request) -> Result<(), HookError> {
        let time = self.0.settings.disconnect_timeout;
        let limits = CallLimits { deadline: Instant::now() + time, retries: u32::MAX, wait: time };
        self.call(request, limits).await.map(drop)
    }
}
