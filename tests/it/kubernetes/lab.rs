//! A real control plane, of the lab beside the repository; each test has a namespace and a service account of its own.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::{control_plane::ControlPlane, support::wait_for};

/// Where the API server listens.
const HOST: &str = "127.0.0.1";
const PORT: &str = "20443";

/// All that the chart grants a pod, by verb and resource.
pub const GRANTED: [(&str, &str, &str); 6] = [
    ("get", "pods", ""),
    ("patch", "pods", ""),
    ("list", "endpointslices", "discovery.k8s.io"),
    ("watch", "endpointslices", "discovery.k8s.io"),
    ("create", "events", "events.k8s.io"),
    ("patch", "events", "events.k8s.io"),
];

/// A namespace with a pod, `chat-0`, that nothing runs; its service account may what it is granted.
pub struct Lab {
    plane: &'static ControlPlane,
    pub namespace: String,
    account: Option<tempfile::TempDir>,
    uid: String,
}

impl Lab {
    /// One where all is granted; none where there is no lab.
    pub fn new() -> Option<Self> {
        Self::with(&GRANTED)
    }

    /// One where this is.
    pub fn with(granted: &[(&str, &str, &str)]) -> Option<Self> {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let plane = ControlPlane::find()?;
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let namespace = format!("it-{}-{number}", std::process::id());
        let mut lab =
            Self { plane, namespace: namespace.clone(), account: None, uid: String::new() };
        lab.kubectl(&["create", "namespace", &namespace], None);
        lab.apply(
            &json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "chat"}}),
        );
        lab.grant(granted);
        lab.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "chat"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "chat"},
            "subjects": [{"kind": "ServiceAccount", "name": "chat", "namespace": namespace}],
        }));
        lab.apply(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "chat-0", "labels": {"app": "chat"}},
            "spec": {
                "serviceAccountName": "chat",
                "terminationGracePeriodSeconds": 60,
                "containers": [{"name": "chat", "image": "nothing.test/none:1"}],
            },
        }));
        lab.uid = lab.kubectl(&["get", "pod", "chat-0", "-o", "jsonpath={.metadata.uid}"], None);
        lab.account = Some(plane.account(&lab.namespace, "chat"));
        Some(lab)
    }

    /// Grants this, and nothing else.
    pub fn grant(&self, granted: &[(&str, &str, &str)]) {
        let rules: Vec<_> = granted
            .iter()
            .map(|(verb, resource, group)| {
                json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]})
            })
            .collect();
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "Role",
            "metadata": {"name": "chat"},
            "rules": rules,
        }));
    }

    pub fn apply(&self, object: &Value) {
        self.kubectl(&["apply", "-f", "-"], Some(object));
    }

    /// Runs it in the namespace, and gives what it printed.
    pub fn kubectl(&self, args: &[&str], input: Option<&Value>) -> String {
        let args = [&["--namespace", &self.namespace], args].concat();
        self.plane.run_with(&args, &input.map(Value::to_string).unwrap_or_default())
    }

    /// What Kubernetes would set in the container, the files of the service account beside.
    pub fn variables(&self) -> Vec<(&str, &str)> {
        vec![
            ("KUBERNETES_SERVICE_HOST", HOST),
            ("KUBERNETES_SERVICE_PORT", PORT),
            ("K8S_NAMESPACE_NAME", &self.namespace),
            ("K8S_NODE_NAME", "none"),
            ("K8S_POD_NAME", "chat-0"),
            ("K8S_POD_UID", &self.uid),
            ("POD_IP", "127.0.0.1"),
            ("ROOMCAST__KUBERNETES__ENABLED", "true"),
            (
                "ROOMCAST__KUBERNETES__SERVICE_ACCOUNT",
                self.account.as_ref().unwrap().path().to_str().unwrap(),
            ),
        ]
    }

    /// The annotation of its pod.
    pub fn deletion_cost(&self) -> String {
        let path = r"jsonpath={.metadata.annotations.controller\.kubernetes\.io/pod-deletion-cost}";
        self.kubectl(&["get", "pod", "chat-0", "-o", path], None)
    }

    /// Waits for an Event with this reason, so many times.
    pub fn event(&self, reason: &str, times: u64) -> Value {
        wait_for(&format!("{times} × {reason}"), || {
            let events = self.kubectl(&["get", "events.events.k8s.io", "-o", "json"], None);
            let events: Value = serde_json::from_str(&events).unwrap();
            let mut events = events["items"].as_array().unwrap().iter();
            let found = events.find(|event| event["reason"] == reason)?;
            let count = found["series"]["count"].as_u64().unwrap_or(1);
            (count >= times).then(|| found.clone())
        })
    }

    /// Says that there are pods at these addresses.
    pub fn slice(&self, name: &str, address: &str, port: u16) {
        self.apply(&json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {"name": name, "labels": {"kubernetes.io/service-name": "chat-headless"}},
            "addressType": "IPv4",
            "endpoints": [{
                "addresses": [address],
                "conditions": {"ready": false, "serving": false, "terminating": true},
            }],
            "ports": [{"name": "internal", "port": port, "protocol": "TCP"}],
        }));
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.plane.kubectl(&["delete", "namespace", "--wait=false", &self.namespace]);
    }
}
