//! What a hook is told: one JSON document a call, the same for each attempt.

use std::time::SystemTime;

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use serde_json::{Value, json, value::RawValue};

use super::trace;
use crate::gateway::tokens::Claims;

/// What a hook is called for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Who is this client?
    Authenticate,
    /// May this socket connect?
    Connect,
    /// What is the answer to this event?
    Event,
    /// May this socket join these rooms?
    Join,
    /// This socket has gone.
    Disconnect,
}

impl Kind {
    /// Its name in settings and labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Authenticate => "authenticate",
            Self::Connect => "connect",
            Self::Event => "event",
            Self::Join => "join",
            Self::Disconnect => "disconnect",
        }
    }

    /// The `type` in the body.
    fn event_type(self) -> &'static str {
        match self {
            Self::Authenticate => "socket.authenticate",
            Self::Connect => "socket.connect",
            Self::Event => "socket.event",
            Self::Join => "socket.join",
            Self::Disconnect => "socket.disconnect",
        }
    }
}

/// For whom a hook is called.
#[derive(Debug, Clone, Copy)]
pub struct Caller<'a> {
    /// The namespace.
    pub namespace: &'a str,
    /// The socket in it.
    pub socket: SocketInfo<'a>,
}

/// The socket that a hook is called for.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct SocketInfo<'a> {
    /// Its id.
    pub id: &'a str,
    /// The rooms that it is in.
    pub rooms: &'a [String],
    /// Its `handshake`, as on Node. Headers and data that may be credentials go to `authenticate` only.
    pub handshake: &'a Value,
    /// What its token says; `null` without one.
    pub claims: Option<&'a Claims>,
}

/// Headers of a handshake that may be credentials.
const CREDENTIALS: [&str; 3] = ["authorization", "proxy-authorization", "cookie"];

/// The body of a request, as Standard Webhooks recommends it.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    /// When it happened, not when it is sent.
    timestamp: String,
    data: Data<'a>,
}

/// Who, where and what.
#[derive(Serialize)]
struct Data<'a> {
    namespace: &'a str,
    socket: SocketInfo<'a>,
    // What each kind has of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    event: Option<&'a str>,
    /// As they came: numbers keep their digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    args: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rooms: Option<&'a [String]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> Data<'a> {
    /// Who and where.
    fn new(caller: &Caller<'a>) -> Self {
        Self {
            namespace: caller.namespace,
            socket: caller.socket,
            token: None,
            event: None,
            args: None,
            rooms: None,
            reason: None,
        }
    }
}

/// One call, ready to be sent as often as needed.
pub struct Request {
    pub kind: Kind,
    /// The id of the socket.
    pub socket: String,
    /// The same for each attempt, so that the hook can tell doubles.
    pub id: String,
    pub body: Bytes,
    pub traceparent: Option<HeaderValue>,
}

impl Request {
    pub fn authenticate(caller: &Caller<'_>, token: Option<&str>) -> Self {
        Self::new(Kind::Authenticate, Data { token, ..Data::new(caller) })
    }

    pub fn connect(caller: &Caller<'_>) -> Self {
        Self::new(Kind::Connect, Data::new(caller))
    }

    pub fn event(caller: &Caller<'_>, name: &str, args: &RawValue) -> Self {
        let data = Data { event: Some(name), args: Some(args), ..Data::new(caller) };
        Self::new(Kind::Event, data)
    }

    pub fn join(caller: &Caller<'_>, rooms: &[String]) -> Self {
        Self::new(Kind::Join, Data { rooms: Some(rooms), ..Data::new(caller) })
    }

    pub fn disconnect(caller: &Caller<'_>, reason: &str) -> Self {
        Self::new(Kind::Disconnect, Data { reason: Some(reason), ..Data::new(caller) })
    }

