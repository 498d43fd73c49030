//! Roomcast as an API server of `external.metrics.k8s.io`: a plain HorizontalPodAutoscaler reads the connections of all pods,
//! with nothing else installed. `docs/kubernetes/external-metrics.md` tells what a cluster needs for it.
//!
//! ```text
//! autoscaler → API server (APIService) → listener → requests → front_proxy: is it the API server, and who asks?
//!                                                            → access: may they?   → answers
//! ```
//!
//! `trust` keeps what the API server is recognized by, `certificate` what is shown to it, `own` a certificate of the pods' own.

mod access;
mod answers;
mod asked;
mod certificate;
mod front_proxy;
mod listener;
mod made;
mod openapi;
mod own;
mod quantity;
mod requests;
#[cfg(test)]
mod tests;
mod trust;

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;

use self::{
    access::Access,
    certificate::{Files, Shown},
    own::Own,
    requests::Requests,
    trust::Trust,
};
pub use self::{answers::Figures, certificate::CertificateError};
use crate::{
    config,
    drain::Lifecycle,
    kube::Api,
    tasks::{named, restarted},
};

/// It cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ExternalMetricsError {
    /// The certificate in the files cannot be used.
    #[error("kubernetes.external_metrics.cert_file, key_file: {0}")]
    Certificate(#[from] CertificateError),
    /// No TLS.
    #[error("kubernetes.external_metrics: TLS cannot be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// What is served, and what keeps it going.
pub struct ExternalMetrics {
    api: Api,
    trust: Trust,
    requests: Arc<Requests>,
    acceptor: TlsAcceptor,
    certificate: Source,
}

/// Where the certificate comes from.
enum Source {
    Files(Files),
    Own(Box<Own>),
}

impl ExternalMetrics {
    /// With these settings. `sum` says what all pods have together, or none where this one does not know. Nothing is asked
    /// of the API server yet.
    ///
    /// # Errors
    /// If the certificate in files cannot be used.
    pub fn new(
        settings: &config::ExternalMetrics,
        api: Api,
        sum: impl Fn() -> Option<Figures> + Send + Sync + 'static,
    ) -> Result<Self, ExternalMetricsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let shown = Shown::default();
        let certificate = if settings.cert_file.is_empty() {
            let settings = settings.clone();
            Source::Own(Own::new(api.clone(), settings, shown.clone(), provider.clone()).into())
        } else {
            let (cert, key) = (&settings.cert_file, &settings.key_file);
            let mut files = Files::new(cert, key, shown.clone(), provider.clone());
            files.look()?;
            Source::Files(files)
        };
        let trust = Trust::new(provider.clone());
        let acceptor = listener::acceptor(&shown, provider)?;
        let requests = Arc::new(Requests {
            namespace: api.environment().namespace.clone(),
            trust: trust.clone(),
            access: Access::new(api.clone()),
            shown,
            sum: Box::new(sum),
        });
        Ok(Self { api, trust, requests, acceptor, certificate })
    }

    /// Serves on these sockets until the pod is stopped (`serving`), and keeps certificate and trust fresh (`chores`).
    pub fn start(
        self,
        listeners: Vec<Arc<TcpListener>>,
        lifecycle: &Lifecycle,
        serving: &mut JoinSet<()>,
        chores: &mut JoinSet<()>,
    ) {
        let Self { api, trust, requests, acceptor, certificate } = self;
        chores.spawn(restarted("external metrics", move || {
            let (trust, api) = (trust.clone(), api.clone());
            async move { match trust.keep(&api).await {} }
        }));
        chores.spawn(named("external metrics", async move {
            match certificate {
                Source::Files(files) => match files.watch().await {},
                Source::Own(own) => match own.keep().await {},
            }
        }));
        for listener in listeners {
            let (acceptor, requests) = (acceptor.clone(), requests.clone());
            let served = listener::serve(listener, acceptor, requests, lifecycle.clone());
            serving.spawn(named("external metrics", served));
        }
    }
}
