//! Who calls: the API server says it in headers, and proves that it is the API server by its client certificate.
//!
//! What to check it against is in ConfigMap `extension-apiserver-authentication` of `kube-system`, which the API server writes
//! itself: authorities (`requestheader-client-ca-file`), names (`requestheader-allowed-names`) and the headers. Nothing in a
//! header is believed before. Source: the Kubernetes documentation, "Configure the Aggregation Layer".

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
};

use http::{HeaderMap, HeaderName};
use rustls::{
    RootCertStore,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// Whom each authenticated caller belongs to. The API server leaves it away for some of its own requests.
const AUTHENTICATED: &str = "system:authenticated";
const UNAUTHENTICATED: &str = "system:unauthenticated";
const ANONYMOUS: &str = "system:anonymous";
/// Values of headers that are taken over from one request: groups, and each kind of what else is known of the caller.
const MOST_VALUES: usize = 512;

/// What the ConfigMap says.
pub struct FrontProxy {
    /// Checks a certificate against the authorities.
    verifier: Arc<dyn ClientCertVerifier>,
    /// Names of which the certificate must have one; empty: any.
    names: BTreeSet<String>,
    username: Vec<HeaderName>,
    uid: Vec<HeaderName>,
    groups: Vec<HeaderName>,
    /// What the names of headers with more about the caller begin with, in lower case.
    extra: Vec<String>,
}

/// A caller, as the API server describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub username: String,
    pub uid: Option<String>,
    pub groups: Vec<String>,
    pub extra: BTreeMap<String, Vec<String>>,
}

/// A ConfigMap that cannot be worked with.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A key of it is missing or cannot be read.
    #[error("{key}: {what}")]
    Key { key: &'static str, what: String },
}

/// A caller that is not who it says, and why.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum Stranger {
    /// It has shown no certificate.
    #[error("no client certificate: this is for the API server, which passes requests on")]
    NoCertificate,
    /// Its certificate is none of the API server's.
    #[error("the client certificate is not the API server's: {0}")]
    Certificate(String),
    /// It is the API server, and says nothing of who asks.
    #[error("no header says who asks")]
    NoUsername,
    /// Headers that cannot be read, or are too many.
    #[error("the headers that say who asks cannot be read")]
    Headers,
}

impl FrontProxy {
    /// Reads the data of the ConfigMap.
    ///
    /// # Errors
    /// If there is no authority or no header in it. An API server without `--requestheader-client-ca-file` has none.
    pub fn read(
        data: &BTreeMap<String, String>,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, Unusable> {
        let unusable = |key, what: String| Unusable::Key { key, what };
        let key = "requestheader-client-ca-file";
        let pem = data.get(key).ok_or_else(|| unusable(key, "is missing".into()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
            let certificate = certificate.map_err(|error| unusable(key, error.to_string()))?;
            // The others may do: during a rotation, several stand there.
            if let Err(error) = roots.add(certificate) {
                tracing::warn!(%error, key, "an authority of the API server cannot be used");
            }
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .build()
            .map_err(|error| unusable(key, error.to_string()))?;
        let texts = |key| -> Result<Vec<String>, Unusable> {
            let Some(text) = data.get(key) else { return Ok(Vec::new()) };
            serde_json::from_str(text).map_err(|error| unusable(key, error.to_string()))
        };
        let headers = |key| -> Result<Vec<HeaderName>, Unusable> {
            let names = texts(key)?.into_iter();
            let read = names.map(|name| name.trim().parse());
            read.collect::<Result<_, _>>()
                .map_err(|error: http::header::InvalidHeaderName| unusable(key, error.to_string()))
        };
        let key = "requestheader-username-headers";
        let username = headers(key)?;
        if username.is_empty() {
            return Err(unusable(key, "names no header".into()));
        }
        let lower = |name: String| name.trim().to_ascii_lowercase();
        let prefixes = texts("requestheader-extra-headers-prefix")?.into_iter().map(lower);
        Ok(Self {
            verifier,
            names: texts("requestheader-allowed-names")?.into_iter().collect(),
            username,
            uid: headers("requestheader-uid-headers")?,
            groups: headers("requestheader-group-headers")?,
            extra: prefixes.filter(|prefix| !prefix.is_empty()).collect(),
        })
    }

    /// Whether a chain of certificates is that of an API server: asked with each request, since a connection may be older than
    /// what the ConfigMap says now.
    ///
    /// # Errors
    /// If it is not.
    pub fn is_api_server(
        &self,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Stranger> {
        let (own, intermediates) = chain.split_first().ok_or(Stranger::NoCertificate)?;
        let verified = self.verifier.verify_client_cert(own, intermediates, now);
        verified.map_err(|error| Stranger::Certificate(error.to_string()))?;
        if self.names.is_empty() {
            return Ok(());
        }
        match common_name(own) {
            Some(name) if self.names.contains(&name) => Ok(()),
            _ => Err(Stranger::Certificate(
                "its name is not one of requestheader-allowed-names".into(),
            )),
        }
    }

    /// Who calls, by the headers of a request that came with such a certificate.
    ///
    /// # Errors
    /// If they do not say.
    pub fn caller(&self, headers: &HeaderMap) -> Result<Caller, Stranger> {
        let first = |names: &[HeaderName]| -> Result<Option<String>, Stranger> {
            let mut values = names.iter().filter_map(|name| headers.get(name));
            let value = values.find(|value| !value.is_empty());
            value.map(text).transpose()
        };
        let username = first(&self.username)?.ok_or(Stranger::NoUsername)?;
        let mut groups = Vec::new();
        for value in self.groups.iter().flat_map(|name| headers.get_all(name)) {
            groups.push(text(value)?);
        }
        groups.retain(|group| !group.is_empty());
        let known = |group: &String| [AUTHENTICATED, UNAUTHENTICATED].contains(&&**group);
        if username != ANONYMOUS && !groups.iter().any(known) {
            groups.push(AUTHENTICATED.into());
        }
        let mut extra: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let mut count = groups.len();
        for prefix in &self.extra {
            for (name, value) in headers {
                if let Some(key) = name.as_str().strip_prefix(&**prefix) {
                    count += 1;
                    extra.entry(unescaped(key)).or_default().push(text(value)?);
                }
            }
        }
        if count > MOST_VALUES {
            return Err(Stranger::Headers);
        }
        Ok(Caller { username, uid: first(&self.uid)?, groups, extra })
    }
}

impl fmt::Debug for FrontProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontProxy").field("names", &self.names).finish_non_exhaustive()
    }
}

fn text(value: &http::HeaderValue) -> Result<String, Stranger> {
    std::str::from_utf8(value.as_bytes()).map(str::to_owned).map_err(|_| Stranger::Headers)
}

/// The API server writes what a name of a header cannot have as `%41`. What is no such text is taken as it is.
fn unescaped(key: &str) -> String {
    let mut bytes = Vec::with_capacity(key.len());
    let mut rest = key.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        if first != b'%' {
            bytes.push(first);
            rest = behind;
            continue;
        }
        let digits = behind.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        let Some(byte) = digits.and_then(|two| u8::from_str_radix(two, 16).ok()) else {
            return key.to_owned();
        };
        bytes.push(byte);
        rest = &behind[2..];
    }
    String::from_utf8(bytes).unwrap_or_else(|_| key.to_owned())
}

/// The one common name of a certificate; none where there are several, of which others might read another one.
fn common_name(certificate: &CertificateDer<'_>) -> Option<String> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let mut names = certificate.subject().iter_common_name();
    let name = names.next()?.as_str().ok()?.to_owned();
    names.next().is_none().then_some(name)
}
