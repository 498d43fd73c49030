//! The certificate that the pods make themselves: all show the one in the Secret, whoever made it, and see to it that the
//! APIService believes its authority.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::Arc,
    time::{Duration, SystemTime},
};

use k8s_openapi::{
    ByteString, api::core::v1::Secret, apimachinery::pkg::apis::meta::v1::ObjectMeta,
    kube_aggregator::pkg::apis::apiregistration::v1::APIService,
};
use kube::api::{Patch, PatchParams, PostParams};
use rustls::crypto::CryptoProvider;
use serde_json::json;

use super::{
    certificate::{CertificateError, Shown, certified},
    made::{Found, Made},
};
use crate::{
    config::ExternalMetrics,
    kube::{Api, Call, calls::CallError},
};

/// How often Secret and APIService are looked at, a quarter more or less: pods should not do it at the same moment.
const LOOK: Duration = Duration::from_secs(60);
/// How soon again after a failure; twice as long each time, up to [`LOOK`].
const RETRY: Duration = Duration::from_secs(1);
/// Keys of the Secret.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
const AUTHORITIES: &str = "ca.crt";

/// Why there is no certificate yet, or none for the time after this one.
#[derive(Debug, thiserror::Error)]
pub enum OwnError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("another pod wrote it at the same moment")]
    Overtaken,
    #[error(
        "Secret {0} (kubernetes.external_metrics.secret) holds something that Roomcast did not make; name another one, or \
         delete it"
    )]
    Foreign(String),
    #[error("no certificate can be made: {0}")]
    Make(#[from] rcgen::Error),
    #[error("Secret {0}: {1}")]
    Unusable(String, CertificateError),
    #[error(
        "APIService {0} does not exist: nobody asks this pod; the chart makes it with autoscaling.kind: external"
    )]
    NoApiService(String),
    #[error("APIService {api_service} leads to {holder}, not to {own}: nobody asks this pod")]
    Held { api_service: String, holder: String, own: String },
}

/// Keeps the certificate in the Secret, and what is shown of it.
pub struct Own {
    api: Api,
    settings: ExternalMetrics,
    shown: Shown,
    provider: Arc<CryptoProvider>,
    /// What is shown.
    current: Option<Made>,
    /// What is to be shown once the API server has had time to hear of its authority.
    next: Option<Made>,
}

impl Own {
    pub fn new(
        api: Api,
        settings: ExternalMetrics,
        shown: Shown,
        provider: Arc<CryptoProvider>,
    ) -> Self {
        let (current, next) = Default::default();
        Self { api, settings, shown, provider, current, next }
    }

