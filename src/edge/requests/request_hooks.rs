//! The hooks of an embedding program: which requests may open a session (`allowRequest` of Node's Engine.IO), and what is
//! called with requests that are refused (`connection_error`).

use std::{fmt, net::IpAddr, panic::AssertUnwindSafe, pin::Pin, sync::Arc};

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use http::{HeaderMap, Method, StatusCode, Uri, request::Parts};
use serde_json::json;
use tokio::time::{Duration, timeout};

use super::request_error::{RequestError, UnservedRequest};

/// Engine.IO's code for what a program refuses.
const FORBIDDEN: u8 = 4;

/// The head of a request of a client.
#[derive(Clone)]
pub struct RequestHead {
    /// Where the client is; behind load balancers, as those of `public.proxies` say.
    pub address: IpAddr,
    /// Whether it came over TLS, as they say.
    pub secure: bool,
    /// Its method.
    pub method: Method,
    /// Path and query.
    pub uri: Uri,
    /// All its headers, secrets among them.
    pub headers: HeaderMap,
}

impl RequestHead {
    pub(crate) fn new(address: IpAddr, secure: bool, parts: &Parts) -> Self {
        let (method, uri) = (parts.method.clone(), parts.uri.clone());
        Self { address, secure, method, uri, headers: parts.headers.clone() }
    }

    /// A header, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the query.
    pub fn query(&self, name: &str) -> Option<String> {
        let pairs = url::form_urlencoded::parse(self.uri.query()?.as_bytes());
        pairs.into_iter().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers and query may hold secrets.
        let (address, path) = (&self.address, self.uri.path());
        f.debug_struct("RequestHead").field("address", address).field("path", &path).finish()
    }
}

/// A request that was refused, as Node's `io.engine.on("connection_error")` has it.
#[derive(Debug, Clone)]
pub struct ConnectionError {
    /// Engine.IO's code, as clients see it; none for what Engine.IO has no code for, such as a pod that drains.
    pub code: Option<u8>,
    /// Why, for people.
    pub message: String,
    /// As in `roomcast_requests_refused_total{code}`.
    pub label: &'static str,
    /// The request.
    pub request: RequestHead,
}

type Allowed = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Says whether a session may begin.
pub(crate) type Allow = Arc<dyn Fn(RequestHead) -> Allowed + Send + Sync>;
/// Hears of requests that are refused.
pub(crate) type HearError = Arc<dyn Fn(&ConnectionError) + Send + Sync>;

/// The hooks of a program, if it has any.
#[derive(Clone, Default)]
pub struct RequestHooks {
    /// Whether a new session may begin.
    pub(crate) allow: Option<Allow>,
    /// What it hears.
    pub(crate) on_error: Option<HearError>,
}

/// A new session may not begin.
pub(crate) enum Denied {
    /// The program says so.
    Forbidden(String),
    /// It said nothing in time, or panicked.
    Silent,
}

impl RequestHooks {
    /// Whether it has to be told what a request looks like.
    pub(crate) fn wants_head(&self) -> bool {
        self.allow.is_some() || self.on_error.is_some()
    }

    /// Asks whether a session may begin.
    pub(crate) async fn allows(&self, head: &RequestHead, limit: Duration) -> Result<(), Denied> {
        let Some(allow) = &self.allow else { return Ok(()) };
        // A panic of the function is one of its answer.
        let asked = AssertUnwindSafe(async { allow(head.clone()).await }).catch_unwind();
        match timeout(limit, asked).await {
            Ok(Ok(Ok(()))) => Ok(()),
            Ok(Ok(Err(message))) => Err(Denied::Forbidden(message)),
            Ok(Err(_)) => {
                tracing::error!("allow_request panicked: the request is refused");
                Err(Denied::Silent)
            }
            Err(_) => Err(Denied::Silent),
        }
    }

    /// Tells it that a request is refused.
    pub(crate) fn hear(&self, error: RequestError, head: Option<&RequestHead>) {
        let (code, message) = error.engine_error();
        self.hear_error(code, message, error.label(), head);
    }

    fn hear_error(
        &self,
        code: Option<u8>,
        message: &str,
        label: &'static str,
        head: Option<&RequestHead>,
    ) {
        let (Some(hear), Some(head)) = (&self.on_error, head) else { return };
        let request = head.clone();
        let error = ConnectionError { code, message: message.to_owned(), label, request };
        if std::panic::catch_unwind(AssertUnwindSafe(|| hear(&error))).is_err() {
            tracing::error!("on_connection_error panicked");
        }
    }

    /// The answer to a client whose session may not begin: as Node's, 403 with code 4 and the message.
    pub(crate) fn forbidden(&self, message: &str, head: Option<&RequestHead>) -> Response {
        UnservedRequest::Forbidden.count();
        self.hear_error(Some(FORBIDDEN), message, "forbidden", head);
        let body = Json(json!({"code": FORBIDDEN, "message": message}));
        (StatusCode::FORBIDDEN, body).into_response()
    }
}
