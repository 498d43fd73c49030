//! Public keys in PEM files.

use std::fs;

use aws_lc_rs::{
    rsa,
    signature::{
        ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
        VerificationAlgorithm,
    },
};
use rustls::pki_types::pem::{PemObject, SectionKind};

/// Bits that the modulus of an RSA key may have: fewer are broken, more cost too much to check.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// For which algorithms a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyKind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A public key that can be used.
#[derive(Debug)]
pub(crate) struct PublicKey {
    pub kind: KeyKind,
    /// SubjectPublicKeyInfo of RFC 5280, in DER.
    pub der: Vec<u8>,
}

impl PublicKey {
    /// The keys of a file, at least one; or what is wrong with it and what to do.
    pub fn read(file: &str) -> Result<Vec<Self>, String> {
        let pem = fs::read(file).map_err(|error| format!("cannot be read: {error}"))?;
        Self::parse(&pem)
    }

    fn parse(pem: &[u8]) -> Result<Vec<Self>, String> {
        let mut keys = Vec::new();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
            let (kind, der) = section.map_err(|_| "is no PEM that can be read".to_owned())?;
            match kind {
                SectionKind::PublicKey => keys.push(Self::new(der)?),
                SectionKind::PrivateKey
                | SectionKind::RsaPrivateKey
                | SectionKind::EcPrivateKey => {
                    return Err(
                        "holds a private key, which belongs to the issuer of tokens alone; \
                                `openssl pkey -in FILE -pubout` prints the public one"
                            .to_owned(),
                    );
                }
                SectionKind::Certificate => {
                    return Err("holds a certificate; `openssl x509 -in FILE -noout -pubkey` \
                                prints its key"
                        .to_owned());
                }
                _ => {}
            }
        }
        if keys.is_empty() {
            return Err("holds no \"-----BEGIN PUBLIC KEY-----\"; \
                        `openssl pkey -pubin -in FILE -pubout` or \
                        `openssl rsa -RSAPublicKey_in -in FILE -pubout` writes one"
                .to_owned());
        }
        Ok(keys)
    }

    fn new(der: Vec<u8>) -> Result<Self, String> {
        // Its algorithm and its curve are named in it: at most one of these takes it.
        let is = |algorithm: &'static dyn VerificationAlgorithm| {
            ParsedPublicKey::new(algorithm, &der).is_ok()
        };
        let kind = if is(&ED25519) {
            KeyKind::Ed25519
        } else if is(&ECDSA_P256_SHA256_FIXED) {
            KeyKind::P256
        } else if is(&ECDSA_P384_SHA384_FIXED) {
            KeyKind::P384
        } else if let Ok(key) = rsa::PublicKey::from_der(&der) {
            let bits = key.modulus_len() * 8;
            if !RSA_BITS.contains(&bits) {
                return Err(format!(
                    "holds an RSA key of {bits} bits; expected {} to {}",
                    RSA_BITS.start(),
                    RSA_BITS.end()
                ));
            }
            KeyKind::Rsa
        } else {
            return Err("holds a key of another kind; expected RSA, EC on P-256 or P-384, or \
                        Ed25519"
                .to_owned());
        };
        Ok(Self { kind, der })
    }
}