    /// Looks again and again.
    pub async fn keep(mut self) -> Infallible {
        let mut told = String::new();
        let mut pause = RETRY;
        loop {
            match self.look().await {
                Ok(()) => {
                    told.clear();
                    pause = LOOK.mul_f64(0.75 + 0.5 * fastrand::f64());
                }
                Err(error) => {
                    // What the API server refuses is told of where it is called, and two that write are no fault.
                    let known = matches!(error, OwnError::Call(_) | OwnError::Overtaken);
                    let error = error.to_string();
                    if error != told && !known {
                        tracing::warn!(error, "external metrics: the own certificate");
                        told = error;
                    }
                    pause = (pause * 2).clamp(RETRY, LOOK);
                }
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Sees to Secret, APIService and what is shown.
    pub(super) async fn look(&mut self) -> Result<(), OwnError> {
        let kept = self.kept().await?;
        // Without its authority there, a new one would not be believed; the first one is better than none.
        let bundled = self.bundle(&kept.authorities).await;
        if self.current.as_ref() == Some(&kept) {
            self.next = None;
        } else if self.current.is_none() || self.next.as_ref() == Some(&kept) {
            let unusable = |error| OwnError::Unusable(self.settings.secret.clone(), error);
            let shown =
                certified(&kept.certificate, &kept.key, &self.provider).map_err(unusable)?;
            self.shown.replace(shown);
            tracing::info!(
                secret = self.settings.secret,
                "external metrics: certificate of the pods"
            );
            self.current = Some(kept);
            self.next = None;
        } else if bundled.is_ok() {
            self.next = Some(kept);
        }
        bundled
    }

    /// What is in the Secret; made and put there, if it is due.
    async fn kept(&self) -> Result<Made, OwnError> {
        let (name, service) = (&self.settings.secret, &self.settings.service);
        let namespace = &self.api.environment().namespace;
        let secrets = kube::Api::<Secret>::namespaced(self.api.client(), namespace);
        let found = self.api.call(Call::GetSecret, secrets.get_opt(name)).await?;
        let data = found.as_ref().and_then(|secret| secret.data.as_ref());
        let before = data.filter(|data| !data.is_empty()).map(made);
        let now = SystemTime::now();
        let kept = match &before {
            None => None,
            Some(kept) => match kept.judge(service, now) {
                Found::Foreign => return Err(OwnError::Foreign(name.clone())),
                Found::Good if certified(&kept.certificate, &kept.key, &self.provider).is_ok() => {
                    Some(kept.clone())
                }
                Found::Good | Found::Due => None,
            },
        };
        if let Some(kept) = kept {
            return Ok(kept);
        }
        let made = Made::new(service, before.as_ref(), now)?;
        let params = PostParams::default();
        let written = match found {
            Some(mut secret) => {
                // Its version goes with it: what another pod wrote meanwhile is not overwritten.
                secret.data = Some(data_of(&made));
                let write = secrets.replace(name, &params, &secret);
                self.api.call(Call::UpdateSecret, unless_overtaken(write)).await?
            }
            None => {
                let secret = Secret {
                    metadata: ObjectMeta { name: Some(name.clone()), ..ObjectMeta::default() },
                    type_: Some("kubernetes.io/tls".into()),
                    data: Some(data_of(&made)),
                    ..Secret::default()
                };
                let write = unless_overtaken(secrets.create(&params, &secret));
                self.api.call(Call::CreateSecret, write).await?
            }
        };
        match written {
            Some(_) => {
                tracing::info!(secret = name, service, "external metrics: a certificate was made");
                Ok(made)
            }
            None => Err(OwnError::Overtaken),
        }
    }

    /// Sees to it that the APIService believes these authorities, if it leads here.
    async fn bundle(&self, authorities: &[u8]) -> Result<(), OwnError> {
        let name = &self.settings.api_service;
        if name.is_empty() {
            return Ok(());
        }
        let services = kube::Api::<APIService>::all(self.api.client());
        let found = self.api.call(Call::GetApiService, services.get_opt(name)).await?;
        let found = found.ok_or_else(|| OwnError::NoApiService(name.clone()))?;
        let spec = found.spec.unwrap_or_default();
        let leads_to = spec.service.and_then(|service| Some((service.name?, service.namespace?)));
        let leads_to = leads_to.as_ref().map(|(name, namespace)| (&**name, &**namespace));
        if leads_to.is_none() || leads_to != self.settings.service_reference() {
            let holder = leads_to.map_or_else(
                || "the API server itself".into(),
                |(name, namespace)| format!("{name}.{namespace}.svc"),
            );
            let own = self.settings.service.clone();
            return Err(OwnError::Held { api_service: name.clone(), holder, own });
        }
        if spec.ca_bundle.is_some_and(|bundle| bundle.0 == authorities) {
            return Ok(());
        }
        let patch = json!({
            "metadata": {"resourceVersion": found.metadata.resource_version},
            "spec": {"caBundle": ByteString(authorities.to_vec())},
        });
        let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
        let write = unless_overtaken(services.patch(name, &params, &patch));
        match self.api.call(Call::PatchApiService, write).await? {
            Some(_) => {
                tracing::info!(api_service = name, "external metrics: its caBundle was written");
                Ok(())
            }
            None => Err(OwnError::Overtaken),
        }
    }
}

/// None if somebody else wrote the object at the same moment, which is no failure of the API server.
async fn unless_overtaken<T>(
    write: impl Future<Output = kube::Result<T>>,
) -> kube::Result<Option<T>> {
    match write.await {
        Ok(written) => Ok(Some(written)),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(None),
        Err(error) => Err(error),
    }
}

fn made(data: &BTreeMap<String, ByteString>) -> Made {
    let of = |key| data.get(key).map(|bytes| bytes.0.clone()).unwrap_or_default();
    Made { certificate: of(CERTIFICATE), key: of(KEY), authorities: of(AUTHORITIES) }
}

fn data_of(made: &Made) -> BTreeMap<String, ByteString> {
    let Made { certificate, key, authorities } = made.clone();
    [(CERTIFICATE, certificate), (KEY, key), (AUTHORITIES, authorities)]
        .map(|(key, bytes)| (key.to_owned(), ByteString(bytes)))
        .into()
}

#[cfg(test)]
impl Own {
    /// What is shown.
    pub(super) fn current(&self) -> Option<&Made> {
        self.current.as_ref()
    }

    /// Shows this one.
    pub(super) fn show(&mut self, made: &Made) {
        self.current = Some(made.clone());
    }
}
