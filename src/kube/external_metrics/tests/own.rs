//! The certificate that pods make: one for all of them, whoever comes first.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use rustls::crypto::aws_lc_rs;

use super::*;
use crate::{
    config::{Config, ExternalMetrics},
    kube::external_metrics::{
        certificate::Shown,
        made::Made,
        own::{Own, OwnError},
    },
};

const SERVICE: &str = "chat-metrics.prod.svc";

fn settings() -> ExternalMetrics {
    ExternalMetrics {
        service: SERVICE.into(),
        secret: "chat-metrics".into(),
        ..Config::defaults().kubernetes.external_metrics
    }
}

fn pod(server: &Server) -> (Own, Shown) {
    let shown = Shown::default();
    let provider = Arc::new(aws_lc_rs::default_provider());
    (Own::new(server.api.clone(), settings(), shown.clone(), provider), shown)
}

fn api_service(name: &str, namespace: &str) -> Value {
    json!({
        "metadata": {"name": "v1beta1.external.metrics.k8s.io"},
        "spec": {
            "group": "external.metrics.k8s.io", "version": "v1beta1",
            "groupPriorityMinimum": 100, "versionPriority": 100,
            "service": {"name": name, "namespace": namespace, "port": 443},
        },
    })
}

fn secret(made: &Made) -> Value {
    let text = |bytes: &[u8]| BASE64_STANDARD.encode(bytes);
    json!({
        "metadata": {"name": "chat-metrics", "namespace": "prod", "labels": {"kept": "yes"}},
        "type": "Opaque",
        "data": {
            "tls.crt": text(&made.certificate),
            "tls.key": text(&made.key),
            "ca.crt": text(&made.authorities),
        },
    })
}

#[tokio::test]
async fn the_first_pod_makes_it_and_the_others_take_it() {
    let server = Server::start().await;
    server.put(API_SERVICE, api_service("chat-metrics", "prod"));
    let (mut first, shown) = pod(&server);
    first.look().await.unwrap();
    assert!(shown.is_there());
    let kept = server.get(SECRET).unwrap();
    assert_eq!(kept["type"], "kubernetes.io/tls");
    let bundle = server.get(API_SERVICE).unwrap()["spec"]["caBundle"].clone();
    assert_eq!(bundle, kept["data"]["ca.crt"]);
    assert_eq!(server.objects.lock().writes, 2);

    let (mut second, shown) = pod(&server);
    second.look().await.unwrap();
    first.look().await.unwrap();
    assert!(shown.is_there());
    assert_eq!(server.get(SECRET).unwrap(), kept);
    assert_eq!(server.objects.lock().writes, 2);
    assert!(first.current() == second.current());
}

#[tokio::test]
async fn two_pods_at_the_same_moment_agree_on_one() {
    let server = Server::start().await;
    server.put(API_SERVICE, api_service("chat-metrics", "prod"));
    // Another pod creates it between this one's look and its write.
    let theirs = Made::new(SERVICE, None, std::time::SystemTime::now()).unwrap();
    let object = secret(&theirs);
    server.objects.lock().meanwhile = Some(Box::new(move |objects| objects.put(SECRET, object)));
    let (mut pod, shown) = pod(&server);
    assert!(matches!(pod.look().await, Err(OwnError::Overtaken)));
    assert!(!shown.is_there());
    pod.look().await.unwrap();
    assert!(pod.current() == Some(&theirs));

    // The same when it is renewed.
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(70 * 24 * 3600);
    let old = Made::new(SERVICE, None, long_ago).unwrap();
    server.put(SECRET, secret(&old));
    let object = secret(&theirs);
    server.objects.lock().meanwhile = Some(Box::new(move |objects| objects.put(SECRET, object)));
    assert!(matches!(pod.look().await, Err(OwnError::Overtaken)));
    pod.look().await.unwrap();
    assert!(pod.current() == Some(&theirs));
}

