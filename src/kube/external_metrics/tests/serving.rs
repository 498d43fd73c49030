//! The listener: over TLS, to whom, and with what.

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use reqwest::{Certificate, Client, Identity};
use tokio::{net::TcpListener, task::JoinSet};

use super::*;
use crate::{
    config::{Config, ExternalMetrics as Settings},
    drain::{Lifecycle, Phase},
    kube::external_metrics::{ExternalMetrics, Figures},
};

const NAME: &str = "chat-metrics.prod.svc";
const HPA: &str = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
const METRIC: &str = "/apis/external.metrics.k8s.io/v1beta1/namespaces/prod/roomcast_connections";

/// A listener, and what is around it.
struct Pod {
    server: Server,
    front_proxies: Authority,
    address: SocketAddr,
    authority: Authority,
    lifecycle: Lifecycle,
    connections: Arc<AtomicUsize>,
    files: [PathBuf; 2],
    tasks: JoinSet<()>,
    _folder: TempDir,
}

impl Pod {
    /// Recognizes the API server by `front-proxy-client`; the autoscaler may read.
    async fn start() -> Self {
        let pod = Self::start_unknowing().await;
        pod.server.recognized_by(&pod.front_proxies.pem, &["front-proxy-client"]);
        let client = pod.client(None);
        reaches("ready", async || pod.get(&client, "/readyz", &[]).await.0 == 200).await;
        pod
    }

    /// There is no ConfigMap yet.
    async fn start_unknowing() -> Self {
        let server = Server::start().await;
        server.objects.lock().allowed.push(HPA.into());
        let folder = tempfile::tempdir().unwrap();
        let files = ["tls.crt", "tls.key"].map(|name| folder.path().join(name));
        let authority = Authority::new();
        write(&files, &authority.issue_for_service());
        let [cert_file, key_file] = [0, 1].map(|file| files[file].display().to_string());
        let settings =
            Settings { cert_file, key_file, ..Config::defaults().kubernetes.external_metrics };
        let connections = Arc::new(AtomicUsize::new(1234));
        let sum = connections.clone();
        let sum = move || {
            let connections = sum.load(Ordering::Relaxed);
            (connections != usize::MAX).then_some(Figures { connections, limit: Some(10_000) })
        };
        let metrics = ExternalMetrics::new(&settings, server.api.clone(), sum).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let lifecycle = Lifecycle::default();
        let (mut serving, mut tasks) = (JoinSet::new(), JoinSet::new());
        metrics.start(vec![Arc::new(listener)], &lifecycle, &mut serving, &mut tasks);
        tasks.spawn(async move { while serving.join_next().await.is_some() {} });
        let front_proxies = Authority::new();
        let _folder = folder;
        Self {
            server,
            front_proxies,
            address,
            authority,
            lifecycle,
            connections,
            files,
            tasks,
            _folder,
        }
    }

    /// A client that believes the authority, and shows a certificate.
    fn client(&self, certificate: Option<(String, String)>) -> Client {
        let authority = Certificate::from_pem(self.authority.pem.as_bytes()).unwrap();
        let builder = Client::builder().tls_certs_only([authority]).resolve(NAME, self.address);
        match certificate {
            Some((certificate, key)) => {
                let identity = Identity::from_pem(format!("{certificate}{key}").as_bytes());
                builder.identity(identity.unwrap())
            }
            None => builder,
        }
        .build()
        .unwrap()
    }

    /// The API server.
    fn api_server(&self) -> Client {
        self.client(Some(self.front_proxies.issue(&["front-proxy-client"])))
    }

    async fn get(&self, client: &Client, path: &str, headers: &[(&str, &str)]) -> (u16, Value) {
        let url = format!("https://{NAME}:{}{path}", self.address.port());
        let mut request = client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let answer = request.send().await.unwrap();
        let code = answer.status().as_u16();
        (code, serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default())
    }

    async fn metric(&self, client: &Client) -> (u16, Value) {
        self.get(client, METRIC, &[("x-remote-user", HPA)]).await
    }
}

