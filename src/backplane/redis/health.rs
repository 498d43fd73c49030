//! Whether what this pod publishes comes back to it: the one question that counts.
//!
//! An open connection says little: a frozen Redis, a path that swallows packets and a subscription that
//! was lost all look well from here. So the pod sends itself a message through Redis every heartbeat.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use metrics::{counter, gauge};
use tokio::sync::{Notify, watch};

use crate::telemetry::metrics::{BACKPLANE_CONNECTED, BACKPLANE_RECONNECTS};

/// How this pod is connected to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Redis has not been reached since the pod started.
    Starting,
    /// Messages come back.
    Up,
    /// They did once.
    Away,
}

/// The state of the link, and the pulses that have come back.
pub struct Health {
    link: watch::Sender<Link>,
    /// The number of the last pulse that came back, on each of the ways.
    pulses: watch::Sender<Vec<u64>>,
    /// It has been said that Redis cannot be reached.
    told: AtomicBool,
    /// Something happened that makes it worth while to look at once.
    hint: Notify,
}

impl Default for Health {
    fn default() -> Self {
        gauge!(BACKPLANE_CONNECTED.name).set(0.0);
        counter!(BACKPLANE_RECONNECTS.name).absolute(0);
        Self {
            link: watch::Sender::new(Link::Starting),
            pulses: watch::Sender::default(),
            told: AtomicBool::new(false),
            hint: Notify::new(),
        }
    }
}

impl Health {
    /// Pulses come back on so many ways.
    pub fn expect_pulses(&self, ways: usize) {
        self.pulses.send_replace(vec![0; ways]);
    }

    /// The state now.
    pub fn link(&self) -> Link {
        *self.link.borrow()
    }

    /// Whether messages come back.
    pub fn is_up(&self) -> bool {
        self.link() == Link::Up
    }

    /// Follows the state.
    pub fn follow(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// A pulse came back on one of the ways.
    pub fn pulse(&self, way: usize, number: u64) {
        self.pulses.send_if_modified(|last| {
            let last = last.get_mut(way).filter(|last| number > **last);
            last.map(|last| *last = number).is_some()
        });
    }

    /// Waits for a pulse on all of them.
    pub async fn wait_for_pulse(&self, number: u64) {
        let came = |last: &Vec<u64>| last.iter().all(|last| *last >= number);
        let _ = self.pulses.subscribe().wait_for(came).await;
    }

    /// Asks for a look before the next heartbeat.
    pub fn hint(&self) {
        self.hint.notify_one();
    }

    /// Waits for the next heartbeat, or for a hint.
    pub async fn next(&self, heartbeat: Duration) {
        tokio::select! {
            () = tokio::time::sleep(heartbeat) => {}
            () = self.hinted() => {}
        }
    }

    /// Waits for a hint.
    pub async fn hinted(&self) {
        self.hint.notified().await;
    }

    /// The pod is connected to the others.
    pub fn up(&self) {
        let mut before = Link::Up;
        // Only a change wakes those who follow it: this is called with each heartbeat.
        self.link.send_if_modified(|link| {
            before = std::mem::replace(link, Link::Up);
            before != Link::Up
        });
        if before != Link::Up {
            gauge!(BACKPLANE_CONNECTED.name).set(1.0);
            if before == Link::Away {
                counter!(BACKPLANE_RECONNECTS.name).increment(1);
            }
            tracing::info!("connected to the backplane");
        }
    }

    /// The pod is cut off, or has not been connected yet.
    pub fn away(&self, why: &str) {
        if self.link() == Link::Starting {
            if !self.told.swap(true, Ordering::Relaxed) {
                tracing::warn!(why, "waiting for the backplane: Redis cannot be reached yet");
            }
            return;
        }
        let changed = self.link.send_if_modified(|link| {
            let was_up = *link == Link::Up;
            if was_up {
                *link = Link::Away;
            }
            was_up
        });
        if changed {
            gauge!(BACKPLANE_CONNECTED.name).set(0.0);
            tracing::warn!(
                why,
                "cut off from the backplane: only clients of this pod hear each other"
            );
        }
    }
}
