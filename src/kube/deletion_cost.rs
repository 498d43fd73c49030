//! The annotation `controller.kubernetes.io/pod-deletion-cost` of the own pod: of the pods of a ReplicaSet, those with
//! the lowest cost go first when it is scaled in. It is the number of connections, so that the emptiest pod goes.
//!
//! Kubernetes asks not to write it often. So: at start, then at most once a minute, when it has changed by more than a
//! tenth.

use std::{collections::BTreeMap, convert::Infallible, time::Duration};

use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams};
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use super::{
    Api, Own,
    calls::{Call, CallError},
    permissions::Permissions,
};

/// The annotation.
const ANNOTATION: &str = "controller.kubernetes.io/pod-deletion-cost";
/// The shortest time between two writes.
const INTERVAL: Duration = Duration::from_secs(60);
/// A change by this part, or less, is not worth one.
const PART: u64 = 10;

/// Keeps the annotation until it is dropped.
pub async fn keep(
    api: &Api,
    permissions: &Permissions,
    own: &Own,
    connections: impl Fn() -> usize,
) -> Infallible {
    permissions.asked().await;
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // What the API server has, as far as is known.
    let mut written = None;
    let mut looked = false;
    loop {
        ticks.tick().await;
        if !looked && permissions.may(Call::GetPod) {
            // A container that was started anew finds the cost of the one before.
            if let Ok(before) = read(api, own).await {
                (written, looked) = (before, true);
            }
        }
        let cost = cost(connections());
        if is_due(written, cost)
            && permissions.may(Call::PatchPod)
            && write(api, own, cost).await.is_ok()
        {
            written = Some(cost);
        }
    }
}

/// What so many connections cost: the annotation takes 32 bits.
fn cost(connections: usize) -> i32 {
    i32::try_from(connections).unwrap_or(i32::MAX)
}

/// Whether it has changed enough.
fn is_due(written: Option<i32>, now: i32) -> bool {
    let Some(written) = written else { return true };
    u64::from(now.abs_diff(written)) * PART > u64::from(written.unsigned_abs())
}

/// What the annotation says.
async fn read(api: &Api, own: &Own) -> Result<Option<i32>, CallError> {
    let pods = kube::Api::<Pod>::namespaced(api.client(), &api.environment().namespace);
    let pod = api.call(Call::GetPod, pods.get_metadata(&own.name)).await?;
    Ok(in_annotations(pod.metadata.annotations.as_ref()))
}

fn in_annotations(annotations: Option<&BTreeMap<String, String>>) -> Option<i32> {
    annotations?.get(ANNOTATION)?.parse().ok()
}

/// Writes it; not to another pod that has got the name since.
async fn write(api: &Api, own: &Own, cost: i32) -> Result<(), CallError> {
    let pods = kube::Api::<Pod>::namespaced(api.client(), &api.environment().namespace);
    let mut metadata = json!({"annotations": {ANNOTATION: cost.to_string()}});
    if let Some(uid) = &own.uid {
        metadata["uid"] = uid.as_str().into();
    }
    let patch = Patch::Merge(json!({"metadata": metadata}));
    let params = PatchParams::default();
    api.call(Call::PatchPod, pods.patch_metadata(&own.name, &params, &patch)).await?;
    tracing::debug!(cost, "deletion cost written");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_when_it_changed_by_more_than_a_tenth() {
        for (written, now, due) in [
            (None, 0, true),
            (Some(0), 0, false),
            (Some(0), 1, true),
            (Some(1), 0, true),
            (Some(10), 11, false),
            (Some(10), 12, true),
            (Some(100), 90, false),
            (Some(100), 89, true),
            (Some(-5), 0, true),
            (Some(i32::MAX), i32::MAX, false),
            (Some(i32::MIN), i32::MAX, true),
        ] {
            assert_eq!(is_due(written, now), due, "{written:?} {now}");
        }
        assert_eq!(cost(usize::MAX), i32::MAX);
    }

    #[test]
    fn what_somebody_else_wrote_there_is_written_over() {
        let said = |text: &str| {
            in_annotations(Some(&BTreeMap::from([(ANNOTATION.to_owned(), text.to_owned())])))
        };
        assert_eq!((said("12"), said("many"), in_annotations(None)), (Some(12), None, None));
    }
}
