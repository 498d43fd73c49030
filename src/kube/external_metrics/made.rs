//! A certificate that the pods make themselves: an authority for it alone, whose key is thrown away once it has signed. Who
//! reads the Secret can be this service until the certificate ends, and nothing else.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::{
    extensions::GeneralName,
    prelude::{FromDer, X509Certificate},
};

/// How long a certificate is good for.
const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// It is replaced when so much of that is left: weeks for somebody to see that it cannot be.
const RENEW: Duration = Duration::from_secs(30 * 24 * 3600);
/// It begins so long ago: clocks differ.
const SKEW: Duration = Duration::from_secs(3600);
/// The name of the authority, by which a certificate of ours is known.
const AUTHORITY: &str = "roomcast external metrics";
/// Authorities that are believed at once: that of the certificate, and that of the one before.
const AUTHORITIES: usize = 2;

/// A certificate with its key and authorities, in PEM, as a Secret has them.
#[derive(Clone, PartialEq, Eq)]
pub struct Made {
    pub certificate: Vec<u8>,
    pub key: Vec<u8>,
    /// Its authority first, then that of the one before.
    pub authorities: Vec<u8>,
}

/// What a Secret has.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A certificate to be used.
    Good,
    /// One of ours that ends soon, is for another name, or cannot be read: a new one is due.
    Due,
    /// Something that is not ours.
    Foreign,
}

impl Made {
    /// Makes one for a name. `before` is what it replaces, whose authority is believed for as long as pods show it.
    ///
    /// # Errors
    /// If the system gives no random numbers.
    pub fn new(name: &str, before: Option<&Self>, now: SystemTime) -> Result<Self, rcgen::Error> {
        let dates = |params: &mut CertificateParams| {
            params.not_before = OffsetDateTime::from(now - SKEW);
            params.not_after = OffsetDateTime::from(now + LIFETIME);
        };
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.distinguished_name = named(AUTHORITY);
        authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        dates(&mut authority);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut authorities = authority.self_signed(&key)?.pem().into_bytes();
        let issuer = Issuer::new(authority, key);

        let mut own = CertificateParams::new(vec![name.to_owned()])?;
        own.distinguished_name = DistinguishedName::new();
        own.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        own.use_authority_key_identifier_extension = true;
        dates(&mut own);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = own.signed_by(&key, &issuer)?.pem().into_bytes();
        if let Some(before) = before {
            authorities.extend(still_good(&before.authorities, now));
        }
        Ok(Self { certificate, key: key.serialize_pem().into_bytes(), authorities })
    }

    /// What it is for a service of this name.
    pub fn judge(&self, name: &str, now: SystemTime) -> Found {
        let Ok(der) = CertificateDer::from_pem_slice(&self.certificate) else {
            return Found::Foreign;
        };
        let Ok((_, certificate)) = X509Certificate::from_der(&der) else {
            return Found::Foreign;
        };
        let mut issuers = certificate.issuer().iter_common_name();
        if !issuers.any(|issuer| issuer.as_str() == Ok(AUTHORITY)) {
            return Found::Foreign;
        }
        let names = certificate.subject_alternative_name().ok().flatten();
        let is_for = |other: &GeneralName<'_>| *other == GeneralName::DNSName(name);
        let fits = names.is_some_and(|names| names.value.general_names.iter().any(is_for));
        let end = certificate.validity().not_after.timestamp();
        let lasts = u64::try_from(end)
            .is_ok_and(|end| SystemTime::UNIX_EPOCH + Duration::from_secs(end) > now + RENEW);
        if fits && lasts && !self.authorities.is_empty() { Found::Good } else { Found::Due }
    }
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// The first of these authorities, in PEM, unless it has ended.
fn still_good(pem: &[u8], now: SystemTime) -> Vec<u8> {
    let now = OffsetDateTime::from(now).unix_timestamp();
    let mut kept = Vec::new();
    for der in CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).take(AUTHORITIES - 1) {
        let good = X509Certificate::from_der(&der)
            .is_ok_and(|(_, one)| one.validity().not_after.timestamp() > now);
        if good {
            kept.extend(pem_of(&der));
        }
    }
    kept
}