    fn new(kind: Kind, data: Data<'_>) -> Self {
        let traceparent = trace::traceparent(data.socket.handshake);
        let socket = data.socket.id.to_owned();
        let redacted;
        let mut data = data;
        if kind != Kind::Authenticate {
            redacted = without_credentials(data.socket.handshake);
            data.socket.handshake = &redacted;
        }
        let timestamp = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let body = Body { kind: kind.event_type(), timestamp, data };
        let body = serde_json::to_vec(&body).unwrap_or_else(|error| {
            tracing::error!(%error, "bug: the request to a hook is no JSON");
            b"{}".to_vec()
        });
        Self {
            kind,
            socket,
            id: format!("msg_{:032x}", fastrand::u128(..)),
            body: body.into(),
            traceparent: traceparent.parse().ok(),
        }
    }
}

/// A handshake that says nothing by which somebody else could pass for the client.
fn without_credentials(handshake: &Value) -> Value {
    let mut handshake = handshake.clone();
    if let Some(Value::Object(headers)) = handshake.get_mut("headers") {
        headers.retain(|name, _| {
            !CREDENTIALS.iter().any(|credential| name.eq_ignore_ascii_case(credential))
        });
    }
    if let Some(auth) = handshake.get_mut("auth") {
        *auth = json!({});
    }
    handshake
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(request: &Request) -> Value {
        serde_json::from_slice(&request.body).unwrap()
    }

    #[test]
    fn each_kind_says_who_and_what() {
        let handshake = json!({
            "headers": {"Cookie": "session=1", "authorization": "Bearer t", "user-agent": "test"},
            "auth": {"token": "t"},
            "address": "192.0.2.1",
        });
        let claims = Claims::from_iter([("sub".to_owned(), json!("ada"))]);
        let rooms = ["news".to_owned()];
        let caller = Caller {
            namespace: "/shop",
            socket: SocketInfo {
                id: "abc",
                rooms: &rooms,
                handshake: &handshake,
                claims: Some(&claims),
            },
        };
        let args = RawValue::from_string(r#"[{"big": 12345678901234567890}]"#.into()).unwrap();
        for (request, name, own) in [
            (Request::authenticate(&caller, Some("t")), "authenticate", json!({"token": "t"})),
            (Request::connect(&caller), "connect", json!({})),
            (
                Request::event(&caller, "order", &args),
                "event",
                json!({"event": "order", "args": [{"big": 12345678901234567890_u64}]}),
            ),
            (Request::join(&caller, &rooms), "join", json!({"rooms": ["news"]})),
            (
                Request::disconnect(&caller, "ping timeout"),
                "disconnect",
                json!({"reason": "ping timeout"}),
            ),
        ] {
            assert_eq!(request.kind.name(), name);
            assert!(request.traceparent.is_some());
            let body = body(&request);
            assert_eq!(body["type"], format!("socket.{name}"));
            let timestamp = body["timestamp"].as_str().unwrap();
            assert!(humantime::parse_rfc3339(timestamp).is_ok(), "{timestamp}");
            let data = &body["data"];
            assert_eq!(data["namespace"], "/shop");
            let mut rest = data.as_object().unwrap().clone();
            rest.retain(|key, _| key != "namespace" && key != "socket");
            assert_eq!(Value::Object(rest), own);
            let socket = &data["socket"];
            assert_eq!((&socket["id"], &socket["rooms"]), (&json!("abc"), &json!(["news"])));
            assert_eq!(socket["claims"], json!({"sub": "ada"}));
            let expected = if name == "authenticate" {
                handshake.clone()
            } else {
                json!({"headers": {"user-agent": "test"}, "auth": {}, "address": "192.0.2.1"})
            };
            assert_eq!(socket["handshake"], expected);
        }
    }

    #[test]
    fn ids_and_traces_differ() {
        let caller = Caller {
            namespace: "/",
            socket: SocketInfo { id: "abc", rooms: &[], handshake: &Value::Null, claims: None },
        };
        let requests = [Request::connect(&caller), Request::connect(&caller)];
        assert_ne!(requests[0].id, requests[1].id);
        assert!(!requests[0].id.contains('.'));
        assert_ne!(requests[0].traceparent, requests[1].traceparent);
        assert_eq!(body(&requests[0])["data"]["socket"]["claims"], Value::Null);
    }
}
