//! Hooks over HTTPS are believed only with a certificate of an authority that is trusted.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use super::*;

/// An authority, and a server for `localhost` with a certificate from it.
fn authority() -> (String, TlsAcceptor) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    (pem, TlsAcceptor::from(Arc::new(config)))
}

#[tokio::test]
async fn a_certificate_is_checked() {
    let (pem, acceptor) = authority();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            if let Ok(mut stream) = acceptor.accept(stream).await {
                let _ = stream.read(&mut [0; 4096]).await;
                let answer = b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n";
                let _ = stream.write_all(answer).await;
                let _ = stream.shutdown().await;
            }
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        config::Hooks { ca_file: path.to_str().unwrap().to_owned(), ..settings() }
    };
    let at = |settings: &config::Hooks, host: &str| {
        Hooks::new(settings).at(&HookUrl::new(&format!("https://{host}:{port}/")).unwrap())
    };
    let trusting = file("ca.pem", &pem);
    assert_eq!(event(&at(&trusting, "localhost").unwrap()).await.unwrap(), r#"{"accepted":true}"#);
    let unreachable = Err(HookError::Down(Down::Unreachable));
    // Another name, another authority, those of the system.
    assert_eq!(event(&at(&trusting, "127.0.0.1").unwrap()).await, unreachable);
    let another = file("another.pem", &authority().0);
    assert_eq!(event(&at(&another, "localhost").unwrap()).await, unreachable);
    assert_eq!(event(&at(&settings(), "localhost").unwrap()).await, unreachable);
    let error = at(&file("none.pem", "no certificate"), "localhost").err().unwrap();
    assert!(error.to_string().contains("none.pem: no certificate in it"), "{error}");
    server.abort();
}
