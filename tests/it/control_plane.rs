//! The control plane of the lab beside the repository, and what a pod that runs beside it is told of it.

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::OnceLock,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

/// Autoscalers look every 15 seconds; the API server looks whether an API is there every 30.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// The lab, with its control plane running.
pub struct ControlPlane {
    run: PathBuf,
    bin: PathBuf,
}

impl ControlPlane {
    /// The one of the lab, started if it does not run; none, and a loud line, where there is no lab.
    pub fn find() -> Option<&'static Self> {
        static FOUND: OnceLock<Option<ControlPlane>> = OnceLock::new();
        FOUND.get_or_init(Self::start).as_ref()
    }

    fn start() -> Option<Self> {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/lab");
        let folder = std::env::var("ROOMCAST_LAB").unwrap_or_else(|_| default.into());
        let program = Path::new(&folder).join("lab");
        let skip = |why: &str| {
            // Past what the test harness keeps to itself.
            let line = format!(
                "\nSKIPPED: tests against a real API server: {why}; ROOMCAST_LAB names the lab\n\n"
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
        let found = Self { run: cache.join("run"), bin: cache.join("bin") };
        if ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl"]
            .iter()
            .any(|part| !found.bin.join(part).is_file())
        {
            return skip(&format!("{folder}/lab build control-plane has not been run"));
        }
        if !found.kubectl(&["get", "--raw", "/readyz"]).status.success() {
            let up = Command::new(&program).args(["up", "--control-plane"]).status().unwrap();
            assert!(up.success(), "lab up --control-plane");
        }
        Some(found)
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

    /// The same, which reads this.
    pub fn run_with(&self, arguments: &[&str], input: &str) -> String {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}\n{input}", text(&output.stderr));
        text(&output.stdout)
    }

    /// Applies objects, in YAML.
    pub fn apply(&self, objects: &str) {
        self.run_with(&["apply", "-f", "-"], objects);
    }

    /// The authorities that a pod knows the API server by.
    pub fn authorities(&self) -> Vec<u8> {
        fs::read(self.run.join("pki/ca.crt")).unwrap()
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
        write("ca.crt", &self.authorities());
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
