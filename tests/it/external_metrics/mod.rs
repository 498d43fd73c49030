//! A real API server passes requests on to pods, and its autoscaler reads what they answer.

mod installed;

use std::net::SocketAddr;

use reqwest::{Certificate, Client, Identity};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::Mutex;

use self::installed::{API_SERVICE, Installed, address, listens};
use crate::{
    control_plane::{self, ControlPlane},
    scale::{member, open},
    support::{Pod, Redis},
};

const GROUP: &str = "/apis/external.metrics.k8s.io/v1beta1";
const SERVICE: &str = "chat-external-metrics";
/// There is one API of this name in a cluster.
static ONE: Mutex<()> = Mutex::const_new(());

fn metric(namespace: &str, name: &str) -> String {
    format!("{GROUP}/namespaces/{namespace}/{name}")
}

/// A pod of the cluster that answers, and its service account.
struct Answering {
    pod: Pod,
    address: SocketAddr,
    _account: TempDir,
}

impl Answering {
    fn start(cluster: &ControlPlane, namespace: &str, redis: &Redis) -> Self {
        let account = cluster.account(namespace, "chat");
        let settings = format!(
            "timeout = \"500ms\"\n[kubernetes]\nenabled = true\ndeletion_cost = false\nevents = false\n\
             service_account = \"{}\"\n[kubernetes.external_metrics]\nlisten = \"{}\"\n\
             service = \"{SERVICE}.{namespace}.svc\"\nsecret = \"{SERVICE}\"\n",
            account.path().display(),
            SocketAddr::new(address(), 0),
        );
        let server =
            [("KUBERNETES_SERVICE_HOST", "127.0.0.1"), ("KUBERNETES_SERVICE_PORT", "20443")];
        let pod = Pod::start_with(&member(redis, &settings), &server);
        let address = listens(&pod);
        Self { pod, address, _account: account }
    }
}

/// What an object of the cluster says at a place.
fn field(cluster: &ControlPlane, namespace: &str, what: &[&str], pointer: &str) -> Value {
    let get = ["-n", namespace, "get", "-o", "json"];
    let object: Value = serde_json::from_str(&cluster.run(&[&get, what].concat())).unwrap();
    object.pointer(pointer).cloned().unwrap_or_default()
}

