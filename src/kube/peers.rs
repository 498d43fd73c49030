//! Where the pods are, by the EndpointSlices of their headless Service.
//!
//! All addresses are kept, whatever is said of them: a pod that drains says "not ready" at once, and so `serving` is
//! false of it for as long as its sessions live; so it is of pods that are cut off from Redis, which is when they are looked
//! for here. Whether a pod is there, and which, is what the edge asks it itself. An address goes when its
//! pod has gone.

use std::{
    collections::{BTreeSet, HashMap},
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    pin::pin,
};

use futures_util::StreamExt;
use k8s_openapi::api::discovery::v1::{EndpointPort, EndpointSlice};
use kube::{
    api::ListParams,
    runtime::{
        WatchStreamExt,
        watcher::{self, Event, watcher},
    },
};
use metrics::gauge;
use tokio::sync::watch;

use super::{
    Api,
    calls::{Call, CallError},
    permissions::Permissions,
};
use crate::telemetry::metrics::KUBERNETES_PEERS;

/// Internal listeners of pods.
pub type Addresses = BTreeSet<SocketAddr>;

/// The label by which Kubernetes says whose a slice is.
const SERVICE: &str = "kubernetes.io/service-name";
/// The port of a Service that has several.
const PORT: &str = "internal";
/// More addresses than this are no cluster of ours.
const MOST: usize = 4096;
/// What the API server answers to who asks for changes since a time that it no longer knows: the watcher lists anew.
const GONE: u16 = 410;

/// Watches them until it is dropped. `port` is that of pods whose slices name none.
pub async fn watch(
    api: &Api,
    permissions: &Permissions,
    service: &str,
    port: u16,
    addresses: &watch::Sender<Addresses>,
) -> Infallible {
    permissions.allowed(Call::ListSlices).await;
    let slices = kube::Api::<EndpointSlice>::namespaced(api.client(), &api.environment().namespace);
    let config = watcher::Config::default().labels(&format!("{SERVICE}={service}"));
    // It waits longer after each failure, and less again once it works.
    let mut changes = pin!(watcher(slices, config).default_backoff());
    let mut seen = Seen::new(port);
    loop {
        match changes.next().await {
            Some(Ok(change)) => {
                if let Some(call) = seen.take(change) {
                    api.note(call, None);
                    publish(&seen, addresses);
                }
            }
            Some(Err(error)) => note(api, &error),
            // It never ends.
            None => return std::future::pending().await,
        }
    }
}

/// The addresses now.
///
/// # Errors
/// If the API server does not say.
pub async fn list(api: &Api, service: &str, port: u16) -> Result<Addresses, CallError> {
    let slices = kube::Api::<EndpointSlice>::namespaced(api.client(), &api.environment().namespace);
    let params = ListParams::default().labels(&format!("{SERVICE}={service}"));
    let list = api.call(Call::ListSlices, slices.list(&params)).await?;
    Ok(list.items.iter().flat_map(|slice| addresses(slice, port)).take(MOST).collect())
}

fn publish(seen: &Seen, addresses: &watch::Sender<Addresses>) {
    let now = seen.addresses();
    gauge!(KUBERNETES_PEERS.name).set(now.len() as f64);
    addresses.send_if_modified(|before| {
        let changed = *before != now;
        *before = now;
        changed
    });
}

/// What failed, as far as it is a failure.
fn note(api: &Api, error: &watcher::Error) {
    let (call, error) = match error {
        watcher::Error::InitialListFailed(error) => (Call::ListSlices, CallError::from(error)),
        watcher::Error::WatchStartFailed(error) | watcher::Error::WatchFailed(error) => {
            (Call::WatchSlices, CallError::from(error))
        }
        watcher::Error::WatchError(status) if status.code == GONE => return,
        watcher::Error::WatchError(status) => (Call::WatchSlices, CallError::from(&**status)),
        watcher::Error::NoResourceVersion => {
            (Call::WatchSlices, CallError::Failed(error.to_string()))
        }
    };
    api.note(call, Some(&error));
}

/// The addresses of each slice, by its name.
struct Seen {
    port: u16,
    slices: HashMap<String, Vec<SocketAddr>>,
    /// A list that is being read. What was there before counts until it is whole.
    list: Option<HashMap<String, Vec<SocketAddr>>>,
}

impl Seen {
    fn new(port: u16) -> Self {
        Self { port, slices: HashMap::new(), list: None }
    }

