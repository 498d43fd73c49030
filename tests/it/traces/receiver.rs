//! A receiver of OTLP, over gRPC and over HTTP, which keeps what it gets.

use std::{
    io::Read,
    net::SocketAddr,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, header},
    response::{Html, IntoResponse, Response},
    routing::post,
};
use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    common::v1::{KeyValue, any_value::Value as AnyValue},
    trace::v1::Span,
};
use prost::Message;
use serde_json::{Map, Value, json};
use tonic::{codec::CompressionEncoding, transport::server::TcpIncoming};

use crate::support::wait_for;

/// A span, and what its pod says of itself.
#[derive(Debug, Clone)]
pub struct Seen {
    pub trace: String,
    pub id: String,
    pub parent: String,
    pub name: String,
    pub kind: i32,
    pub attributes: Value,
    pub links: Vec<(String, String)>,
    pub state: String,
    pub failed: bool,
    pub seconds: f64,
    pub resource: Value,
}

#[derive(Clone, Default)]
struct Kept {
    spans: Arc<Mutex<Vec<Seen>>>,
    /// Headers of exports.
    headers: Arc<Mutex<Vec<String>>>,
}

pub struct Receiver {
    kept: Kept,
    pub grpc: String,
    pub http: String,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Receiver {
    /// On a thread of its own: tests block theirs.
    pub fn start() -> Self {
        let kept = Kept::default();
        let (told, addresses) = mpsc::channel();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let keeps = kept.clone();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let any = || SocketAddr::from(([127, 0, 0, 1], 0));
                let incoming = TcpIncoming::bind(any()).unwrap();
                let listener = tokio::net::TcpListener::bind(any()).await.unwrap();
                let grpc = incoming.local_addr().unwrap();
                told.send((grpc, listener.local_addr().unwrap())).unwrap();
                let service = TraceServiceServer::new(keeps.clone())
                    .accept_compressed(CompressionEncoding::Gzip);
                let grpc = tonic::transport::Server::builder().add_service(service);
                tokio::spawn(async { grpc.serve_with_incoming(incoming).await.unwrap() });
                let routes = Router::new()
                    .route("/v1/traces", post(over_http))
                    .route("/page/v1/traces", post(async || Html("<h1>It works!</h1>")))
                    .route(
                        "/slow/v1/traces",
                        post(async || tokio::time::sleep(Duration::from_secs(60)).await),
                    )
                    .with_state(keeps);
                tokio::spawn(async { axum::serve(listener, routes).await.unwrap() });
                let _ = stopped.await;
            });
        });
        let (grpc, http) = addresses.recv().unwrap();
        Self { kept, grpc: format!("http://{grpc}"), http: format!("http://{http}"), _stop: stop }
    }

    pub fn spans(&self) -> Vec<Seen> {
        self.kept.spans.lock().unwrap().clone()
    }

    pub fn headers(&self) -> Vec<String> {
        self.kept.headers.lock().unwrap().clone()
    }

    pub fn of(&self, trace: &str) -> Vec<Seen> {
        self.spans().into_iter().filter(|span| span.trace == trace).collect()
    }

    /// Waits for so many spans of a trace, and gives them in the order in which they began.
    pub fn wait_for_trace(&self, trace: &str, count: usize) -> Vec<Seen> {
        wait_for(&format!("{count} spans of {trace}"), || {
            let spans = self.of(trace);
            (spans.len() >= count).then_some(spans)
        })
    }

    pub fn wait_for_span(&self, is: impl Fn(&Seen) -> bool) -> Seen {
        wait_for("a span", || self.spans().into_iter().find(|span| is(span)))
    }
}

#[tonic::async_trait]
impl TraceService for Kept {
    async fn export(
        &self,
        request: tonic::Request<ExportTraceServiceRequest>,
    ) -> Result<tonic::Response<ExportTraceServiceResponse>, tonic::Status> {
        let header = request.metadata().get("x-team").map(|value| value.to_str().unwrap().into());
        self.headers.lock().unwrap().extend(header);
        self.keep(request.into_inner());
        Ok(tonic::Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn over_http(State(kept): State<Kept>, headers: HeaderMap, body: Bytes) -> Response {
    let header = headers.get("x-team").map(|value| value.to_str().unwrap().into());
    kept.headers.lock().unwrap().extend(header);
    let body = match headers.get(header::CONTENT_ENCODING) {
        Some(_) => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
            plain
        }
        None => body.to_vec(),
    };
    let kind = headers[header::CONTENT_TYPE].to_str().unwrap().to_owned();
    let (request, answer) = if kind == "application/json" {
        (serde_json::from_slice(&body).unwrap(), b"{}".to_vec())
    } else {
        let answer = ExportTraceServiceResponse::default().encode_to_vec();
        (ExportTraceServiceRequest::decode(&body[..]).unwrap(), answer)
    };
    kept.keep(request);
    ([(header::CONTENT_TYPE, kind)], answer).into_response()
}

impl Kept {
    fn keep(&self, request: ExportTraceServiceRequest) {
        let mut spans = self.spans.lock().unwrap();
        for group in request.resource_spans {
            let resource = attributes(group.resource.unwrap().attributes);
            for span in group.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                spans.push(seen(span, &resource));
            }
        }
    }
}

fn seen(span: Span, resource: &Value) -> Seen {
    let took = span.end_time_unix_nano - span.start_time_unix_nano;
    Seen {
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        name: span.name,
        kind: span.kind,
        attributes: attributes(span.attributes),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        state: span.trace_state,
        failed: span.status.is_some_and(|status| status.code == 2),
        seconds: took as f64 / 1e9,
        resource: resource.clone(),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn attributes(attributes: Vec<KeyValue>) -> Value {
    let value = |value| match value {
        AnyValue::StringValue(text) => json!(text),
        AnyValue::IntValue(number) => json!(number),
        AnyValue::BoolValue(flag) => json!(flag),
        other => json!(format!("{other:?}")),
    };
    let all = attributes.into_iter().map(|one| {
        let given = one.value.and_then(|value| value.value);
        (one.key, given.map(value).unwrap_or_default())
    });
    Value::Object(all.collect::<Map<_, _>>())
}
