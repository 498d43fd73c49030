//! The control plane of the lab, and what a pod that runs beside it is told of it.

use std::{
    fs,
    io::Write,
    net::{IpAddr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::wait_for;

/// Autoscalers look every 15 seconds; the API server looks whether an API is there every 30.
pub const PATIENCE: Duration = Duration::from_secs(120);
pub const API_SERVICE: &str = "v1beta1.external.metrics.k8s.io";

/// The lab, with its control plane running.
pub struct Cluster {
    run: PathBuf,
    bin: PathBuf,
}

impl Cluster {
    /// The one of the lab, started if it does not run; none, and a loud line, where there is no lab.
    pub fn find() -> Option<Self> {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/lab");
        let folder = std::env::var("ROOMCAST_LAB").unwrap_or_else(|_| default.into());
        let program = Path::new(&folder).join("lab");
        let skip = |why: &str| {
            // Past what the test harness keeps to itself.
            let line = format!(
                "\nSKIPPED: external metrics against a real API server: {why}; ROOMCAST_LAB names the lab\n\n"
            );
            let _ = std::io::stderr().write_all(line.as_bytes());
            None
        };
        if !program.is_file() {
            return skip(&format!("{folder} has no lab"));
        }
        let cache = std::env::var("LAB_CACHE").map(PathBuf::from).unwrap_or_else(|_| {
            Path::new(&std::env::var("HOME").unwrap()).join(".cache/roomcast-lab")
        });
        let cluster = Self { run: cache.join("run"), bin: cache.join("bin") };
        if ["etcd", "kube-apiserver", "kube-controller-manager", "kubectl"]
            .iter()
            .any(|part| !cluster.bin.join(part).is_file())
        {
            return skip(&format!("{folder}/lab build control-plane has not been run"));
        }
        if !cluster.kubectl(&["get", "--raw", "/readyz"]).status.success() {
            let up = Command::new(&program).args(["up", "--control-plane"]).status().unwrap();
            assert!(up.success(), "lab up --control-plane");
        }
        Some(cluster)
    }

    /// Runs kubectl as the administrator.
    pub fn kubectl(&self, arguments: &[&str]) -> Output {
        self.command(arguments).stdin(Stdio::null()).output().unwrap()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.bin.join("kubectl"));
        command.arg("--kubeconfig").arg(self.run.join("admin.kubeconfig")).args(arguments);
        command
    }

    /// The same, which must succeed; gives what it prints.
    pub fn run(&self, arguments: &[&str]) -> String {
        let output = self.kubectl(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Applies objects, in YAML.
    pub fn apply(&self, objects: &str) {
        let mut command = self.command(&["apply", "-f", "-"]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(objects.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}\n{objects}", text(&output.stderr));
    }

    /// What a path answers, as JSON, or the error that kubectl prints.
    pub fn raw(&self, path: &str) -> Result<Value, String> {
        let output = self.kubectl(&["get", "--raw", path]);
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout).unwrap())
        } else {
            Err(text(&output.stderr))
        }
    }

    /// The certificate that the API server shows to those it passes requests on to, and its key, in one PEM.
    pub fn front_proxy(&self) -> String {
        self.certificate("front-proxy")
    }

    /// A certificate of the lab's authority, and its key.
    pub fn certificate(&self, name: &str) -> String {
        let read =
            |ending| fs::read_to_string(self.run.join("pki").join(format!("{name}.{ending}")));
        read("crt").unwrap() + &read("key").unwrap()
    }

    /// The folder of a service account, as it is mounted in a pod.
    pub fn account(&self, namespace: &str, name: &str) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let token = self.run(&["-n", namespace, "create", "token", name, "--duration=1h"]);
        let write = |file: &str, text: &[u8]| fs::write(folder.path().join(file), text).unwrap();
        write("token", token.trim().as_bytes());
        write("ca.crt", &fs::read(self.run.join("pki/ca.crt")).unwrap());
        write("namespace", namespace.as_bytes());
        folder
    }

    /// Waits until something is there.
    pub fn eventually<T>(&self, what: &str, mut condition: impl FnMut() -> Result<T, String>) -> T {
        let begun = Instant::now();
        loop {
            match condition() {
                Ok(value) => return value,
                Err(error) => {
                    assert!(begun.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}: {error}");
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// An address of this machine at which Kubernetes lets an endpoint be: none that loops back.
pub fn address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent.
    socket.connect("198.51.100.1:9").expect("an interface beside lo");
    socket.local_addr().unwrap().ip()
}

/// Where a pod listens for the API server, by its log.
pub fn listens(pod: &crate::support::Pod) -> SocketAddr {
    wait_for("the listener for external metrics", || {
        pod.logs().iter().find_map(|line| {
            let ours = line["message"].as_str()?.starts_with("external metrics listener");
            ours.then(|| line["address"].as_str()?.parse().ok()).flatten()
        })
    })
}

/// A namespace of the test's own, with what a chart would put there and in the cluster; all of it ends with the test.
pub struct Installed<'a> {
    cluster: &'a Cluster,
    pub namespace: String,
}

impl<'a> Installed<'a> {
    pub fn new(cluster: &'a Cluster, name: &str) -> Self {
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
