//! What a request is answered: who calls, whether it may, and then what it asks for. Nobody gets anything unless all three
//! are known.

use std::time::SystemTime;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, Method, StatusCode, Uri, request::Parts};
use metrics::counter;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::{
    access::Access,
    answers::{self, CONNECTIONS, Failure, Figures, UTILIZATION},
    asked::{self, Asked, GROUP, Refused},
    certificate::Shown,
    front_proxy::{Caller, Stranger},
    openapi,
    trust::Trust,
};
use crate::telemetry::metrics::EXTERNAL_METRICS_REQUESTS;

/// What all pods have together; none where this one does not know.
pub type Sum = Box<dyn Fn() -> Option<Figures> + Send + Sync>;

/// Answers requests.
pub struct Requests {
    /// The pod's own namespace, the only one that is answered for.
    pub namespace: String,
    pub trust: Trust,
    pub access: Access,
    pub shown: Shown,
    pub sum: Sum,
}

impl Requests {
    /// Whether a connection with these certificates is the API server's, as far as is known now.
    pub fn knows(&self, chain: &[CertificateDer<'_>]) -> bool {
        let known = self.trust.known();
        known.is_some_and(|front_proxy| front_proxy.is_api_server(chain, UnixTime::now()).is_ok())
    }

    /// The answer to what came with these certificates.
    pub async fn answer(&self, request: &Parts, chain: &[CertificateDer<'_>]) -> Response {
        let uri = &request.uri;
        let asked = Asked::of(uri);
        let answer = match asked {
            Asked::Live => return "ok\n".into_response(),
            Asked::Ready => return self.ready(),
            _ => self.judged(&request.method, uri, &request.headers, chain, &asked).await,
        };
        let result = match &answer {
            Ok(_) => "ok",
            Err(failure) => failure.result(),
        };
        counter!(EXTERNAL_METRICS_REQUESTS.name, "asked" => label(&asked), "result" => result)
            .increment(1);
        answer.unwrap_or_else(IntoResponse::into_response)
    }

    fn ready(&self) -> Response {
        let missing = match (self.shown.is_there(), self.trust.known().is_some()) {
            (true, true) => return "ok\n".into_response(),
            (false, _) => "no certificate yet\n",
            (true, false) => "it is not known yet how the API server is recognized\n",
        };
        (StatusCode::SERVICE_UNAVAILABLE, missing).into_response()
    }

    async fn judged(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &HeaderMap,
        chain: &[CertificateDer<'_>],
        asked: &Asked<'_>,
    ) -> Result<Response, Failure> {
        let caller = self.caller(headers, chain)?;
        let refused = asked::refused(method, uri);
        if refused == Some(Refused::Method) {
            let message = "numbers are read: only GET is answered";
            return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, message));
        }
        match self.access.may(&caller, asked, uri.path()).await {
            Ok(true) => {}
            Ok(false) => {
                let message = format!("user {:?} may not {}", caller.username, what(asked, uri));
                return Err(Failure::new(StatusCode::FORBIDDEN, message));
            }
            Err(error) => {
                let message = format!("it cannot be asked who may read: {error}");
                return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message));
            }
        }
        let object = match *asked {
            Asked::Groups => answers::groups(),
            Asked::Group => answers::group(),
            Asked::Version => answers::resources(),
            Asked::OpenApiV2 => openapi::v2(),
            Asked::OpenApiV3 => openapi::v3_root(),
            Asked::OpenApiV3Version => openapi::v3(),
            Asked::Metric { namespace, name } => return self.metric(namespace, name, refused),
            Asked::Live | Asked::Ready | Asked::Other => {
                let message = format!("nothing is at {}; here is /apis/{GROUP}", uri.path());
                return Err(Failure::new(StatusCode::NOT_FOUND, message));
            }
        };
        Ok(answers::object(object))
    }

    fn caller(&self, headers: &HeaderMap, chain: &[CertificateDer<'_>]) -> Result<Caller, Failure> {
        let Some(front_proxy) = self.trust.known() else {
            let message = "this pod does not know yet how the API server is recognized";
            return Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, message));
        };
        let caller = front_proxy
            .is_api_server(chain, UnixTime::now())
            .and_then(|()| front_proxy.caller(headers));
        caller.map_err(|stranger| {
            if matches!(stranger, Stranger::Certificate(_)) {
                self.trust.doubt();
            }
            Failure::new(StatusCode::UNAUTHORIZED, stranger.to_string())
        })
    }

    fn metric(
        &self,
        namespace: &str,
        name: &str,
        refused: Option<Refused>,
    ) -> Result<Response, Failure> {
        if namespace != self.namespace {
            let own = &self.namespace;
            let message = format!(
                "these pods are in namespace {own:?}, and know nothing of {namespace:?}: an autoscaler asks in its own"
            );
            return Err(Failure::new(StatusCode::NOT_FOUND, message));
        }
        match refused {
            Some(Refused::Watch) => {
                let message = "a metric cannot be watched; read it again";
                return Err(Failure::new(StatusCode::METHOD_NOT_ALLOWED, message));
            }
            Some(Refused::Selector) => {
                let message = "metrics of Roomcast have no labels, so that a selector would match nothing: leave \
                               metric.selector out";
                return Err(Failure::new(StatusCode::BAD_REQUEST, message));
            }
            Some(Refused::Method) | None => {}
        }
        let value = answers::value(name, (self.sum)())?;
        Ok(answers::object(answers::list(name, value, SystemTime::now())))
    }
}

/// What is asked for, for a person.
fn what(asked: &Asked<'_>, uri: &Uri) -> String {
    match asked {
        Asked::Metric { namespace, name } => {
            format!("list {name:?} of API group {GROUP:?} in namespace {namespace:?}")
        }
        _ => format!("get {:?}", uri.path()),
    }
}

/// What is asked for, as the metric says it.
fn label(asked: &Asked<'_>) -> &'static str {
    match asked {
        Asked::Metric { name: CONNECTIONS, .. } => CONNECTIONS,
        Asked::Metric { name: UTILIZATION, .. } => UTILIZATION,
        Asked::Groups
        | Asked::Group
        | Asked::Version
        | Asked::OpenApiV2
        | Asked::OpenApiV3
        | Asked::OpenApiV3Version => "discovery",
        Asked::Metric { .. } | Asked::Live | Asked::Ready | Asked::Other => "other",
    }
}
