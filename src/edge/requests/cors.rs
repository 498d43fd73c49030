//! Cross-origin requests, answered as the `cors` package does on Node, whose options the settings are: the same headers with the
//! same values. Requests of other origins are not refused, here as there: it is browsers who keep the answers from their pages.
//! A preflight has no `Content-Length: 0`, which RFC 9110 forbids with 204, and hyper does not send.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::allowed_origins::AllowedOrigins;
use crate::config::Public;

/// What is said to pages of other origins.
pub(crate) struct CrossOrigin {
    /// None: any.
    origins: Option<AllowedOrigins>,
    credentials: bool,
    methods: Option<HeaderValue>,
    /// None: those that are asked for.
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

impl CrossOrigin {
    /// As configured; none if only pages of the same origin are served.
    pub fn new(public: &Public) -> Option<Arc<Self>> {
        let cors = &public.cors;
        if cors.origins.is_empty() {
            return None;
        }
        let any = cors.origins.iter().any(|origin| origin == "*");
        let mut headers = cors.headers.clone();
        if !headers.is_empty() {
            let is_new =
                |name: &&String| !headers.iter().any(|known| known.eq_ignore_ascii_case(name));
            let kept: Vec<_> = public.kept_headers.iter().filter(is_new).cloned().collect();
            headers.extend(kept);
        }
        let max_age = (!cors.max_age.is_zero()).then(|| cors.max_age.as_secs().into());
        Some(Arc::new(Self {
            origins: (!any).then(|| AllowedOrigins::new(&cors.origins)),
            credentials: cors.credentials,
            methods: list(&cors.methods),
            headers: list(&headers),
            exposed: list(&cors.exposed_headers),
            max_age,
        }))
    }

    /// What every answer has.
    fn add(&self, origin: Option<&HeaderValue>, answer: &mut HeaderMap) {
        match &self.origins {
            None => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
            Some(origins) => {
                if let Some(origin) = origin.filter(|origin| origins.contains(origin)) {
                    answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                }
                vary(answer, "Origin");
            }
        }
        if self.credentials {
            let allowed = HeaderValue::from_static("true");
            answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, allowed);
        }
        put(answer, header::ACCESS_CONTROL_EXPOSE_HEADERS, self.exposed.as_ref());
    }

    /// The answer to what a browser asks before it sends a request.
    fn preflight(&self, asked: &HeaderMap) -> Response {
        let mut response = Response::default();
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        self.add(asked.get(header::ORIGIN), answer);
        put(answer, header::ACCESS_CONTROL_ALLOW_METHODS, self.methods.as_ref());
        if self.headers.is_none() {
            vary(answer, "Access-Control-Request-Headers");
        }
        let wanted = asked.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
        let wanted = wanted.filter(|wanted| !wanted.is_empty());
        put(answer, header::ACCESS_CONTROL_ALLOW_HEADERS, self.headers.as_ref().or(wanted));
        put(answer, header::ACCESS_CONTROL_MAX_AGE, self.max_age.as_ref());
        response
    }
}

/// Answers preflights, and adds to the other answers what pages of other origins need.
pub(crate) async fn answer(
    State(cors): State<Arc<CrossOrigin>>,
    request: Request,
    next: Next,
) -> Response {
    if request.method() == Method::OPTIONS {
        return cors.preflight(request.headers());
    }
    let origin = request.headers().get(header::ORIGIN).cloned();
    let mut response = next.run(request).await;
    cors.add(origin.as_ref(), response.headers_mut());
    response
}

fn list(names: &[String]) -> Option<HeaderValue> {
    // What is no name has been refused with the configuration.
    (!names.is_empty()).then(|| names.join(",").parse().ok())?
}

fn put(answer: &mut HeaderMap, name: HeaderName, value: Option<&HeaderValue>) {
    if let Some(value) = value {
        answer.insert(name, value.clone());
    }
}

/// Says that the answer depends on a header of the request, too.
fn vary(answer: &mut HeaderMap, name: &'static str) {
    let before = answer.get(header::VARY).and_then(|value| value.to_str().ok());
    let all = before.map(|before| format!("{before}, {name}"));
    let value = all.and_then(|all| all.parse().ok()).unwrap_or(HeaderValue::from_static(name));
    answer.insert(header::VARY, value);
}
