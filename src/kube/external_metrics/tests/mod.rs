//! The parts together, against an API server of the tests' own that keeps objects in memory. What the real one does with them is
//! in `tests/it/external_metrics`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::disallowed_methods)]

mod front_proxy;
mod own;
mod serving;

use std::{
    collections::HashMap,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    extract::{Path as Segments, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::StatusCode;
use parking_lot::Mutex;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::kube::{Api, Environment};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long certificates last that are good now: they began two hours ago.
const LONG: Duration = Duration::from_secs(3 * 3600);

/// An authority that issues certificates.
pub struct Authority {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "front proxies");
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Certificate and key, in PEM, for a client of these common names.
    pub fn issue(&self, names: &[&str]) -> (String, String) {
        self.issue_for(names, ExtendedKeyUsagePurpose::ClientAuth, LONG)
    }

    /// The same for another use, and for so long since two hours ago.
    pub fn issue_for(
        &self,
        names: &[&str],
        usage: ExtendedKeyUsagePurpose,
        lasts: Duration,
    ) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for name in names {
            params.distinguished_name.push(DnType::CommonName, *name);
        }
        params.extended_key_usages = vec![usage];
        params.not_before = time::OffsetDateTime::now_utc() - Duration::from_secs(7200);
        params.not_after = params.not_before + lasts;
        let key = KeyPair::generate().unwrap();
        let pem = params.signed_by(&key, &self.issuer).unwrap().pem();
        (pem, key.serialize_pem())
    }
}

/// The data of the ConfigMap by which an API server is recognized.
pub fn recognized_by(authorities: &str, names: &[&str]) -> Value {
    json!({
        "requestheader-client-ca-file": authorities,
        "requestheader-allowed-names": json!(names).to_string(),
        "requestheader-username-headers": r#"["X-Remote-User"]"#,
        "requestheader-uid-headers": r#"["X-Remote-Uid"]"#,
        "requestheader-group-headers": r#"["X-Remote-Group"]"#,
        "requestheader-extra-headers-prefix": r#"["X-Remote-Extra-"]"#,
    })
}

/// What somebody else does to the objects.
type Meanwhile = Box<dyn FnOnce(&mut Objects) + Send>;

/// Objects of the API server, by path.
#[derive(Default)]
pub struct Objects {
    objects: HashMap<String, Value>,
    version: u64,
    /// Questions about who may that came.
    pub reviews: Vec<Value>,
    /// Users that may.
    pub allowed: Vec<String>,
    /// What is answered to everything, if it is not what is asked for.
    pub broken: Option<StatusCode>,
    /// Called once before the next write.
    pub meanwhile: Option<Meanwhile>,
    pub writes: usize,
}

impl Objects {
    pub fn get(&self, path: &str) -> Option<Value> {
        self.objects.get(path).cloned()
    }

    pub fn put(&mut self, path: &str, mut object: Value) {
        self.version += 1;
        object["metadata"]["resourceVersion"] = self.version.to_string().into();
        self.objects.insert(path.to_owned(), object);
    }

    pub fn remove(&mut self, path: &str) {
        self.objects.remove(path);
    }
}

/// An API server in memory.
pub struct Server {
    pub objects: Arc<Mutex<Objects>>,
    pub api: Api,
    _account: TempDir,
}

pub const CONFIG_MAP: &str =
    "api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
pub const SECRET: &str = "api/v1/namespaces/prod/secrets/chat-metrics";
pub const API_SERVICE: &str =
    "apis/apiregistration.k8s.io/v1/apiservices/v1beta1.external.metrics.k8s.io";