impl Authority {
    fn issue_for_service(&self) -> (String, String) {
        let mut params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}

fn write([certificate, key]: &[PathBuf; 2], (one, other): &(String, String)) {
    std::fs::write(certificate, one).unwrap();
    std::fs::write(key, other).unwrap();
}

fn is_status(body: &Value, code: u16, reason: &str, text: &str) {
    assert_eq!((&body["kind"], &body["apiVersion"]), (&json!("Status"), &json!("v1")), "{body}");
    assert_eq!((&body["code"], &body["reason"]), (&json!(code), &json!(reason)), "{body}");
    assert!(body["message"].as_str().unwrap().contains(text), "{body}");
}

#[tokio::test]
async fn the_autoscaler_reads_the_sum_through_the_api_server() {
    let pod = Pod::start().await;
    let api_server = pod.api_server();
    let (code, list) = pod.metric(&api_server).await;
    assert_eq!(code, 200, "{list}");
    assert_eq!(
        (&list["kind"], &list["items"][0]["value"]),
        (&json!("ExternalMetricValueList"), &json!("1234"))
    );
    assert_eq!(list["apiVersion"], "external.metrics.k8s.io/v1beta1");
    assert_eq!(list["items"][0]["metricName"], "roomcast_connections");
    assert!(list["items"][0]["metricLabels"].as_object().unwrap().is_empty());
    let timestamp = list["items"][0]["timestamp"].as_str().unwrap();
    assert!(humantime::parse_rfc3339(timestamp).is_ok() && timestamp.ends_with('Z'), "{timestamp}");
    let utilization = METRIC.replace("connections", "utilization");
    let (_, list) = pod.get(&api_server, &utilization, &[("x-remote-user", HPA)]).await;
    assert_eq!(list["items"][0]["value"], "12340m");

    // Whether it may was asked once for each, and is known for a while.
    pod.connections.store(5000, Ordering::Relaxed);
    let (_, list) = pod.metric(&api_server).await;
    assert_eq!(list["items"][0]["value"], "5k");
    let reviews = pod.server.objects.lock().reviews.clone();
    assert_eq!(reviews.len(), 2, "{reviews:?}");
    assert_eq!(reviews[0]["spec"]["groups"], json!(["system:authenticated"]));
    assert_eq!(reviews[0]["spec"]["resourceAttributes"]["resource"], "roomcast_connections");

    // What nobody knows is no number.
    pod.connections.store(usize::MAX, Ordering::Relaxed);
    let (code, body) = pod.metric(&api_server).await;
    is_status(&body, code, "ServiceUnavailable", "cut off from Redis");
}

#[tokio::test]
async fn only_the_api_server_is_believed() {
    let pod = Pod::start().await;
    let refused = [
        (None, "no client certificate"),
        (Some(pod.front_proxies.issue(&["admin"])), "requestheader-allowed-names"),
        (Some(Authority::new().issue(&["front-proxy-client"])), "not the API server's"),
    ];
    for (certificate, text) in refused {
        let client = pod.client(certificate);
        let headers = [("x-remote-user", HPA), ("x-remote-group", "system:masters")];
        for path in [METRIC, "/apis", "/apis/external.metrics.k8s.io/v1beta1", "/openapi/v2", "/x"]
        {
            let (code, body) = pod.get(&client, path, &headers).await;
            is_status(&body, code, "Unauthorized", text);
            assert_eq!(code, 401);
        }
        // Who watches over pods needs no certificate.
        for path in ["/livez", "/readyz"] {
            assert_eq!(pod.get(&client, path, &[]).await.0, 200);
        }
    }
    let (code, body) = pod.get(&pod.api_server(), METRIC, &[]).await;
    is_status(&body, code, "Unauthorized", "no header says who asks");
    assert!(pod.server.objects.lock().reviews.is_empty());
}

#[tokio::test]
async fn who_may_not_gets_nothing_and_who_cannot_be_judged_neither() {
    let pod = Pod::start().await;
    let api_server = pod.api_server();
    for path in [METRIC, "/apis", "/openapi/v2", "/nothing"] {
        let headers = [("x-remote-user", "jane"), ("x-remote-group", "system:masters")];
        let (code, body) = pod.get(&api_server, path, &headers).await;
        is_status(&body, code, "Forbidden", "\"jane\"");
        assert_eq!(code, 403);
    }
    pod.server.objects.lock().broken = Some(StatusCode::INTERNAL_SERVER_ERROR);
    let (code, body) = pod.metric(&api_server).await;
    is_status(&body, code, "ServiceUnavailable", "who may read");
    assert_eq!(code, 503);
    pod.server.objects.lock().broken = None;
    assert_eq!(pod.metric(&api_server).await.0, 200);
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_said_clearly() {
    let pod = Pod::start().await;
    let api_server = pod.api_server();
    let by_hpa = [("x-remote-user", HPA)];
    for (path, code, reason, text) in [
        (METRIC.replace("/prod/", "/other/"), 404, "NotFound", "namespace \"prod\""),
        (METRIC.replace("connections", "rooms"), 404, "NotFound", "roomcast_utilization"),
        ("/apis/apps/v1".into(), 404, "NotFound", "/apis/external.metrics.k8s.io"),
        (
            format!("{METRIC}?labelSelector=app%3Dchat"),
            400,
            "BadRequest",
            "leave metric.selector out",
        ),
        (format!("{METRIC}?watch=true"), 405, "MethodNotAllowed", "watched"),
    ] {
        let (status, body) = pod.get(&api_server, &path, &by_hpa).await;
        assert_eq!(status, code, "{path}");
        is_status(&body, code, reason, text);
    }
    assert_eq!(pod.get(&api_server, &format!("{METRIC}?labelSelector="), &by_hpa).await.0, 200);
    let url = format!("https://{NAME}:{}{METRIC}", pod.address.port());
    let posted = api_server.post(url).header("x-remote-user", HPA).send().await.unwrap();
    assert_eq!(posted.status(), 405);

    for (path, kind) in [
        ("/apis", "APIGroupList"),
        ("/apis/external.metrics.k8s.io", "APIGroup"),
        ("/apis/external.metrics.k8s.io/v1beta1", "APIResourceList"),
    ] {
        let (code, body) = pod.get(&api_server, path, &by_hpa).await;
        assert_eq!((code, &body["kind"]), (200, &json!(kind)));
    }
    assert_eq!(pod.get(&api_server, "/openapi/v2", &by_hpa).await.1["swagger"], "2.0");
    let (_, root) = pod.get(&api_server, "/openapi/v3", &by_hpa).await;
    let url = root["paths"]["apis/external.metrics.k8s.io/v1beta1"]["serverRelativeURL"].clone();
    let (_, description) = pod.get(&api_server, url.as_str().unwrap(), &by_hpa).await;
    assert_eq!(description["openapi"], "3.0.0");
}

#[tokio::test]
async fn a_new_authority_of_the_api_server_counts_for_connections_that_are_there() {
    let pod = Pod::start_unknowing().await;
    let old = pod.api_server();
    let (code, body) = pod.metric(&old).await;
    is_status(&body, code, "ServiceUnavailable", "does not know yet");
    assert_eq!(pod.get(&pod.client(None), "/readyz", &[]).await.0, 503);
    pod.server.recognized_by(&pod.front_proxies.pem, &["front-proxy-client"]);
    reaches("the API server is recognized", async || pod.metric(&old).await.0 == 200).await;

    // Somebody who is not recognized has it read again, and not only after a minute.
    let next = Authority::new();
    let new = pod.client(Some(next.issue(&["front-proxy-client"])));
    assert_eq!(pod.metric(&new).await.0, 401);
    pod.server.recognized_by(&next.pem, &["front-proxy-client"]);
    reaches("the new one is recognized", async || pod.metric(&new).await.0 == 200).await;
    assert_eq!(pod.metric(&old).await.0, 401);
    // What cannot be read changes nothing.
    pod.server.put(CONFIG_MAP, json!({"metadata": {}, "data": {}}));
    assert_eq!(pod.metric(&old).await.0, 401);
    assert_eq!(pod.metric(&new).await.0, 200);
}

#[tokio::test]
async fn a_certificate_in_files_is_renewed_while_it_listens() {
    let mut pod = Pod::start().await;
    let next = Authority::new();
    // For a moment they do not go together.
    write(&pod.files, &(next.issue_for_service().0, String::new()));
    write(&pod.files, &next.issue_for_service());
    let before = pod.api_server();
    pod.authority = next;
    let url = format!("https://{NAME}:{}/livez", pod.address.port());
    // The client is new each time: a connection goes on with what it was made with.
    reaches("the new certificate", async || pod.client(None).get(&url).send().await.is_ok()).await;
    assert!(before.get(&url).send().await.is_err());
}

#[tokio::test]
async fn the_pod_serves_until_it_stops_and_sends_the_api_server_elsewhere_before() {
    let mut pod = Pod::start().await;
    let api_server = pod.api_server();
    let url = format!("https://{NAME}:{}{METRIC}", pod.address.port());
    let ask = || api_server.get(&url).header("x-remote-user", HPA).send();
    assert!(!ask().await.unwrap().headers().contains_key("connection"));
    pod.lifecycle.advance(Phase::Closing);
    let answer = ask().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["connection"]),
        (200, &"close".parse().unwrap())
    );
    pod.lifecycle.advance(Phase::Stopped);
    reaches("the end", async || ask().await.is_err()).await;
    pod.tasks.abort_all();
}

