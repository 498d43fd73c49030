//! What all namespaces of a pod share: what measures and bounds emits, and how Redis learns which rooms this pod hears.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use super::{
    Joined, Link, Slow,
    redis::{Changes, Health, Subscribed},
    transcode::Bounds,
    watch::Measuring,
    wire::Format,
};

/// What all namespaces of a pod share.
pub(super) struct Shared {
    /// The sockets that are behind.
    pub slow: Arc<Slow>,
    pub measuring: Measuring,
    /// What clients and their parser speak.
    pub format: Format,
    /// What an event may have.
    pub bounds: Bounds,
    /// Not set for a pod on its own.
    subscriptions: OnceLock<Subscriptions>,
}

/// How Redis learns what this pod wants to hear.
pub(super) struct Subscriptions {
    pub changes: Arc<Changes>,
    /// Whether rooms have channels of their own.
    pub of_rooms: bool,
    pub health: Arc<Health>,
    /// Longest wait for Redis.
    pub timeout: Duration,
}

impl Shared {
    pub fn new(slow: Slow, measuring: Measuring, format: Format, bounds: Bounds) -> Self {
        let subscriptions = OnceLock::new();
        Self { slow: Arc::new(slow), measuring, format, bounds, subscriptions }
    }

    /// From now on, Redis learns of changes this way.
    pub fn subscribe(&self, subscriptions: Subscriptions) {
        // A pod has one backplane for life.
        let _ = self.subscriptions.set(subscriptions);
    }

    /// Rooms have got or lost members on this pod.
    pub fn rooms_changed(&self, namespace: &str, rooms: Vec<String>) -> Joined {
        self.joined(|Subscriptions { changes, of_rooms, .. }| {
            (*of_rooms && !rooms.is_empty()).then(|| changes.note(namespace, rooms))
        })
    }

    /// Namespaces have come or gone on this pod: other servers are to be heard in those of now.
    pub fn namespaces_changed(&self) -> Joined {
        self.joined(|Subscriptions { changes, .. }| Some(changes.note_namespaces()))
    }

    /// Notes a change. It is waited for only while Redis is there.
    fn joined(&self, note: impl FnOnce(&Subscriptions) -> Option<Subscribed>) -> Joined {
        let Some(subscriptions) = self.subscriptions.get() else { return Joined::default() };
        let subscribed = note(subscriptions);
        Joined {
            subscribed: subscribed.filter(|_| subscriptions.health.link() == Link::Up),
            timeout: subscriptions.timeout,
        }
    }
}
