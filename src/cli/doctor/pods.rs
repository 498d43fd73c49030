//! Pods: the one of this machine, and the others by what Redis and Kubernetes say of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use futures_util::{StreamExt, stream};
use reqwest::Client;

use super::report::Report;
use crate::{backplane::PodRecord, cli::pod, config::Config};

/// Pods that are asked at the same time.
const AT_ONCE: usize = 32;
/// So much of an answer is shown.
const SHOWN: usize = 200;

/// Whether the pod of this machine is ready, and what it says if it is not.
pub(super) async fn look_here(
    config: &Config,
    client: &Client,
    expected: bool,
    report: &mut Report,
) {
    let url = format!("{}/readyz", pod::here(config));
    match client.get(&url).send().await {
        Ok(answer) => {
            let ready = answer.status().is_success();
            let said = answer.text().await.unwrap_or_default();
            let said: String = said.trim().chars().take(SHOWN).collect();
            if ready {
                report.ok("pod", format!("ready: {said}"));
            } else {
                report.warning("pod", format!("not ready: {said}"), "new clients are sent elsewhere until it is");
            }
        }
        Err(error) if expected => report.error(
            "pod",
            format!("{url}: {}", error.without_url()),
            "run this with the configuration of the pod (--config): internal.listen says where it is",
        ),
        Err(_) => report.skipped("pod", format!("none runs here with this configuration ({url})")),
    }
}

/// Whether the others are reached, as they must be for requests that are forwarded.
pub(super) async fn look_around(
    records: Option<&[PodRecord]>,
    slices: Option<&BTreeSet<SocketAddr>>,
    client: &Client,
    report: &mut Report,
) {
    let mut known: BTreeMap<String, Vec<&'static str>> = BTreeMap::new();
    for record in records.unwrap_or_default() {
        known.entry(record.address.clone()).or_default().push("Redis");
    }
    for address in slices.into_iter().flatten() {
        known.entry(address.to_string()).or_default().push("Kubernetes");
    }
    if known.is_empty() {
        report.skipped("peers", "neither Redis nor Kubernetes names pods");
        return;
    }
    let asked = known.iter().map(|(address, by)| async move {
        let answer = client.get(format!("http://{address}/livez")).send().await;
        let failed = match answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("answers {}", answer.status())),
            Err(error) => Some(reason(&error)),
        };
        (address, by, failed)
    });
    let answers: Vec<_> = stream::iter(asked).buffered(AT_ONCE).collect().await;
    let reached = answers.iter().filter(|(.., failed)| failed.is_none()).count();
    for (address, by, failed) in &answers {
        let Some(failed) = failed else { continue };
        report.error(
            "peers",
            format!("the pod at {address}, which {} names, is not reached: {failed}", by.join(" and ")),
            "a NetworkPolicy must let pods reach each other's internal port, and internal.listen must not be 127.0.0.1; \
             a pod that was lost is named for some seconds more",
        );
    }
    if reached == answers.len() {
        report.ok("peers", format!("{reached} of {reached} addresses answer"));
    }
    let (Some(records), Some(slices)) = (records, slices) else { return };
    let ours: BTreeSet<_> = records.iter().map(|record| record.address.as_str()).collect();
    let missing: Vec<_> = ours
        .iter()
        .filter(|address| !slices.iter().any(|slice| slice.to_string() == **address))
        .copied()
        .collect();
    if !missing.is_empty() {
        report.warning(
            "peers",
            format!("Redis names pods that kubernetes.peers_service does not: {}", missing.join(", ")),
            "the Service must select all pods, with `publishNotReadyAddresses: true` and a port named \"internal\"; pods of \
             another Deployment or of another cluster on this Redis are no fault",
        );
    }
}

/// Why a request failed, without the address, which stands beside it.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".into();
    }
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
