//! Events of the own pod, as `kubectl describe pod` shows them: a drain, a backplane that is lost and back.
//!
//! What happens again within some minutes is one Event that counts. Nothing waits for them but the very end of a pod,
//! for a moment.

use std::{
    collections::HashMap,
    convert::Infallible,
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, Instant},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use metrics::counter;
use tokio::sync::{Mutex, watch};

use super::{Api, Own, calls::Call, permissions::Permissions};
use crate::{
    backplane::Link,
    config::Drain,
    drain::{Lifecycle, Outcome, Phase},
    telemetry::metrics::KUBERNETES_EVENTS_HELD_BACK,
};

/// Events at once, after a quiet time; one more every [`PERIOD`].
const BURST: NonZeroU32 = NonZeroU32::new(10).unwrap();
const PERIOD: Duration = Duration::from_secs(60);
/// What happens again within this time counts on the Event that is there: so the recorder has it.
const SERIES: Duration = Duration::from_secs(6 * 60);
/// A pod that has not reached Redis so long after its start has lost it.
const STARTING: Duration = Duration::from_secs(10);

/// Writes Events of a pod.
pub struct Events {
    api: Api,
    permissions: Arc<Permissions>,
    recorder: Recorder,
    pod: ObjectReference,
    limit: DefaultDirectRateLimiter,
    /// When each reason was last written. Held while one is: the last one waits for the one before.
    written: Mutex<HashMap<&'static str, Instant>>,
}

impl Events {
    /// Of this one.
    pub fn new(api: Api, permissions: Arc<Permissions>, own: &Own) -> Option<Arc<Self>> {
        let reporter = Reporter { controller: "roomcast".into(), instance: Some(own.name.clone()) };
        let pod = ObjectReference {
            api_version: Some("v1".into()),
            kind: Some("Pod".into()),
            name: Some(own.name.clone()),
            namespace: Some(api.environment().namespace.clone()),
            uid: own.uid.clone(),
            ..ObjectReference::default()
        };
        let limit = RateLimiter::direct(Quota::with_period(PERIOD)?.allow_burst(BURST));
        let recorder = Recorder::new(api.client(), reporter);
        Some(Arc::new(Self { recorder, api, permissions, pod, limit, written: Mutex::default() }))
    }

    /// Follows the life of the pod until it is dropped. What changes while one is being written is told as it is then.
    pub async fn follow(
        self: Arc<Self>,
        lifecycle: Lifecycle,
        link: Option<watch::Receiver<Link>>,
        drain: Drain,
        connections: impl Fn() -> usize,
    ) -> Infallible {
        // A pod that leaves has not lost its backplane.
        let leaving = lifecycle.clone();
        let link = async {
            tokio::select! {
                never = self.follow_link(link) => match never {},
                () = leaving.reached(Phase::Flushing) => std::future::pending().await,
            }
        };
        tokio::join!(self.follow_drain(lifecycle, drain, connections), link).0
    }

    async fn follow_drain(
        &self,
        lifecycle: Lifecycle,
        drain: Drain,
        connections: impl Fn() -> usize,
    ) -> Infallible {
        let mut told = Phase::Serving;
        loop {
            lifecycle.left(told).await;
            let phase = lifecycle.phase();
            if told == Phase::Serving {
                let note = format!(
                    "{} connections; new ones are refused from now on, these are closed over {:?} after {:?}",
                    connections(),
                    drain.window,
                    drain.delay
                );
                self.write(EventType::Normal, "DrainBegan", "Drain", note).await;
            } else if phase == Phase::Serving {
                let note = "taken back: new connections are welcome again".to_owned();
                self.write(EventType::Normal, "DrainTakenBack", "Drain", note).await;
            }
            told = phase;
        }
    }

    /// The end of a drain, which is the end of the pod: waits for it, but no longer than this.
    pub async fn drained(&self, outcome: &Outcome, limit: Duration) {
        let Outcome { connections, cut, took, waited, .. } = outcome;
        let [seconds, waited] = [*took - *waited, *waited].map(|time| time.as_secs_f64());
        let note = format!(
            "{connections} connections closed in {seconds:.1} s, {cut} of them cut, after {waited:.1} s of waiting for a rollout"
        );
        let kind = if *cut > 0 { EventType::Warning } else { EventType::Normal };
        let written = self.write(kind, "DrainEnded", "Drain", note);
        let _ = tokio::time::timeout(limit, written).await;
    }

    async fn follow_link(&self, link: Option<watch::Receiver<Link>>) -> Infallible {
        let Some(mut link) = link else { return std::future::pending().await };
        // A start takes a moment.
        let _ = tokio::time::timeout(STARTING, link.wait_for(|link| *link != Link::Starting)).await;
        let mut lost = false;
        loop {
            let now = *link.borrow_and_update();
            match (now, lost) {
                (Link::Starting, false) => {
                    let note = "Redis has not been reached since the pod started: it is not ready";
                    self.write(EventType::Warning, "BackplaneLost", "Connect", note.into()).await;
                }
                (Link::Away, false) => {
                    let note = "cut off from Redis: only clients of this pod hear each other";
                    self.write(EventType::Warning, "BackplaneLost", "Connect", note.into()).await;
                }
                (Link::Up, true) => {
                    let note = "messages go to the other pods again";
                    self.write(EventType::Normal, "BackplaneBack", "Connect", note.into()).await;
                }
                _ => {}
            }
            lost = now != Link::Up;
            if link.changed().await.is_err() {
                // The pod has gone.
                return std::future::pending().await;
            }
        }
    }

    async fn write(&self, kind: EventType, reason: &'static str, action: &str, note: String) {
        let mut written = self.written.lock().await;
        let again = written.get(reason).is_some_and(|last| last.elapsed() < SERIES);
        let call = if again { Call::PatchEvent } else { Call::CreateEvent };
        if !self.permissions.may(call) {
            return;
        }
        if self.limit.check().is_err() {
            counter!(KUBERNETES_EVENTS_HELD_BACK.name).increment(1);
            return;
        }
        let event = Event {
            type_: kind,
            reason: reason.into(),
            note: Some(note),
            action: action.into(),
            secondary: None,
        };
        // One that fails is not tried again: what it says is in the log, too.
        if self.api.call(call, self.recorder.publish(&event, &self.pod)).await.is_ok() {
            written.insert(reason, Instant::now());
        }
    }
}
