//! Whether certificates for a collector make sense: told at start, as the exporter would tell of each export instead.

use std::sync::Arc;

use rustls::{
    ClientConfig, RootCertStore,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Certificates in PEM, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match all {
        Ok(all) if all.is_empty() => Err("has no certificate in PEM".into()),
        Ok(all) => Ok(all),
        Err(error) => Err(format!("is no file in PEM: {error}")),
    }
}

/// Authorities to believe.
pub fn authorities(pem: &[u8]) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem)? {
        store
            .add(certificate)
            .map_err(|error| format!("has a certificate that cannot be read: {error}"))?;
    }
    Ok(())
}

/// A certificate of ours, and its key.
pub fn identity(certificate: &[u8], key: &[u8]) -> Result<(), String> {
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| format!("its key cannot be read: {error}"))?;
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| {
            builder.with_root_certificates(RootCertStore::empty()).with_client_auth_cert(chain, key)
        })
        .map(drop)
        .map_err(|error| format!("the certificate or its key makes no sense: {error}"))
}