#[tokio::test]
async fn strangers_are_disconnected_and_cannot_take_all_places() {
    use tokio::{io::AsyncReadExt, net::TcpStream};
    let pod = Pod::start().await;
    // More than there are places, of those that say nothing.
    let mut silent = Vec::new();
    for _ in 0..160 {
        silent.push(TcpStream::connect(pod.address).await.unwrap());
    }
    let mut buffer = [0; 16];
    let ended = silent[0].read(&mut buffer);
    let ended = tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert!(matches!(ended, Ok(0) | Err(_)));
    // And then the API server has its turn.
    assert_eq!(pod.metric(&pod.api_server()).await.0, 200);
}

#[test]
fn files_that_make_no_sense_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name).display().to_string();
    let settings = Settings {
        cert_file: file("tls.crt"),
        key_file: file("tls.key"),
        ..Config::defaults().kubernetes.external_metrics
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let error = || {
        runtime.block_on(async {
            let server = Server::start().await;
            let made = ExternalMetrics::new(&settings, server.api.clone(), || None);
            made.map(drop).unwrap_err().to_string()
        })
    };
    assert!(error().contains("tls.crt"), "{}", error());
    let (authority, other) = (Authority::new(), Authority::new());
    let write = |certificate: &str, key: &str| {
        std::fs::write(file("tls.crt"), certificate).unwrap();
        std::fs::write(file("tls.key"), key).unwrap();
    };
    let (certificate, key) = authority.issue_for_service();
    write(&key, &key);
    assert!(error().contains("no certificate"), "{}", error());
    write(&certificate, &certificate);
    assert!(error().contains("no private key"), "{}", error());
    write(&certificate, &other.issue_for_service().1);
    let error = error();
    assert!(error.contains("go together") && !error.contains("BEGIN"), "{error}");
}
