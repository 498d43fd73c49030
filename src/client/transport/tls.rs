//! Whom `wss` and `https` trust: the certificates of the system, or those that were given.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, pem::PemObject},
};

use crate::client::ClientError;

/// Both transports use the same. Certificates of the system are read only if they are needed.
pub(in crate::client) fn tls_config(
    secure: bool,
    ca: Option<&[u8]>,
) -> Result<Arc<ClientConfig>, ClientError> {
    let failed = |error: &dyn std::fmt::Display| ClientError::Tls(error.to_string());
    let mut authorities = RootCertStore::empty();
    match ca {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|error| failed(&error))?;
                authorities.add(certificate).map_err(|error| failed(&error))?;
            }
        }
        None if secure => {
            let found = rustls_native_certs::load_native_certs();
            let (_, ignored) = authorities.add_parsable_certificates(found.certs);
            tracing::debug!(ignored, errors = ?found.errors, "certificates of the system");
        }
        None => {}
    }
    if authorities.is_empty() && (secure || ca.is_some()) {
        return Err(failed(&"there is no certificate to trust"));
    }
    // Named, as another crate of the program may bring another provider.
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| failed(&error))?
        .with_root_certificates(authorities)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_certificate_is_an_error() {
        for pem in ["", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"] {
            let config = tls_config(true, Some(pem.as_bytes()));
            assert!(matches!(config, Err(ClientError::Tls(_))), "{pem}");
        }
        tls_config(false, None).unwrap();
    }
}