fn value(list: &Value) -> Result<&str, String> {
    list["items"][0]["value"].as_str().ok_or_else(|| list.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_autoscaler_scales_on_the_sum_of_two_pods() {
    let Some(cluster) = ControlPlane::find() else { return };
    let _one = ONE.lock().await;
    let mut redis = Redis::start();
    let installed = Installed::new(cluster, "hpa");
    let namespace = &*installed.namespace;
    let pods = [(); 2].map(|()| Answering::start(cluster, namespace, &redis));
    for (pod, count) in pods.iter().zip([2, 3]) {
        open(&pod.pod, count).await;
    }
    installed.leads_to(&pods.each_ref().map(|pod| pod.address));
    installed.apply(include_str!("scaled.yaml"));

    // Both pods have told each other.
    let connections = metric(namespace, "roomcast_connections");
    let five = || match value(&cluster.raw(&connections)?)? {
        "5" => Ok(()),
        other => Err(other.to_owned()),
    };
    cluster.eventually("the sum of both pods", five);
    // And whichever is asked knows it.
    for _ in 0..10 {
        cluster.eventually("the sum of both pods", five);
    }
    let utilization = cluster.raw(&metric(namespace, "roomcast_utilization")).unwrap();
    assert_eq!(value(&utilization), Ok("2500m"));
    let available = || {
        let conditions =
            field(cluster, namespace, &["apiservice", API_SERVICE], "/status/conditions");
        let condition = conditions.as_array().and_then(|all| all.first()).cloned();
        let condition = condition.unwrap_or_default();
        (condition["status"] == "True").then_some(()).ok_or_else(|| condition.to_string())
    };
    cluster.eventually("the APIService is available", available);

    // What is found there: by clients, and in the descriptions of all APIs.
    let resources = cluster.raw(GROUP).unwrap();
    assert_eq!(resources["resources"].as_array().unwrap().len(), 2, "{resources}");
    cluster.eventually("kubectl finds the metrics", || {
        let found =
            cluster.run(&["api-resources", "--api-group=external.metrics.k8s.io", "-o", "name"]);
        found.contains("roomcast_utilization.external.metrics.k8s.io").then_some(()).ok_or(found)
    });
    cluster.eventually("the description", || {
        let description = cluster.raw(&format!("/openapi/v3{GROUP}"))?;
        let path = format!("{GROUP}/namespaces/{{namespace}}/roomcast_connections");
        description["paths"][&*path].is_object().then_some(()).ok_or("not there".into())
    });

    // Requests are refused as Kubernetes refuses them.
    let other = cluster.raw(&metric("default", "roomcast_connections")).unwrap_err();
    assert!(other.contains("NotFound"), "{other}");
    let none = cluster.raw(&metric(namespace, "roomcast_rooms")).unwrap_err();
    assert!(none.contains("NotFound") && none.contains("roomcast_utilization"), "{none}");
    let labelled = cluster.raw(&format!("{connections}?labelSelector=app%3Dchat")).unwrap_err();
    assert!(labelled.contains("BadRequest") && labelled.contains("metric.selector"), "{labelled}");
    let stranger = format!("system:serviceaccount:{namespace}:default");
    let denied = cluster.kubectl(&["get", "--raw", &connections, "--as", &stranger]);
    assert!(control_plane::text(&denied.stderr).contains("Forbidden"), "{denied:?}");
    let hpa = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
    let allowed = cluster.run(&["get", "--raw", &connections, "--as", hpa]);
    assert!(allowed.contains("ExternalMetricValueList"), "{allowed}");

    // 5 connections, 2 for each pod.
    let scaler = ["hpa", "chat"];
    cluster.eventually("the autoscaler has read it", || {
        let metrics = field(cluster, namespace, &scaler, "/status/currentMetrics/0/external");
        let seen = metrics["metric"]["name"] == "roomcast_connections"
            && metrics["current"]["averageValue"].is_string();
        seen.then_some(()).ok_or_else(|| metrics.to_string())
    });
    let replicas = || field(cluster, namespace, &["deployment", "chat"], "/spec/replicas");
    cluster.eventually("three pods are wanted", || {
        (replicas() == 3).then_some(()).ok_or_else(|| replicas().to_string())
    });

    // Nobody knows the sum: nothing is taken away.
    redis.kill();
    cluster.eventually("the pods do not know", || match cluster.raw(&connections) {
        Err(error) if error.contains("does not know all pods") => Ok(()),
        other => Err(format!("{other:?}")),
    });
    cluster.eventually("the autoscaler gets no number", || {
        let conditions = field(cluster, namespace, &scaler, "/status/conditions");
        let text = conditions.to_string();
        text.contains("FailedGetExternalMetric").then_some(()).ok_or(text)
    });
    assert_eq!(replicas(), 3);
    redis.restart();
    cluster.eventually("the sum is known again", five);
    for pod in &pods {
        let metric = "roomcast_external_metrics_requests_total{asked=\"roomcast_connections\",result=\"ok\"}";
        pod.pod.metric_reaches(metric, 1.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_are_believed_with_the_certificate_of_the_api_server_only() {
    let Some(cluster) = ControlPlane::find() else { return };
    let _one = ONE.lock().await;
    let redis = Redis::start();
    let installed = Installed::new(cluster, "front");
    let namespace = &*installed.namespace;
    let pod = Answering::start(cluster, namespace, &redis);
    installed.leads_to(&[pod.address]);
    let connections = metric(namespace, "roomcast_connections");
    cluster.eventually("the pod answers", || cluster.raw(&connections));

    let bundle = field(cluster, namespace, &["secret", SERVICE], "/data/ca.crt");
    assert_eq!(field(cluster, namespace, &["apiservice", API_SERVICE], "/spec/caBundle"), bundle);
    let client = |identity: Option<&str>| {
        let authority = cluster.run(&[
            "-n",
            namespace,
            "get",
            "secret",
            SERVICE,
            "-o",
            "go-template={{index .data \"ca.crt\" | base64decode}}",
        ]);
        let authority = Certificate::from_pem(authority.as_bytes()).unwrap();
        let builder = Client::builder()
            .tls_certs_only([authority])
            .resolve(&format!("{SERVICE}.{namespace}.svc"), pod.address);
        match identity {
            Some(pem) => builder.identity(Identity::from_pem(pem.as_bytes()).unwrap()),
            None => builder,
        }
        .build()
        .unwrap()
    };
    let url = format!("https://{SERVICE}.{namespace}.svc:{}{connections}", pod.address.port());
    let ask = async |client: &Client, user: &str, group: &str| {
        let request = client.get(&url).header("x-remote-user", user);
        let answer = request.header("x-remote-group", group).send().await.unwrap();
        (answer.status().as_u16(), answer.json::<Value>().await.unwrap())
    };
    let hpa = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";
    let front_proxy = client(Some(&cluster.front_proxy()));
    assert_eq!(ask(&front_proxy, hpa, "system:serviceaccounts").await.0, 200);
    assert_eq!(ask(&front_proxy, "kubernetes-admin", "system:masters").await.0, 200);
    let (code, status) = ask(&front_proxy, "jane", "developers").await;
    assert_eq!((code, &status["reason"]), (403, &json!("Forbidden")), "{status}");
    // Another certificate of the same authority is not enough, nor is none.
    let admin = cluster.certificate("admin");
    for client in [client(Some(&admin)), client(None)] {
        let (code, status) = ask(&client, hpa, "system:masters").await;
        assert_eq!((code, &status["reason"]), (401, &json!("Unauthorized")), "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_right_that_is_taken_away_is_noticed() {
    let Some(cluster) = ControlPlane::find() else { return };
    let _one = ONE.lock().await;
    let redis = Redis::start();
    let installed = Installed::new(cluster, "rights");
    let namespace = &*installed.namespace;
    let missing = async |removed: &str| {
        // From the start: what the pod asks for at once is refused.
        let pod = Answering::start(cluster, namespace, &redis);
        let metric = format!("roomcast_kubernetes_permission_missing{{permission=\"{removed}\"}}");
        pod.pod.metric_reaches(&metric, 1.0).await;
        let all = pod.pod.metric("roomcast_kubernetes_permission_missing").await;
        assert!((all - 1.0).abs() < 0.1, "{removed}: {all} are missing");
    };
    // Whole, nothing is missing, and the pod is recognized and has its certificate.
    let pod = Answering::start(cluster, namespace, &redis);
    installed.leads_to(&[pod.address]);
    let connections = metric(namespace, "roomcast_connections");
    cluster.eventually("the pod answers", || cluster.raw(&connections));
    assert!(pod.pod.metric("roomcast_kubernetes_permission_missing").await.abs() < 0.1);
    drop(pod);

    let rules = "/rules/1/verbs";
    for (kind, place, verbs, removed) in [
        ("role", "/rules/0/verbs", json!(["list"]), "create secrets"),
        ("role", rules, json!(["update"]), "get secrets"),
        ("role", rules, json!(["get"]), "update secrets"),
        ("clusterrole", "/rules/0/verbs", json!(["list"]), "create subjectaccessreviews"),
        ("clusterrole", rules, json!(["patch"]), "get apiservices"),
        ("clusterrole", rules, json!(["get"]), "patch apiservices"),
    ] {
        let name = if kind == "role" { "chat" } else { namespace };
        let patch = |verbs: &Value| {
            let patch = json!([{"op": "replace", "path": place, "value": verbs}]).to_string();
            cluster.run(&["-n", namespace, "patch", kind, name, "--type=json", "-p", &patch]);
        };
        let before = field(cluster, namespace, &[kind, name], place);
        patch(&verbs);
        missing(removed).await;
        patch(&before);
    }
    cluster.run(&["-n", "kube-system", "delete", "rolebinding", namespace]);
    missing("get configmaps").await;
}
