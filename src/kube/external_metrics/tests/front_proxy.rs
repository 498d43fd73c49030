//! Who is taken for the API server, and what is believed of what it says.

use std::{collections::BTreeMap, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue};
use rcgen::ExtendedKeyUsagePurpose;
use rustls::{
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, UnixTime, pem::PemObject},
};

use super::*;
use crate::kube::external_metrics::front_proxy::{Caller, FrontProxy, Stranger};

fn data(authorities: &str, names: &[&str]) -> BTreeMap<String, String> {
    serde_json::from_value(recognized_by(authorities, names)).unwrap()
}

fn read(data: &BTreeMap<String, String>) -> Result<FrontProxy, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    FrontProxy::read(data, &provider).map_err(|error| error.to_string())
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect()
}

#[test]
fn the_api_server_is_known_by_authority_name_use_and_time() {
    let (ours, theirs) = (Authority::new(), Authority::new());
    let front_proxy = read(&data(&ours.pem, &["front-proxy-client", "aggregator"])).unwrap();
    let knows = |front_proxy: &FrontProxy, pem: &str| {
        front_proxy.is_api_server(&chain(pem), UnixTime::now()).is_ok()
    };
    assert!(knows(&front_proxy, &ours.issue(&["front-proxy-client"]).0));
    assert!(knows(&front_proxy, &ours.issue(&["aggregator"]).0));
    for names in [&["admin"][..], &[], &["Front-Proxy-Client"], &["front-proxy-client", "admin"]] {
        assert!(!knows(&front_proxy, &ours.issue(names).0), "{names:?}");
    }
    assert!(!knows(&front_proxy, &theirs.issue(&["front-proxy-client"]).0));
    let server = ours.issue_for(&["aggregator"], ExtendedKeyUsagePurpose::ServerAuth, LONG).0;
    assert!(!knows(&front_proxy, &server));
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let ended = ours.issue_for(&["aggregator"], client, LONG / 3).0;
    assert!(!knows(&front_proxy, &ended));
    assert!(!knows(&front_proxy, &ours.pem));
    assert_eq!(front_proxy.is_api_server(&[], UnixTime::now()), Err(Stranger::NoCertificate));
    let garbage = [CertificateDer::from(vec![0x30, 0x03, 1, 2, 3])];
    assert!(front_proxy.is_api_server(&garbage, UnixTime::now()).is_err());

    // Without names, the authority is enough; with several authorities, one of them.
    let both = format!("{}{}", theirs.pem, ours.pem);
    let front_proxy = read(&data(&both, &[])).unwrap();
    for authority in [&ours, &theirs] {
        assert!(knows(&front_proxy, &authority.issue(&["anything"]).0));
    }
    assert!(!knows(&front_proxy, &Authority::new().issue(&["anything"]).0));
}

#[test]
fn a_map_that_says_nothing_of_authorities_or_headers_is_unusable() {
    let whole = data(&Authority::new().pem, &[]);
    assert!(read(&whole).is_ok());
    let broken: [(&str, Option<&str>, &str); 7] = [
        ("requestheader-client-ca-file", None, "is missing"),
        ("requestheader-client-ca-file", Some(""), "requestheader-client-ca-file"),
        ("requestheader-client-ca-file", Some("no PEM"), "requestheader-client-ca-file"),
        ("requestheader-allowed-names", Some("front-proxy"), "requestheader-allowed-names"),
        ("requestheader-username-headers", None, "names no header"),
        ("requestheader-username-headers", Some("[]"), "names no header"),
        ("requestheader-group-headers", Some(r#"["a b"]"#), "requestheader-group-headers"),
    ];
    for (key, value, text) in broken {
        let mut data = whole.clone();
        match value {
            Some(value) => data.insert(key.into(), value.into()),
            None => data.remove(key),
        };
        let error = read(&data).unwrap_err();
        assert!(error.contains(text) && error.contains(key), "{key}: {error}");
    }
}

fn caller(headers: &[(&str, &str)]) -> Result<Caller, Stranger> {
    let front_proxy = read(&data(&Authority::new().pem, &[])).unwrap();
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name: HeaderName = name.parse().unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    front_proxy.caller(&map)
}

#[test]
fn a_caller_is_what_the_headers_say() {
    let found = caller(&[
        ("X-Remote-User", "jane"),
        ("X-Remote-Uid", "42"),
        ("X-Remote-Group", "ops"),
        ("X-Remote-Group", ""),
        ("X-Remote-Group", "dev"),
        ("X-Remote-Extra-Scopes", "a"),
        ("X-Remote-Extra-Scopes", "b"),
        ("X-Remote-Extra-example.org%2fkey", "c"),
        ("X-Remote-Extra-odd%zz", "d"),
        ("Authorization", "ignored"),
    ])
    .unwrap();
    assert_eq!((&*found.username, found.uid.as_deref()), ("jane", Some("42")));
    // As the servers of Kubernetes have it, whoever is known is authenticated.
    assert_eq!(found.groups, ["ops", "dev", "system:authenticated"]);
    let extra: Vec<_> =
        found.extra.iter().map(|(key, values)| (&**key, values.join(","))).collect();
    let expected = [("example.org/key", "c"), ("odd%zz", "d"), ("scopes", "a,b")];
    assert_eq!(extra, expected.map(|(key, values)| (key, values.to_owned())));

    let masters = caller(&[("x-remote-user", "a"), ("x-remote-group", "system:authenticated")]);
    assert_eq!(masters.unwrap().groups, ["system:authenticated"]);
    let nobody = caller(&[
        ("x-remote-user", "system:anonymous"),
        ("x-remote-group", "system:unauthenticated"),
    ]);
    assert_eq!(nobody.unwrap().groups, ["system:unauthenticated"]);
    assert_eq!(caller(&[("x-remote-user", "system:anonymous")]).unwrap().groups, [""; 0]);
}

#[test]
fn headers_that_say_nothing_or_too_much_are_refused() {
    assert_eq!(caller(&[]), Err(Stranger::NoUsername));
    assert_eq!(caller(&[("x-remote-user", "")]), Err(Stranger::NoUsername));
    assert_eq!(caller(&[("x-remote-group", "system:masters")]), Err(Stranger::NoUsername));
    let many: Vec<_> = (0..600).map(|number| number.to_string()).collect();
    let groups = many.iter().map(|group| ("x-remote-group", &**group));
    let headers: Vec<_> = [("x-remote-user", "a")].into_iter().chain(groups).collect();
    assert_eq!(caller(&headers), Err(Stranger::Headers));
}
