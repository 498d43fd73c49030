//! What a chart would put into the cluster for external metrics, of which one test is the owner.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use crate::{
    control_plane::ControlPlane,
    support::{Pod, wait_for},
};

pub const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";

/// An address of this machine at which Kubernetes lets an endpoint be: none that loops back.
pub fn address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent.
    socket.connect("198.51.100.1:9").expect("an interface beside lo");
    socket.local_addr().unwrap().ip()
}

/// Where a pod listens for the API server, by its log.
pub fn listens(pod: &Pod) -> SocketAddr {
    wait_for("the listener for external metrics", || {
        pod.logs().iter().find_map(|line| {
            let ours = line["message"].as_str()?.starts_with("external metrics listener");
            ours.then(|| line["address"].as_str()?.parse().ok()).flatten()
        })
    })
}

/// A namespace of the test's own, with what a chart would put there and in the cluster; all of it ends with the test.
pub struct Installed<'a> {
    cluster: &'a ControlPlane,
    pub namespace: String,
}

impl<'a> Installed<'a> {
    pub fn new(cluster: &'a ControlPlane, name: &str) -> Self {
        let namespace = format!("{name}-{}", std::process::id());
        cluster.run(&["create", "namespace", &namespace]);
        let installed = Self { cluster, namespace };
        installed.apply(include_str!("installed.yaml"));
        installed
    }

    /// Applies objects in which the namespace stands as NAMESPACE.
    pub fn apply(&self, objects: &str) {
        self.cluster.apply(&objects.replace("NAMESPACE", &self.namespace));
    }

    /// Leads the Service to these addresses.
    pub fn leads_to(&self, addresses: &[SocketAddr]) {
        for (number, address) in addresses.iter().enumerate() {
            self.apply(&format!(
                "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\n\
                 metadata: {{name: chat-{number}, namespace: NAMESPACE, labels: {{kubernetes.io/service-name: chat-external-metrics}}}}\n\
                 addressType: {}\nports: [{{name: https, port: {}, protocol: TCP}}]\n\
                 endpoints: [{{addresses: [\"{}\"], conditions: {{ready: true}}}}]\n",
                if address.is_ipv4() { "IPv4" } else { "IPv6" },
                address.port(),
                address.ip(),
            ));
        }
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        let namespace = &*self.namespace;
        for what in [
            &["apiservice", API_SERVICE][..],
            &["clusterrole", namespace],
            &["clusterrolebinding", namespace],
            &["-n", "kube-system", "rolebinding", namespace],
            &["namespace", namespace],
        ] {
            let how = ["delete", "--ignore-not-found", "--wait=false"];
            self.cluster.kubectl(&[&how, what].concat());
        }
    }
}
