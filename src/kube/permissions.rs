//! What the service account must be allowed for what is configured, and whether it is: asked by a
//! `SelfSubjectAccessReview`, which every account may make, and not found out by failing.

use std::{collections::HashSet, convert::Infallible, time::Duration};

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::api::PostParams;
use metrics::gauge;
use tokio::sync::watch;

use super::{
    Api,
    calls::{Call, CallError},
};
use crate::{config, telemetry::metrics::KUBERNETES_REFUSED};

/// How often it is asked whether that is still so: a Role may come later than the pod.
const INTERVAL: Duration = Duration::from_secs(600);

/// One thing that the service account must be allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permission {
    /// The request that needs it.
    pub call: Call,
    /// The group of the API.
    pub group: &'static str,
    /// What is asked for, in the plural.
    pub resource: &'static str,
    /// What is done to it.
    pub verb: &'static str,
    /// The name of the one that it is done to, where there is one.
    pub name: Option<String>,
    /// Where it is; none for what belongs to the whole cluster.
    pub namespace: Option<String>,
    /// The setting that needs it.
    pub setting: &'static str,
}

impl Permission {
    /// The rule that grants it, for a Role or ClusterRole.
    pub fn rule(&self) -> String {
        let Self { group, resource, verb, .. } = self;
        format!("{{apiGroups: [\"{group}\"], resources: [{resource}], verbs: [{verb}]}}")
    }

    fn review(&self) -> SelfSubjectAccessReview {
        let attributes = ResourceAttributes {
            group: Some(self.group.into()),
            resource: Some(self.resource.into()),
            verb: Some(self.verb.into()),
            name: self.name.clone(),
            namespace: self.namespace.clone(),
            ..ResourceAttributes::default()
        };
        SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(attributes),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        }
    }
}

/// All that is needed for these settings.
pub fn needed(settings: &config::Kubernetes, api: &Api) -> Vec<Permission> {
    let environment = api.environment();
    let permission = |call, group, resource, verb, setting| Permission {
        call,
        group,
        resource,
        verb,
        name: None,
        namespace: Some(environment.namespace.clone()),
        setting,
    };
    let mut needed = Vec::new();
    if settings.deletion_cost {
        for (call, verb) in [(Call::GetPod, "get"), (Call::PatchPod, "patch")] {
            let name = environment.own.as_ref().map(|own| own.name.clone());
            let any = permission(call, "", "pods", verb, "kubernetes.deletion_cost");
            needed.push(Permission { name, ..any });
        }
    }
    if !settings.peers_service.is_empty() {
        for (call, verb) in [(Call::ListSlices, "list"), (Call::WatchSlices, "watch")] {
            let group = "discovery.k8s.io";
            let setting = "kubernetes.peers_service";
            needed.push(permission(call, group, "endpointslices", verb, setting));
        }
    }
    if settings.events {
        for (call, verb) in [(Call::CreateEvent, "create"), (Call::PatchEvent, "patch")] {
            needed.push(permission(call, "events.k8s.io", "events", verb, "kubernetes.events"));
        }
    }
    if settings.external_metrics.is_on() {
        needed.extend(for_external_metrics(&settings.external_metrics, &environment.namespace));
    }
    needed
}