impl Server {
    pub async fn start() -> Self {
        let objects = Arc::new(Mutex::new(Objects::default()));
        let router = Router::new()
            .route("/apis/authorization.k8s.io/v1/subjectaccessreviews", post(review))
            .route("/{*path}", get(read).post(create).put(replace).patch(patch))
            .with_state(objects.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let account = tempfile::tempdir().unwrap();
        let api = Api::new(environment(account.path(), &server)).unwrap();
        Self { objects, api, _account: account }
    }

    pub fn put(&self, path: &str, object: Value) {
        self.objects.lock().put(path, object);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.objects.lock().get(path)
    }

    /// The API server is recognized by these authorities and names.
    pub fn recognized_by(&self, authorities: &str, names: &[&str]) {
        self.put(CONFIG_MAP, json!({"metadata": {}, "data": recognized_by(authorities, names)}));
    }
}

fn environment(folder: &Path, server: &str) -> Environment {
    let (token, authorities) = (folder.join("token"), folder.join("ca.crt"));
    std::fs::write(&token, "a token").unwrap();
    std::fs::write(&authorities, Authority::new().pem).unwrap();
    let (server, namespace) = (server.parse().unwrap(), "prod".into());
    Environment { server, token, authorities, namespace, own: None }
}

type Shared = State<Arc<Mutex<Objects>>>;

fn status(code: StatusCode) -> Response {
    let reason = if code == StatusCode::NOT_FOUND { "NotFound" } else { "Other" };
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure",
        "message": "m", "reason": reason, "code": code.as_u16(),
    });
    (code, Json(status)).into_response()
}

async fn review(State(objects): Shared, Json(mut review): Json<Value>) -> Response {
    let mut objects = objects.lock();
    if let Some(code) = objects.broken {
        return status(code);
    }
    let user = review["spec"]["user"].as_str().unwrap_or_default();
    review["status"] = json!({"allowed": objects.allowed.iter().any(|allowed| allowed == user)});
    objects.reviews.push(review.clone());
    (StatusCode::CREATED, Json(review)).into_response()
}

async fn read(State(objects): Shared, Segments(path): Segments<String>) -> Response {
    let objects = objects.lock();
    match (objects.broken, objects.get(&path)) {
        (Some(code), _) => status(code),
        (None, Some(object)) => Json(object).into_response(),
        (None, None) => status(StatusCode::NOT_FOUND),
    }
}

/// Before a write: what happens meanwhile.
fn writing(objects: &mut Objects) -> Option<Response> {
    if let Some(code) = objects.broken {
        return Some(status(code));
    }
    if let Some(meanwhile) = objects.meanwhile.take() {
        meanwhile(objects);
    }
    objects.writes += 1;
    None
}

async fn create(
    State(objects): Shared,
    Segments(path): Segments<String>,
    Json(object): Json<Value>,
) -> Response {
    let mut objects = objects.lock();
    if let Some(refused) = writing(&mut objects) {
        return refused;
    }
    let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
    if objects.get(&path).is_some() {
        return status(StatusCode::CONFLICT);
    }
    objects.put(&path, object.clone());
    (StatusCode::CREATED, Json(object)).into_response()
}

/// Whether an object has the version that it is thought to have.
fn is_current(objects: &Objects, path: &str, written: &Value) -> bool {
    let current = objects.get(path).unwrap_or_default();
    let version = &written["metadata"]["resourceVersion"];
    version.is_string() && *version == current["metadata"]["resourceVersion"]
}

async fn replace(
    State(objects): Shared,
    Segments(path): Segments<String>,
    Json(object): Json<Value>,
) -> Response {
    let mut objects = objects.lock();
    if let Some(refused) = writing(&mut objects) {
        return refused;
    }
    if !is_current(&objects, &path, &object) {
        return status(StatusCode::CONFLICT);
    }
    objects.put(&path, object.clone());
    Json(object).into_response()
}

async fn patch(State(objects): Shared, Segments(path): Segments<String>, body: String) -> Response {
    let mut objects = objects.lock();
    if let Some(refused) = writing(&mut objects) {
        return refused;
    }
    let patch: Value = serde_json::from_str(&body).unwrap();
    if !is_current(&objects, &path, &patch) {
        return status(StatusCode::CONFLICT);
    }
    let mut object = objects.get(&path).unwrap();
    object["spec"]["caBundle"] = patch["spec"]["caBundle"].clone();
    objects.put(&path, object.clone());
    Json(object).into_response()
}

/// Waits until something is so.
pub async fn reaches(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !condition().await {
        assert!(begun.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
