//! What is kept of the request that opened a connection.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::extract::Query;
use http::Uri;
use tokio::time::Instant;

use crate::{
    config::{Secret, Transport},
    edge::requests::kept_headers::KeptHeaders,
    telemetry::traces::{self, TRACEPARENT, TRACESTATE, Trace},
};

/// How a connection began.
pub(crate) struct NewConnection {
    /// When its request came.
    pub at: Instant,
    pub remote: SocketAddr,
    pub transport: Transport,
    /// The client speaks Engine.IO v3.
    pub eio3: bool,
    /// The request came over TLS, as a trusted load balancer says.
    pub secure: bool,
    /// The request came from a page of a browser.
    pub cross_domain: bool,
    /// What is kept of the headers.
    pub kept: Option<Box<KeptHeaders>>,
}

/// The request that opened a connection.
#[derive(Debug)]
pub struct OpeningRequest {
    pub(super) remote: IpAddr,
    /// The client speaks Engine.IO v3.
    pub(crate) eio3: bool,
    /// The request came over TLS, as a trusted load balancer says.
    secure: bool,
    /// The request came from a page of a browser.
    cross_domain: bool,
    /// When it came, in milliseconds since 1970.
    began: u64,
    /// The same by a clock that nobody sets.
    opened: Instant,
    kept: Option<Box<KeptHeaders>>,
    /// The first ping of the session has been withheld.
    ping_withheld: AtomicBool,
}

impl OpeningRequest {
    pub(super) fn new(new: NewConnection) -> Self {
        let NewConnection { at, remote, eio3, secure, cross_domain, kept, .. } = new;
        Self {
            remote: remote.ip(),
            eio3,
            secure,
            cross_domain,
            began: now(),
            opened: at,
            kept,
            ping_withheld: AtomicBool::new(false),
        }
    }

    /// The token that the connection was opened with, in a header or a cookie.
    pub fn credential(&self) -> Option<&str> {
        self.kept.as_ref()?.token.as_ref().map(Secret::expose)
    }

    /// What the connection began with, as Node's `socket.handshake`; with the headers of `public.kept_headers`, and without
    /// `auth`, which may hold a secret.
    pub fn handshake(&self, uri: Option<&Uri>) -> serde_json::Value {
        let query = uri.and_then(|uri| Query::<HashMap<String, String>>::try_from_uri(uri).ok());
        serde_json::json!({
            "headers": self.headers(),
            "time": humantime::format_rfc3339_seconds(self.began()).to_string(),
            "address": self.remote.to_string(),
            "xdomain": self.cross_domain,
            "secure": self.secure,
            "issued": self.began,
            "url": uri.map(ToString::to_string),
            "query": query.map(|Query(query)| query).unwrap_or_default(),
            "auth": {},
        })
    }

    /// The trace that the request was a part of, if its headers are kept (`public.kept_headers`).
    pub fn caused_by(&self) -> Option<Trace> {
        let header = |name: &str| {
            let kept = self.kept.iter().flat_map(|kept| &kept.headers);
            let value = kept.filter(|(known, _)| known.as_str() == name).map(|(_, value)| value);
            value.last().and_then(|value| value.to_str().ok())
        };
        let traceparent = header(TRACEPARENT).filter(|_| traces::propagates())?;
        Trace::read(traceparent, header(TRACESTATE))
    }

    /// The headers that were kept; several of one name in one, as HTTP joins them.
    fn headers(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut headers = serde_json::Map::new();
        for (name, value) in self.kept.iter().flat_map(|kept| &kept.headers) {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            match headers.get_mut(name.as_str()) {
                Some(serde_json::Value::String(before)) => {
                    before.push_str(", ");
                    before.push_str(&value);
                }
                _ => {
                    headers.insert(name.as_str().to_owned(), value.into());
                }
            }
        }
        headers
    }

    /// When it came.
    pub(super) fn began(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.began)
    }

    /// How long ago it came.
    pub(super) fn elapsed(&self) -> Duration {
        self.opened.elapsed()
    }

    /// Whether a ping is to be withheld: the first, if it comes before its time. socketioxide sends none while a session
    /// is upgraded, so the first of all can be the one that is due after an interval.
    pub(crate) fn withhold_ping(&self, interval: Duration) -> bool {
        let age = Duration::from_millis(now().saturating_sub(self.began));
        age < interval / 2 && !self.ping_withheld.swap(true, Ordering::Relaxed)
    }

    /// Whether the first ping has been withheld.
    pub(crate) fn ping_is_withheld(&self) -> bool {
        self.ping_withheld.load(Ordering::Relaxed)
    }
}

/// Milliseconds since 1970.
fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or_default()
}

#[cfg(test)]
impl NewConnection {
    /// As by a client of this machine.
    pub fn by(transport: Transport) -> Self {
        let remote = SocketAddr::from(([127, 0, 0, 1], 1));
        let at = Instant::now();
        Self { at, remote, transport, eio3: false, secure: false, cross_domain: false, kept: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn only_a_ping_that_comes_at_once_is_withheld() {
        let interval = Config::defaults().engine.ping_interval;
        let began = |ago: u64| {
            let mut request = OpeningRequest::new(NewConnection::by(Transport::Polling));
            request.began -= ago * 1000;
            request
        };
        let new = began(0);
        assert!(new.withhold_ping(interval) && new.ping_is_withheld());
        assert!(!new.withhold_ping(interval), "the first one only");
        let upgraded_late = began(25);
        assert!(!upgraded_late.withhold_ping(interval) && !upgraded_late.ping_is_withheld());
    }
}
