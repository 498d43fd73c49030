//! The TLS listener. Anybody may connect and show any certificate, or none: it is judged with each request, so that who is
//! refused is told why, and an authority that changes counts for connections that are there already.

use std::{sync::Arc, time::Duration};

use axum::response::Response;
use http::{HeaderValue, Request, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics::gauge;
use rustls::{
    DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, UnixTime},
    server::{
        NoServerSessionStorage, ResolvesServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use super::{certificate::Shown, requests::Requests};
use crate::{
    drain::{Lifecycle, Phase},
    tasks::named,
    telemetry::metrics::EXTERNAL_METRICS_CONNECTIONS,
};

/// Connections at once: API servers keep some open each. Others wait in the kernel.
const MOST: usize = 128;
/// Longest wait for TLS, and for the head of the one request of a stranger.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long an idle connection of an API server is kept: longer than it keeps one itself (90 s), so that none is closed
/// while a request is on its way.
const IDLE: Duration = Duration::from_secs(120);
/// Bytes of the head of a request: a caller may be in many groups.
const MOST_HEAD: usize = 64 * 1024;
/// After an accept that failed, such as for want of files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How connections are secured.
///
/// # Errors
/// If the provider has no version of TLS.
pub fn acceptor(
    shown: &Shown,
    provider: Arc<CryptoProvider>,
) -> Result<TlsAcceptor, rustls::Error> {
    let verifier = Arc::new(Anybody(provider.signature_verification_algorithms));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(shown.clone()) as Arc<dyn ResolvesServerCert>);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Nothing is kept of a connection that has ended.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Serves on one socket until the pod is stopped.
pub async fn serve(
    listener: Arc<TcpListener>,
    acceptor: TlsAcceptor,
    requests: Arc<Requests>,
    lifecycle: Lifecycle,
) {
    let places = Arc::new(Semaphore::new(MOST));
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener, &places) => if let Some((stream, place)) = accepted {
                let (acceptor, requests) = (acceptor.clone(), requests.clone());
                let lifecycle = lifecycle.clone();
                let connection = connection(stream, acceptor, requests, lifecycle, place);
                connections.spawn(named("external metrics", connection));
            },
            Some(_) = connections.join_next() => {}
            () = lifecycle.reached(Phase::Stopped) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, place)),
        Err(error) => {
            tracing::debug!(%error, "external metrics: no connection accepted");
            tokio::time::sleep(ACCEPT_PAUSE).await;
            None
        }
    }
}

/// Counts a connection for as long as it is there.
struct Counted;

impl Counted {
    fn new() -> Self {
        gauge!(EXTERNAL_METRICS_CONNECTIONS.name).increment(1);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        gauge!(EXTERNAL_METRICS_CONNECTIONS.name).decrement(1);
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    requests: Arc<Requests>,
    lifecycle: Lifecycle,
    place: OwnedSemaphorePermit,
) {
    let _counted = Counted::new();
    let _ = stream.set_nodelay(true);
    let stream = match timeout(PATIENCE, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%error, "external metrics: no TLS");
            return;
        }
        Err(_) => return,
    };
    let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
    let chain: Arc<[CertificateDer<'static>]> = chain.into();
    let known = requests.knows(&chain);
    let service = service_fn(|request: Request<Incoming>| {
        let (requests, chain, lifecycle) = (requests.clone(), chain.clone(), &lifecycle);
        async move {
            // No question has a body.
            let (request, _) = request.into_parts();
            let mut answer = requests.answer(&request, &chain).await;
            if !known || !lifecycle.accepts_sessions() {
                end(&mut answer);
            }
            Ok::<_, std::convert::Infallible>(answer)
        }
    });
    let mut served = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(if known { IDLE } else { PATIENCE })
            .max_buf_size(MOST_HEAD)
            .serve_connection(TokioIo::new(stream), service)
    );
    let whole = async {
        tokio::select! {
            served = served.as_mut() => return served,
            () = lifecycle.reached(Phase::Stopped) => {}
        }
        served.as_mut().graceful_shutdown();
        served.await
    };
    let served = if known {
        whole.await
    } else {
        // Its answer is one, and short.
        match timeout(3 * PATIENCE, whole).await {
            Ok(served) => served,
            Err(_) => return,
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "external metrics: connection broken");
    }
    drop(place);
}

/// A stranger has one request. The API server asks another pod once this one drains.
fn end(answer: &mut Response) {
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
}

/// Takes any certificate whose key the other side has: whose it is, is judged with each request.
#[derive(Debug)]
struct Anybody(WebPkiSupportedAlgorithms);

impl ClientCertVerifier for Anybody {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    /// None: the API server shows the one that it has.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_schemes()
    }
}