fn pem_of(der: &CertificateDer<'_>) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let text = BASE64_STANDARD.encode(der);
    let mut pem = b"-----BEGIN CERTIFICATE-----\n".to_vec();
    for line in text.as_bytes().chunks(64) {
        pem.extend(line);
        pem.push(b'\n');
    }
    pem.extend(b"-----END CERTIFICATE-----\n");
    pem
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::aws_lc_rs,
        pki_types::{ServerName, UnixTime},
    };

    use super::*;
    use crate::kube::external_metrics::certificate::certified;

    const NAME: &str = "chat-metrics.prod.svc";

    fn day(days: u64) -> SystemTime {
        SystemTime::now() + Duration::from_secs(days * 24 * 3600)
    }

    /// Whether somebody who believes in these authorities takes the certificate for the name's.
    fn is_believed(made: &Made, authorities: &[u8], name: &str, at: SystemTime) -> bool {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        for der in CertificateDer::pem_slice_iter(authorities) {
            roots.add(der.unwrap()).unwrap();
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone()).build();
        let shown = certified(&made.certificate, &made.key, &provider).unwrap();
        let (own, rest) = shown.cert.split_first().unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let now = UnixTime::since_unix_epoch(since);
        verifier.unwrap().verify_server_cert(own, rest, &name, &[], now).is_ok()
    }

    #[test]
    fn it_is_believed_for_its_name_and_time_by_those_who_have_its_authority() {
        let made = Made::new(NAME, None, day(0)).unwrap();
        let other = Made::new(NAME, None, day(0)).unwrap();
        assert!(is_believed(&made, &made.authorities, NAME, day(0)));
        assert!(is_believed(&made, &made.authorities, NAME, day(89)));
        assert!(!is_believed(&made, &made.authorities, NAME, day(91)));
        assert!(!is_believed(&made, &made.authorities, "chat.prod.svc", day(0)));
        assert!(!is_believed(&made, &other.authorities, NAME, day(0)));
    }

    #[test]
    fn the_authority_of_the_one_before_is_believed_until_it_ends() {
        let first = Made::new(NAME, None, day(0)).unwrap();
        let second = Made::new(NAME, Some(&first), day(60)).unwrap();
        for made in [&first, &second] {
            assert!(is_believed(made, &second.authorities, NAME, day(61)));
        }
        // And not that of the one before that.
        let third = Made::new(NAME, Some(&second), day(70)).unwrap();
        assert!(is_believed(&second, &third.authorities, NAME, day(71)));
        assert!(!is_believed(&first, &third.authorities, NAME, day(71)));
        // Nor one that has ended.
        let late = Made::new(NAME, Some(&first), day(91)).unwrap();
        assert_eq!(CertificateDer::pem_slice_iter(&late.authorities).count(), 1);
    }

    #[test]
    fn a_new_one_is_due_in_time_and_for_a_new_name_and_nothing_foreign_is_touched() {
        let made = Made::new(NAME, None, day(0)).unwrap();
        assert_eq!(made.judge(NAME, day(0)), Found::Good);
        assert_eq!(made.judge(NAME, day(59)), Found::Good);
        assert_eq!(made.judge(NAME, day(61)), Found::Due);
        assert_eq!(made.judge(NAME, day(100)), Found::Due);
        assert_eq!(made.judge("other.prod.svc", day(0)), Found::Due);
        let bare = Made { authorities: Vec::new(), ..made.clone() };
        assert_eq!(bare.judge(NAME, day(0)), Found::Due);
        let none = Made { certificate: Vec::new(), ..made.clone() };
        assert_eq!(none.judge(NAME, day(0)), Found::Foreign);
        let own = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let foreign = own.self_signed(&KeyPair::generate().unwrap()).unwrap().pem().into_bytes();
        assert_eq!(Made { certificate: foreign, ..made }.judge(NAME, day(0)), Found::Foreign);
    }
}
