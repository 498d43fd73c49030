//! A collector behind TLS, with an authority of its own, which lets in who shows a certificate.

use std::{fs, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer},
    server::WebPkiClientVerifier,
};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::{
    super::support::{OPEN, Pod},
    Receiver, exporting, publish,
};

/// Writes `ca.pem`, and `NAME.pem` with `NAME.key` for a client; and gives what a server needs.
fn certificates(folder: &Path) -> ServerConfig {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let authority = params.self_signed(&key).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der().to_vec())).unwrap();
    let issuer = Issuer::new(params, key);
    let issue = |name: &str| {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (params.signed_by(&key, &issuer).unwrap(), key)
    };
    let (client, key) = issue("pod");
    fs::write(folder.join("pod.pem"), client.pem()).unwrap();
    fs::write(folder.join("pod.key"), key.serialize_pem()).unwrap();
    let (server, key) = issue("localhost");
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let mut config = ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![server.der().clone()], key)
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    config
}

/// Speaks TLS for a receiver: its address.
async fn terminate(config: ServerConfig, receiver: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (acceptor, to) = (TlsAcceptor::from(Arc::new(config)), receiver.replace("http://", ""));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, to) = (acceptor.clone(), to.clone());
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut there = TcpStream::connect(to).await.unwrap();
                let _ = tokio::io::copy_bidirectional(&mut stream, &mut there).await;
            });
        }
    });
    format!("https://localhost:{port}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_behind_tls() {
    let receiver = Receiver::start();
    for (protocol, plain) in [("grpc", &receiver.grpc), ("http/protobuf", &receiver.http)] {
        let folder = tempfile::tempdir().unwrap();
        let endpoint = terminate(certificates(folder.path()), plain).await;
        let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
        let (authority, certificate, key) = (file("ca.pem"), file("pod.pem"), file("pod.key"));
        let believes = ("OTEL_EXPORTER_OTLP_CERTIFICATE", authority.as_str());
        let shows = [
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", certificate.as_str()),
            ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY", key.as_str()),
        ];
        let all = [believes, shows[0], shows[1]];
        for (more, result) in [(&all[..], "exported"), (&all[..1], "failed"), (&shows, "failed")] {
            let mut variables = exporting(&endpoint, protocol);
            variables.push(("OTEL_EXPORTER_OTLP_TIMEOUT", "500"));
            variables.extend(more);
            let pod = Pod::start_with(OPEN, &variables);
            let emit = serde_json::json!({"event": "news"});
            assert_eq!(publish(&pod, &[], &emit).await, 200);
            let series = |result| format!("roomcast_spans_total{{result=\"{result}\"}}");
            pod.metric_reaches(&series(result), 3.0).await;
            let other = if result == "failed" { "exported" } else { "failed" };
            assert_eq!(pod.metric(&series(other)).await, 0.0, "{protocol}: {more:?}");
        }
    }
    assert_eq!(receiver.spans().len(), 6);
}