#[tokio::test]
async fn a_new_one_is_shown_once_its_authority_has_been_there_for_a_look() {
    let server = Server::start().await;
    server.put(API_SERVICE, api_service("chat-metrics", "prod"));
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(70 * 24 * 3600);
    let old = Made::new(SERVICE, None, long_ago).unwrap();
    server.put(SECRET, secret(&old));
    // This pod has shown it while it was good.
    let (mut pod, _) = pod(&server);
    pod.show(&old);
    pod.look().await.unwrap();
    let kept = server.get(SECRET).unwrap();
    assert_ne!(kept["data"]["tls.crt"], secret(&old)["data"]["tls.crt"]);
    // The type and the labels are somebody's choice.
    assert_eq!(
        (&kept["type"], &kept["metadata"]["labels"]["kept"]),
        (&json!("Opaque"), &json!("yes"))
    );
    let bundle = server.get(API_SERVICE).unwrap()["spec"]["caBundle"].clone();
    let bundle = BASE64_STANDARD.decode(bundle.as_str().unwrap()).unwrap();
    let bundle = String::from_utf8(bundle).unwrap();
    assert_eq!(bundle.matches("BEGIN").count(), 2);
    assert!(pod.current() == Some(&old));
    pod.look().await.unwrap();
    assert!(pod.current().is_some_and(|current| *current != old));
}

#[tokio::test]
async fn a_new_one_is_not_shown_while_its_authority_cannot_be_written() {
    let server = Server::start().await;
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(70 * 24 * 3600);
    let old = Made::new(SERVICE, None, long_ago).unwrap();
    server.put(SECRET, secret(&old));
    let (mut pod, _) = pod(&server);
    pod.show(&old);
    for _ in 0..3 {
        assert!(matches!(pod.look().await, Err(OwnError::NoApiService(_))));
        assert!(pod.current() == Some(&old));
    }
    server.put(API_SERVICE, api_service("chat-metrics", "prod"));
    pod.look().await.unwrap();
    assert!(pod.current() == Some(&old));
    pod.look().await.unwrap();
    assert!(pod.current() != Some(&old));
}

#[tokio::test]
async fn what_belongs_to_others_is_not_written() {
    let server = Server::start().await;
    for (name, namespace) in [("keda-metrics", "keda"), ("chat-metrics", "other")] {
        server.put(API_SERVICE, api_service(name, namespace));
        let before = server.get(API_SERVICE);
        let error = pod(&server).0.look().await.unwrap_err().to_string();
        assert!(error.contains(&format!("{name}.{namespace}.svc")), "{error}");
        assert_eq!(server.get(API_SERVICE), before);
    }
    let foreign = json!({"metadata": {"name": "chat-metrics"}, "data": {"password": "c2VjcmV0"}});
    server.put(SECRET, foreign);
    let before = server.get(SECRET);
    let error = pod(&server).0.look().await.unwrap_err().to_string();
    assert!(error.contains("chat-metrics") && error.contains("delete it"), "{error}");
    assert_eq!(server.get(SECRET), before);
    // An empty one is a place to put it.
    server.put(API_SERVICE, api_service("chat-metrics", "prod"));
    server.put(SECRET, json!({"metadata": {"name": "chat-metrics"}, "type": "Opaque"}));
    let (mut pod, shown) = pod(&server);
    pod.look().await.unwrap();
    assert!(shown.is_there());
}

#[tokio::test]
async fn without_the_api_server_what_is_shown_stays() {
    let server = Server::start().await;
    server.put(API_SERVICE, api_service("chat-metrics", "prod"));
    let (mut pod, shown) = pod(&server);
    server.objects.lock().broken = Some(StatusCode::FORBIDDEN);
    assert!(matches!(pod.look().await, Err(OwnError::Call(_))));
    assert!(!shown.is_there());
    server.objects.lock().broken = None;
    pod.look().await.unwrap();
    for code in [StatusCode::FORBIDDEN, StatusCode::INTERNAL_SERVER_ERROR] {
        server.objects.lock().broken = Some(code);
        assert!(matches!(pod.look().await, Err(OwnError::Call(_))));
        assert!(shown.is_there());
    }
    // A deleted Secret is made anew.
    server.objects.lock().broken = None;
    server.objects.lock().remove(SECRET);
    pod.look().await.unwrap();
    assert!(server.get(SECRET).is_some());
}