/// What it takes to answer autoscalers.
fn for_external_metrics(settings: &config::ExternalMetrics, own: &str) -> Vec<Permission> {
    let setting = "kubernetes.external_metrics.listen";
    let permission = |call, group, resource, verb, name: &str, namespace: Option<&str>, setting| {
        let name = Some(name.to_owned()).filter(|name| !name.is_empty());
        let namespace = namespace.map(str::to_owned);
        Permission { call, group, resource, verb, name, namespace, setting }
    };
    let map = "extension-apiserver-authentication";
    let system = Some("kube-system");
    let mut needed = vec![
        permission(Call::GetConfigMap, "", "configmaps", "get", map, system, setting),
        permission(
            Call::Access,
            "authorization.k8s.io",
            "subjectaccessreviews",
            "create",
            "",
            None,
            setting,
        ),
    ];
    if !settings.secret.is_empty() {
        let setting = "kubernetes.external_metrics.secret";
        for (call, verb, name) in [
            (Call::GetSecret, "get", &*settings.secret),
            // Who may create cannot be told by name.
            (Call::CreateSecret, "create", ""),
            (Call::UpdateSecret, "update", &settings.secret),
        ] {
            needed.push(permission(call, "", "secrets", verb, name, Some(own), setting));
        }
        let (group, name) = ("apiregistration.k8s.io", &*settings.api_service);
        let setting = "kubernetes.external_metrics.api_service";
        let calls = [(Call::GetApiService, "get"), (Call::PatchApiService, "patch")];
        for (call, verb) in calls.into_iter().filter(|_| !name.is_empty()) {
            needed.push(permission(call, group, "apiservices", verb, name, None, setting));
        }
    }
    needed
}

/// Whether the service account may.
///
/// # Errors
/// If the API server does not say.
pub async fn ask(api: &Api, permission: &Permission) -> Result<bool, CallError> {
    let reviews = kube::Api::<SelfSubjectAccessReview>::all(api.client());
    let review = permission.review();
    let asked = api.call(Call::Review, reviews.create(&PostParams::default(), &review)).await?;
    Ok(asked.status.is_some_and(|status| status.allowed))
}

/// What the service account may not, as far as is known.
#[derive(Debug)]
pub struct Permissions {
    needed: Vec<Permission>,
    /// None before the first answers.
    missing: watch::Sender<Option<HashSet<&'static str>>>,
}

impl Permissions {
    /// With nothing known.
    pub fn new(needed: Vec<Permission>) -> Self {
        Self { needed, missing: watch::Sender::new(None) }
    }

    /// Waits until it has been asked, if that is what must be waited for.
    pub async fn asked(&self) {
        // The sender lives in `self`.
        let _ = self.missing.subscribe().wait_for(Option::is_some).await;
    }

    /// Waits until it is known that a request is not refused, or not known that it is.
    pub async fn allowed(&self, call: Call) {
        let fine = |missing: &Option<HashSet<&'static str>>| {
            missing.as_ref().is_some_and(|missing| !missing.contains(call.name()))
        };
        // The sender lives in `self`.
        let _ = self.missing.subscribe().wait_for(fine).await;
    }

    /// Whether a request is worth making: it is not known to be refused.
    pub fn may(&self, call: Call) -> bool {
        !self.missing.borrow().as_ref().is_some_and(|missing| missing.contains(call.name()))
    }

    /// Asks now and every while, until it is dropped.
    pub async fn watch(&self, api: &Api) -> Infallible {
        loop {
            self.look(api).await;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn look(&self, api: &Api) {
        let before = self.missing.borrow().clone().unwrap_or_default();
        let mut missing = HashSet::new();
        for permission in &self.needed {
            let name = permission.call.name();
            let refused = match ask(api, permission).await {
                Ok(may) => !may,
                // What was known stays so.
                Err(_) => before.contains(name),
            };
            gauge!(KUBERNETES_REFUSED.name, "permission" => name).set(f64::from(u8::from(refused)));
            if refused {
                missing.insert(name);
            }
            match (refused, before.contains(name)) {
                (true, false) => tracing::warn!(
                    permission = name,
                    setting = permission.setting,
                    namespace = permission.namespace,
                    rule = permission.rule(),
                    "Kubernetes: the pod's service account may not do this; add the rule to its Role, or turn the setting off"
                ),
                (false, true) => {
                    tracing::info!(
                        permission = name,
                        "Kubernetes: the service account may do this now"
                    )
                }
                _ => {}
            }
        }
        self.missing.send_replace(Some(missing));
    }
}
