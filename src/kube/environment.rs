//! What Kubernetes tells a pod of itself and of its API server: variables of the environment, and the folder of its
//! service account.

use std::{env, fs, path::PathBuf};

use http::Uri;

use super::SetupError;
use crate::config;

/// The addresses of the API server, which Kubernetes sets in each container.
const HOST: &str = "KUBERNETES_SERVICE_HOST";
const PORT: &str = "KUBERNETES_SERVICE_PORT";
/// The pod's own names, as the chart sets them by the Downward API.
const NAMESPACE: &str = "K8S_NAMESPACE_NAME";
const NAME: &str = "K8S_POD_NAME";
const UID: &str = "K8S_POD_UID";

/// Where a pod is, and who.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The API server.
    pub server: Uri,
    /// The file with the token, which the kubelet renews.
    pub token: PathBuf,
    /// Authorities of the API server's certificate, in PEM.
    pub authorities: PathBuf,
    /// The namespace of the pod.
    pub namespace: String,
    /// The pod itself, where the Downward API tells.
    pub own: Option<Own>,
}

/// A pod, as Kubernetes knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// Its name.
    pub name: String,
    /// What tells it from a later one of the same name.
    pub uid: Option<String>,
}

impl Environment {
    /// Whether there is a cluster around the process.
    pub fn is_in_cluster() -> bool {
        variable(HOST).is_some()
    }

    /// That of this process.
    ///
    /// # Errors
    /// If there is no cluster around it, or what is needed of it is not there.
    pub fn read(settings: &config::Kubernetes) -> Result<Self, SetupError> {
        Self::read_from(settings, variable)
    }

    fn read_from(
        settings: &config::Kubernetes,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, SetupError> {
        let host = variable(HOST).ok_or(SetupError::Outside)?;
        let port = variable(PORT).unwrap_or_else(|| "443".into());
        // An IPv6 address stands in brackets in a URL.
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        let server = format!("https://{host}:{port}");
        let server = server.parse().map_err(|_| SetupError::Address(server))?;
        let folder = PathBuf::from(&settings.service_account);
        let [token, authorities, namespace] =
            ["token", "ca.crt", "namespace"].map(|file| folder.join(file));
        let read = |file: &PathBuf| {
            let failed = |error| SetupError::Account { file: file.clone(), error };
            fs::read_to_string(file).map_err(failed)
        };
        read(&token)?;
        read(&authorities)?;
        let namespace = match variable(NAMESPACE) {
            Some(namespace) => namespace,
            None => read(&namespace)?.trim().to_owned(),
        };
        let own = variable(NAME).map(|name| Own { name, uid: variable(UID) });
        for (wanted, key) in
            [(settings.deletion_cost, "deletion_cost"), (settings.events, "events")]
        {
            if wanted && own.is_none() {
                return Err(SetupError::Nameless(key));
            }
        }
        Ok(Self { server, token, authorities, namespace, own })
    }
}

/// A variable of the environment that says something.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Config;

    fn settings(folder: &std::path::Path) -> config::Kubernetes {
        let mut settings = Config::defaults().kubernetes;
        settings.enabled = true;
        settings.service_account = folder.display().to_string();
        settings
    }

    fn account() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [("token", "t"), ("ca.crt", "c"), ("namespace", "chat\n")] {
            fs::write(folder.path().join(file), text).unwrap();
        }
        folder
    }

    fn read(
        settings: &config::Kubernetes,
        variables: &[(&str, &str)],
    ) -> Result<Environment, SetupError> {
        Environment::read_from(settings, |name| {
            let found = variables.iter().find(|(variable, _)| *variable == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_pod_knows_its_server_its_namespace_and_itself() {
        let folder = account();
        let settings = settings(folder.path());
        let own = [(NAME, "chat-1"), (UID, "u"), (NAMESPACE, "rooms")];
        let four = [&own[..], &[(HOST, "10.0.0.1"), (PORT, "6443")]].concat();
        let environment = read(&settings, &four).unwrap();
        assert_eq!(environment.server, "https://10.0.0.1:6443/");
        assert_eq!(environment.namespace, "rooms");
        assert_eq!(environment.own, Some(Own { name: "chat-1".into(), uid: Some("u".into()) }));
        let six = read(&settings, &[(HOST, "fd00::1"), (NAME, "chat-1")]).unwrap();
        assert_eq!(
            (six.server, &*six.namespace),
            ("https://[fd00::1]:443".parse().unwrap(), "chat")
        );
    }

    #[test]
    fn what_is_not_there_is_named_with_its_remedy() {
        let folder = account();
        let mut settings = settings(folder.path());
        let error = |settings: &config::Kubernetes, variables: &[(&str, &str)]| {
            read(settings, variables).unwrap_err().to_string()
        };
        let outside = error(&settings, &[(NAME, "chat-1")]);
        assert!(outside.contains(HOST) && outside.contains("set it to false"), "{outside}");
        let nameless = error(&settings, &[(HOST, "h")]);
        assert!(nameless.contains("kubernetes.deletion_cost = true"), "{nameless}");
        assert!(nameless.contains("K8S_POD_NAME"), "{nameless}");
        settings.deletion_cost = false;
        assert!(error(&settings, &[(HOST, "h")]).contains("kubernetes.events = true"));
        settings.events = false;
        assert!(read(&settings, &[(HOST, "h")]).is_ok());
        fs::remove_file(folder.path().join("token")).unwrap();
        let account = error(&settings, &[(HOST, "h")]);
        assert!(account.contains("automountServiceAccountToken"), "{account}");
    }
}
