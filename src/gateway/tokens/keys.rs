//! The keys that signatures are checked with: those of the settings, and those of a key set.
//!
//! A key is for the algorithms of its own family and no others: a public key is never taken for the
//! secret of an HMAC, whatever a token says of itself (RFC 8725, section 3.1).

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde_json::Value;

use super::TokensError;
use crate::config::{Jwt, JwtAlgorithm, KeyKind, PublicKey, RSA_BITS};

pub(super) const HMAC: &[Algorithm] = &[Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
const RSA: &[Algorithm] = &[
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];
const P256: &[Algorithm] = &[Algorithm::ES256];
const P384: &[Algorithm] = &[Algorithm::ES384];
const ED25519: &[Algorithm] = &[Algorithm::EdDSA];

/// Bytes of the parameters of an RSA key: of its modulus, and of its exponent at most.
const RSA_BYTES: std::ops::RangeInclusive<usize> = *RSA_BITS.start() / 8..=*RSA_BITS.end() / 8;
const EXPONENT: std::ops::RangeInclusive<usize> = 1..=5;

/// A key.
pub(super) struct Key {
    /// Its name, which tokens that were signed with it give; those of settings have none.
    pub kid: Option<String>,
    algorithms: Vec<Algorithm>,
    pub checking: DecodingKey,
}

impl Key {
    fn unnamed(algorithms: &[Algorithm], checking: DecodingKey) -> Self {
        Self { kid: None, algorithms: algorithms.to_vec(), checking }
    }

    /// Whether it is for an algorithm.
    pub fn supports(&self, algorithm: Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }
}

/// The keys of the settings.
pub(super) fn from_settings(settings: &Jwt) -> Result<Vec<Key>, TokensError> {
    let secrets = settings.secret.iter().filter(|secret| !secret.is_empty());
    let mut keys: Vec<_> = secrets
        .map(|secret| Key::unnamed(HMAC, DecodingKey::from_secret(secret.expose().as_bytes())))
        .collect();
    for file in &settings.public_key_file {
        let key = "auth.jwt.public_key_file";
        let public = PublicKey::read(file).map_err(|problem| TokensError::File {
            key,
            file: file.clone(),
            problem,
        })?;
        keys.extend(public.iter().map(|key| match key.kind {
            KeyKind::Rsa => Key::unnamed(RSA, DecodingKey::from_rsa_der(&key.der)),
            KeyKind::P256 => Key::unnamed(P256, DecodingKey::from_ec_der(&key.der)),
            KeyKind::P384 => Key::unnamed(P384, DecodingKey::from_ec_der(&key.der)),
            KeyKind::Ed25519 => Key::unnamed(ED25519, DecodingKey::from_ed_der(&key.der)),
        }));
    }
    Ok(keys)
}

/// A key of a key set (RFC 7517), or why it is not used.
pub(super) fn from_set(jwk: Value) -> Result<Key, &'static str> {
    if jwk["kty"] == "oct" {
        return Err("it is symmetric: who reads the set could sign");
    }
    if jwk.get("d").is_some() {
        return Err("it is private, and public now: nobody should trust it");
    }
    let jwk: Jwk = serde_json::from_value(jwk).map_err(|_| "it is no key of a known form")?;
    if jwk.common.public_key_use.is_some_and(|of| of != PublicKeyUse::Signature) {
        return Err("it is not for signatures (use)");
    }
    if jwk.common.key_operations.is_some_and(|all| !all.contains(&KeyOperations::Verify)) {
        return Err("it is not for checking signatures (key_ops)");
    }
    let (family, checking) = public_key(&jwk.algorithm)?;
    let algorithms = match jwk.common.key_algorithm {
        None => family.to_vec(),
        Some(one) => {
            let one = Algorithm::try_from(one).map_err(|_| "its algorithm is not known (alg)")?;
            if !family.contains(&one) {
                return Err("its algorithm is of another family (alg)");
            }
            vec![one]
        }
    };
    Ok(Key { kid: jwk.common.key_id, algorithms, checking })
}

/// The key itself, as far as its form can be checked before it is used.
fn public_key(
    key: &AlgorithmParameters,
) -> Result<(&'static [Algorithm], DecodingKey), &'static str> {
    let bytes = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).ok();
    let length = |text: &str| bytes(text).map(|bytes| bytes.len());
    match key {
        AlgorithmParameters::RSA(rsa) => {
            let (Some(n), Some(e)) = (bytes(&rsa.n), bytes(&rsa.e)) else {
                return Err("its numbers are no base64url");
            };
            // Some write the sign that ASN.1 has before the number.
            let zeros = n.iter().take_while(|byte| **byte == 0).count();
            if !RSA_BYTES.contains(&(n.len() - zeros)) {
                return Err("it has less than 2048 bits, or more than 8192");
            }
            if !EXPONENT.contains(&e.len()) {
                return Err("its exponent is out of bounds");
            }
            Ok((RSA, DecodingKey::from_rsa_raw_components(&n[zeros..], &e)))
        }
        AlgorithmParameters::EllipticCurve(ec) => {
            let (family, size) = match ec.curve {
                EllipticCurve::P256 => (P256, 32),
                EllipticCurve::P384 => (P384, 48),
                _ => return Err("its curve is neither P-256 nor P-384"),
            };
            if length(&ec.x) != Some(size) || length(&ec.y) != Some(size) {
                return Err("its point is not of its curve");
            }
            let key = DecodingKey::from_ec_components(&ec.x, &ec.y);
            key.map(|key| (family, key)).map_err(|_| "its point is no base64url")
        }
        AlgorithmParameters::OctetKeyPair(ed) => {
            if ed.curve != EllipticCurve::Ed25519 || length(&ed.x) != Some(32) {
                return Err("it is no Ed25519 key");
            }
            let key = DecodingKey::from_ed_components(&ed.x);
            key.map(|key| (ED25519, key)).map_err(|_| "its point is no base64url")
        }
        _ => Err("it is of no kind that signs tokens (kty)"),
    }
}

impl From<JwtAlgorithm> for Algorithm {
    fn from(name: JwtAlgorithm) -> Self {
        match name {
            JwtAlgorithm::HS256 => Self::HS256,
            JwtAlgorithm::HS384 => Self::HS384,
            JwtAlgorithm::HS512 => Self::HS512,
            JwtAlgorithm::RS256 => Self::RS256,
            JwtAlgorithm::RS384 => Self::RS384,
            JwtAlgorithm::RS512 => Self::RS512,
            JwtAlgorithm::PS256 => Self::PS256,
            JwtAlgorithm::PS384 => Self::PS384,
            JwtAlgorithm::PS512 => Self::PS512,
            JwtAlgorithm::ES256 => Self::ES256,
            JwtAlgorithm::ES384 => Self::ES384,
            JwtAlgorithm::EdDSA => Self::EdDSA,
        }
    }
}

/// All algorithms that a key can be for.
pub(super) fn all_algorithms() -> impl Iterator<Item = Algorithm> {
    [HMAC, RSA, P256, P384, ED25519].into_iter().flatten().copied()
}
