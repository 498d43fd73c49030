//! The certificate that the listener shows: read, checked, and replaced while it listens.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use metrics::gauge;
use parking_lot::RwLock;
use rustls::{
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use sha2::{Digest, Sha256};
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::telemetry::metrics::EXTERNAL_METRICS_CERTIFICATE_ENDS;

/// How often files are looked at. A mounted Secret changes within a minute or two of its object.
const LOOK: Duration = Duration::from_secs(10);
/// Files that are larger are no certificates.
const LARGEST: u64 = 1024 * 1024;

/// A certificate that cannot be used. The key is never part of what it says.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("{0}: {1}")]
    File(String, io::Error),
    #[error("there is no certificate in it that can be read")]
    NoCertificate,
    #[error("there is no private key in it that can be read")]
    NoKey,
    #[error("certificate and key do not go together: {0}")]
    Mismatch(rustls::Error),
}

/// The certificate that is shown now; none until there is one. Clones are the same.
#[derive(Clone, Default)]
pub struct Shown(Arc<RwLock<Option<Arc<CertifiedKey>>>>);

impl Shown {
    /// Shows this one from now on, to those who connect from now on.
    pub fn replace(&self, certificate: CertifiedKey) {
        if let Some(end) = certificate.cert.first().and_then(end) {
            gauge!(EXTERNAL_METRICS_CERTIFICATE_ENDS.name).set(end as f64);
        }
        *self.0.write() = Some(Arc::new(certificate));
    }

    /// Whether there is one.
    pub fn is_there(&self) -> bool {
        self.0.read().is_some()
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Shown({})", self.is_there())
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.read().clone()
    }
}

/// Reads certificate and key, in PEM, and whether they go together.
///
/// # Errors
/// If one is missing, or belongs to another.
pub fn certified(
    certificate: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|_| CertificateError::NoCertificate)?;
    if chain.is_empty() {
        return Err(CertificateError::NoCertificate);
    }
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateError::NoKey)?;
    CertifiedKey::from_der(chain, key, provider).map_err(CertificateError::Mismatch)
}

/// When a certificate ends, in seconds since 1970.
fn end(certificate: &CertificateDer<'_>) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    Some(certificate.validity().not_after.timestamp())
}

/// Certificate and key in files, which somebody else renews.
pub struct Files {
    certificate: PathBuf,
    key: PathBuf,
    shown: Shown,
    provider: Arc<CryptoProvider>,
    /// The digest of what was read last, whether it could be used or not.
    last: Option<[u8; 32]>,
}

impl Files {
    pub fn new(certificate: &str, key: &str, shown: Shown, provider: Arc<CryptoProvider>) -> Self {
        Self { certificate: certificate.into(), key: key.into(), shown, provider, last: None }
    }

    /// Shows what is in the files, if that is new.
    ///
    /// # Errors
    /// If it cannot be used: what was shown before stays.
    pub fn look(&mut self) -> Result<(), CertificateError> {
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let mut digest = Sha256::new();
        digest.update((certificate.len() as u64).to_be_bytes());
        digest.update(&certificate);
        digest.update(&key);
        let digest = Some(digest.finalize().into());
        if digest == self.last {
            return Ok(());
        }
        self.last = digest;
        self.shown.replace(certified(&certificate, &key, &self.provider)?);
        tracing::info!(file = %self.certificate.display(), "external metrics: certificate read");
        Ok(())
    }

    /// Looks again and again.
    pub async fn watch(mut self) -> std::convert::Infallible {
        let mut told = String::new();
        loop {
            tokio::time::sleep(LOOK).await;
            match self.look() {
                Ok(()) => told.clear(),
                Err(error) => {
                    let error = error.to_string();
                    if error != told {
                        tracing::warn!(
                            error,
                            "external metrics: the certificate in kubernetes.external_metrics.cert_file and key_file cannot \
                             be used; the one before is shown until it can"
                        );
                        told = error;
                    }
                }
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, CertificateError> {
    let failed = |error| CertificateError::File(file.display().to_string(), error);
    let length = std::fs::metadata(file).map_err(failed)?.len();
    if length > LARGEST {
        return Err(failed(io::Error::other("too large for a certificate")));
    }
    std::fs::read(file).map_err(failed)
}
