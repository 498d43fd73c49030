//! What Kubernetes lets the pod do, and what it tells it.

use std::{collections::BTreeSet, net::SocketAddr, time::Duration};

use k8s_openapi::api::core::v1::Pod;

use super::report::Report;
use crate::{
    config::Config,
    kube::{Api, Call, Environment, internal_port, list_peers, permissions},
};

/// Variables that the chart sets by the Downward API, and what is not known without each.
const VARIABLES: [(&str, &str); 5] = [
    ("POD_IP", "where other pods reach this one"),
    ("K8S_NAMESPACE_NAME", "the namespace in traces"),
    ("K8S_NODE_NAME", "the node in traces"),
    ("K8S_POD_NAME", "the own pod, for its deletion cost and Events"),
    ("K8S_POD_UID", "the own pod, from a later one of the same name"),
];

/// Looks at it, and gives the addresses that EndpointSlices have.
pub(super) async fn look(config: &Config, report: &mut Report) -> Option<BTreeSet<SocketAddr>> {
    if !Environment::is_in_cluster() {
        report.skipped("kubernetes", "there is no cluster around this process");
        return None;
    }
    variables(report);
    let settings = &config.kubernetes;
    if !settings.enabled {
        report.skipped(
            "kubernetes",
            "kubernetes.enabled is false: nothing is asked of the API server",
        );
        return None;
    }
    let api = match Environment::read(settings).and_then(Api::new) {
        Ok(api) => api,
        Err(error) => {
            report.error("kubernetes", error.to_string(), "the pod does not start with it");
            return None;
        }
    };
    let mut peers = None;
    for permission in permissions::needed(settings, &api) {
        let name = permission.call.name();
        match permissions::ask(&api, &permission).await {
            Ok(true) => report.ok("rbac", format!("{name} ({})", permission.setting)),
            Ok(false) => report.error(
                "rbac",
                format!("{name} is refused, for {}", permission.setting),
                format!("add to the Role of the pod's service account: {}", permission.rule()),
            ),
            Err(error) => {
                report.error(
                    "kubernetes",
                    error.to_string(),
                    "a NetworkPolicy must let the pod reach the API server (443 and 6443, by address), and the service \
                     account must be there",
                );
                return None;
            }
        }
    }
    if !settings.peers_service.is_empty() {
        let port = internal_port(config);
        match list_peers(&api, &settings.peers_service, port).await {
            Ok(found) if found.is_empty() => report.error(
                "peers",
                format!("no EndpointSlice of the Service {:?} has an address", settings.peers_service),
                "kubernetes.peers_service must name a Service of this namespace that selects the pods",
            ),
            Ok(found) => {
                report.ok("peers", format!("{} addresses in EndpointSlices", found.len()));
                peers = Some(found);
            }
            // It is among what is refused.
            Err(error) => report.skipped("peers", error.to_string()),
        }
    }
    own_pod(config, &api, report).await;
    peers
}

fn variables(report: &mut Report) {
    let missing: Vec<_> = VARIABLES
        .iter()
        .filter(|(name, _)| std::env::var(name).unwrap_or_default().is_empty())
        .collect();
    for (name, what) in &missing {
        report.warning(
            "downward api",
            format!("{name} is not set: {what} is not known"),
            "set it as the chart does",
        );
    }
    if missing.is_empty() {
        report.ok("downward api", "the pod knows its names and its address");
    }
}

/// Whether Kubernetes waits for as long as a drain takes.
async fn own_pod(config: &Config, api: &Api, report: &mut Report) {
    let Some(own) = &api.environment().own else { return };
    let pods = kube::Api::<Pod>::namespaced(api.client(), &api.environment().namespace);
    let Ok(pod) = api.call(Call::GetPod, pods.get(&own.name)).await else {
        report.skipped("grace period", "the own pod cannot be read");
        return;
    };
    let grace = pod.spec.and_then(|spec| spec.termination_grace_period_seconds).unwrap_or(30);
    let grace = Duration::from_secs(u64::try_from(grace).unwrap_or_default());
    let drain = config.drain.delay + config.drain.timeout;
    let found =
        format!("terminationGracePeriodSeconds is {grace:?}, and a drain takes up to {drain:?}");
    if grace <= drain {
        report.error(
            "grace period",
            found,
            "set it above drain.delay + drain.timeout: the pod is killed before it is empty",
        );
    } else {
        report.ok("grace period", found);
    }
}
