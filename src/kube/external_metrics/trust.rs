//! Keeps what the API server is recognized by as the ConfigMap has it: its authority is replaced now and then.

use std::{
    convert::Infallible,
    sync::Arc,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::ConfigMap;
use parking_lot::{Mutex, RwLock};
use rustls::crypto::CryptoProvider;
use tokio::sync::Notify;

use super::front_proxy::FrontProxy;
use crate::kube::{Api, Call};

/// Where the API server says how it is recognized.
const NAMESPACE: &str = "kube-system";
const NAME: &str = "extension-apiserver-authentication";
/// How often it is read.
const REREAD: Duration = Duration::from_secs(60);
/// How soon again, while nothing is known or somebody is not recognized.
const SOON: Duration = Duration::from_secs(5);

/// What the API server is recognized by; what was read last stays while it cannot be read. Clones are the same.
#[derive(Clone)]
pub struct Trust(Arc<Inner>);

struct Inner {
    known: RwLock<Option<Arc<FrontProxy>>>,
    provider: Arc<CryptoProvider>,
    doubt: Notify,
    told: Mutex<String>,
}

impl Trust {
    /// Knows nobody.
    pub fn new(provider: Arc<CryptoProvider>) -> Self {
        let (known, doubt, told) = Default::default();
        Self(Arc::new(Inner { known, provider, doubt, told }))
    }

    /// What is known; none before it was read.
    pub fn known(&self) -> Option<Arc<FrontProxy>> {
        self.0.known.read().clone()
    }

    /// Somebody was not recognized: its authority may be newer than what is known.
    pub fn doubt(&self) {
        self.0.doubt.notify_one();
    }

    /// Reads it again and again.
    pub async fn keep(&self, api: &Api) -> Infallible {
        loop {
            let read = Instant::now();
            self.read(api).await;
            tokio::time::sleep(SOON).await;
            if self.known().is_some() {
                let rest = REREAD.saturating_sub(read.elapsed());
                let _ = tokio::time::timeout(rest, self.0.doubt.notified()).await;
            }
        }
    }

    async fn read(&self, api: &Api) {
        let maps = kube::Api::<ConfigMap>::namespaced(api.client(), NAMESPACE);
        // What fails is counted and told of there.
        let Ok(map) = api.call(Call::GetConfigMap, maps.get(NAME)).await else { return };
        match FrontProxy::read(&map.data.unwrap_or_default(), &self.0.provider) {
            Ok(front_proxy) => {
                let new = self.0.known.write().replace(Arc::new(front_proxy)).is_none();
                if new {
                    tracing::info!(
                        "external metrics: it is known how the API server is recognized"
                    );
                }
                self.0.told.lock().clear();
            }
            Err(error) => {
                let error = error.to_string();
                let mut told = self.0.told.lock();
                if *told != error {
                    tracing::warn!(
                        error,
                        "external metrics: ConfigMap {NAMESPACE}/{NAME} does not say how the API server is recognized; it \
                         needs --requestheader-client-ca-file, as kubeadm and hosted clusters set it"
                    );
                    *told = error;
                }
            }
        }
    }
}