    /// Takes a change, and says which request has worked if the addresses may be others now.
    fn take(&mut self, change: Event<EndpointSlice>) -> Option<Call> {
        match change {
            Event::Init => {
                self.list = Some(HashMap::new());
                None
            }
            Event::InitApply(slice) => {
                let (name, addresses) = (name(&slice), addresses(&slice, self.port));
                self.list.get_or_insert_default().insert(name, addresses);
                None
            }
            Event::InitDone => {
                self.slices = self.list.take().unwrap_or_default();
                Some(Call::ListSlices)
            }
            Event::Apply(slice) => {
                self.slices.insert(name(&slice), addresses(&slice, self.port));
                Some(Call::WatchSlices)
            }
            Event::Delete(slice) => {
                self.slices.remove(&name(&slice));
                Some(Call::WatchSlices)
            }
        }
    }

    fn addresses(&self) -> Addresses {
        self.slices.values().flatten().copied().take(MOST).collect()
    }
}

fn name(slice: &EndpointSlice) -> String {
    slice.metadata.name.clone().unwrap_or_default()
}

/// The addresses of a slice, with the port of the internal listener.
fn addresses(slice: &EndpointSlice, fallback: u16) -> Vec<SocketAddr> {
    let port = port(slice.ports.as_deref().unwrap_or_default(), fallback);
    let all = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
    // A slice of names (FQDN) has none.
    all.filter_map(|address| Some(SocketAddr::new(address.parse::<IpAddr>().ok()?, port))).collect()
}

/// The one that is called so, or the only one.
fn port(ports: &[EndpointPort], fallback: u16) -> u16 {
    let named = ports.iter().find(|port| port.name.as_deref() == Some(PORT));
    let port = named.or(ports.first().filter(|_| ports.len() == 1)).and_then(|port| port.port);
    port.and_then(|port| u16::try_from(port).ok()).unwrap_or(fallback)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    fn slice(name: &str, addresses: &[&str]) -> EndpointSlice {
        let ready = json!({"ready": false, "serving": false, "terminating": true});
        let endpoints: Vec<_> = addresses
            .iter()
            .map(|address| json!({"addresses": [address], "conditions": ready}))
            .collect();
        serde_json::from_value(json!({
            "metadata": {"name": name},
            "addressType": "IPv4",
            "endpoints": endpoints,
            "ports": [{"name": "public", "port": 3000}, {"name": "internal", "port": 9001}],
        }))
        .unwrap()
    }

    fn texts(seen: &Seen) -> Vec<String> {
        seen.addresses().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn pods_that_drain_are_there_until_they_have_gone() {
        let mut seen = Seen::new(9000);
        seen.take(Event::Init);
        seen.take(Event::InitApply(slice("a", &["10.0.0.1", "10.0.0.2"])));
        seen.take(Event::InitApply(slice("b", &["fd00::1", "a.name"])));
        assert!(seen.addresses().is_empty(), "the list is not whole");
        assert_eq!(seen.take(Event::InitDone), Some(Call::ListSlices));
        assert_eq!(texts(&seen), ["10.0.0.1:9001", "10.0.0.2:9001", "[fd00::1]:9001"]);
        seen.take(Event::Apply(slice("a", &["10.0.0.2"])));
        seen.take(Event::Delete(slice("b", &[])));
        assert_eq!(texts(&seen), ["10.0.0.2:9001"]);
    }

    #[test]
    fn a_list_that_begins_anew_takes_nobody_away() {
        let mut seen = Seen::new(9000);
        seen.take(Event::InitApply(slice("a", &["10.0.0.1"])));
        seen.take(Event::InitDone);
        seen.take(Event::Init);
        assert_eq!(texts(&seen), ["10.0.0.1:9001"]);
        seen.take(Event::InitApply(slice("c", &["10.0.0.3"])));
        assert_eq!(texts(&seen), ["10.0.0.1:9001"]);
        seen.take(Event::InitDone);
        assert_eq!(texts(&seen), ["10.0.0.3:9001"]);
    }

    #[test]
    fn the_port_is_the_internal_one() {
        let ports =
            |ports| port(&serde_json::from_value::<Vec<EndpointPort>>(ports).unwrap(), 9000);
        assert_eq!(ports(json!([])), 9000);
        assert_eq!(ports(json!([{"name": "", "port": 1}])), 1);
        assert_eq!(ports(json!([{"name": "a", "port": 1}, {"name": "b", "port": 2}])), 9000);
        assert_eq!(ports(json!([{"name": "a", "port": 1}, {"name": "internal", "port": 2}])), 2);
    }
}
