//! The edge of a pod: what becomes of a request under the path of Socket.IO. It opens a session, goes on with one of this
//! pod, or is forwarded to the pod that has its session.

use std::{collections::BTreeSet, net::SocketAddr, sync::Arc, time::Duration};

use axum::{extract::Request, response::Response};
use http::{HeaderValue, StatusCode, Uri, header};
use socketioxide::service::SocketIoService;
use socketioxide_core::Sid;
use tokio::{sync::watch, time::Instant};

use super::{
    closing::{closer::Closer, shedder::Shedder},
    connections::{
        admission::Admission,
        connection::Connection,
        opening_request::NewConnection,
        polling_state::PollingState,
        request_context::RequestContext,
        service::{NoPage, Service},
        sessions::Sessions,
    },
    frames::{opening_frames::OpeningChange, permessage_deflate::DeflateParams},
    packets::session_id::Seal,
    peers::{
        forwarder::{self, Forwarder},
        pod_discovery,
    },
    polling::handler::PollingHandler,
    requests::{
        client_addr::client_addr,
        engine_request::{EngineRequest, local_uri, session, wants_text, websocket_key},
        kept_headers::KeptHeaderPolicy,
        request_error::RequestError,
        request_hooks::{Denied, RequestHead, RequestHooks},
        subprotocol::{Invalid, first_offered},
    },
    websocket::{
        opening::Opening,
        upgrade::{self, WebSocketOptions, WebSocketRequest},
    },
};
use crate::{
    backplane::{Adapter, Backplane},
    config::{AffinityCookie, Config, Engine, Proxies, Transport},
};

/// What answers the requests of clients, and of pods that forward them.
pub struct Edge {
    engine: Engine,
    sessions: Arc<Sessions>,
    admission: Arc<Admission>,
    proxies: Proxies,
    /// What is kept of the request of a new session.
    kept_headers: KeptHeaderPolicy,
    service: Service,
    max_payload: usize,
    polling: PollingHandler,
    /// The path of Socket.IO, without the slash behind it.
    path: String,
    /// What a stock client asks for its WebSocket: socketioxide keeps it for life, for all of them the same.
    usual_websocket_uri: Uri,
    seal: Arc<Seal>,
    forwarder: Forwarder,
    closer: Closer,
    /// The hooks of an embedding program.
    hooks: RequestHooks,
    allow_timeout: Duration,
    /// Names this pod to load balancers.
    cookie: Option<HeaderValue>,
}

impl Edge {
    /// Puts an edge before a Socket.IO server.
    pub fn new(
        config: &Config,
        socketio: SocketIoService<NoPage, Adapter>,
        sessions: Arc<Sessions>,
        admission: Arc<Admission>,
        seal: Arc<Seal>,
        backplane: Backplane,
        pod: Sid,
    ) -> Arc<Self> {
        sessions.namespaces.ask(backplane.clone());
        let service = Service::new(socketio, config.public.base_path());
        let forwarder = Forwarder::new(config, backplane, seal.clone(), sessions.clone());
        Arc::new(Self {
            cookie: cookie(&config.sessions.affinity_cookie, config.public.base_path(), pod),
            closer: Closer::new(sessions.clone(), service.clone()),
            path: config.public.base_path().to_owned(),
            usual_websocket_uri: local_uri(
                config.public.base_path(),
                "EIO=4&transport=websocket",
                None,
            )
            .unwrap_or_default(),
            polling: PollingHandler::new(config, service.clone(), seal.clone()),
            seal,
            forwarder,
            hooks: admission.hooks.clone(),
            allow_timeout: config.admission.allow_request_timeout,
            engine: config.engine.clone(),
            sessions,
            admission,
            proxies: config.public.proxies.clone(),
            kept_headers: KeptHeaderPolicy::new(config),
            service,
            max_payload: config.limits.max_payload,
        })
    }

    /// From now on, pods that Redis does not name are looked for at these addresses.
    pub fn look_for_pods_at(&self, addresses: watch::Receiver<BTreeSet<SocketAddr>>) {
        self.forwarder.look_at(addresses);
    }

    /// Tells all connections to close, evenly over a time.
    pub async fn close_all(&self, window: Duration) {
        self.closer.close_all(window).await;
    }

    /// Closes polling sessions whose queues are full, for as long as the pod lives.
    pub async fn close_overflowed(self: Arc<Self>) {
        self.closer.close_overflowed().await;
    }

    /// Waits until all have gone.
    pub async fn gone(&self) {
        self.closer.gone().await;
    }

    /// What gives connections away to other pods.
    pub fn shedder(&self) -> Shedder {
        Shedder::new(self.closer.clone())
    }

    /// Answers a request of a client.
    pub(super) async fn handle(
        self: Arc<Self>,
        mut context: RequestContext,
        request: Request,
    ) -> Result<Response, RequestError> {
        let client_addr = client_addr(context.address, request.headers(), &self.proxies);
        (context.address, context.secure) = (client_addr.address, client_addr.secure);
        if !self.hooks.wants_head() {
            return self.answer(context, request, None).await;
        }
        let (parts, body) = request.into_parts();
        let head = RequestHead::new(context.address.ip(), context.secure, &parts);
        let request = Request::from_parts(parts, body);
        let answer = self.clone().answer(context, request, Some(&head)).await;
        answer.inspect_err(|error| self.hooks.hear(*error, Some(&head)))
    }

    async fn answer(
        self: Arc<Self>,
        context: RequestContext,
        request: Request,
        head: Option<&RequestHead>,
    ) -> Result<Response, RequestError> {
        let (handshake, websocket) = self.read(&request).map_err(|error| {
            let new = session(request.uri().query().unwrap_or_default()).is_none();
            if new { self.admission.refuse(error) } else { error }
        })?;
        let Some(session) = handshake.session else {
            let (transport, eio3) = (handshake.transport, handshake.eio3);
            return self.open(transport, eio3, websocket.as_ref(), &context, request, head).await;
        };
        let location = self.seal.open(session).ok_or(RequestError::SessionUnknown)?;
        if self.seal.is_here(location) {
            let eio3 = handshake.eio3;
            self.go_on(location.sid, eio3, websocket.as_ref(), &context, request).await
        } else {
            self.forwarder.forward(location, websocket.is_some(), &context, request).await
        }
    }

    /// Which pod this is, for another one that asks with a nonce in the query.
    pub(super) fn identity(&self, uri: &Uri) -> Option<String> {
        pod_discovery::identity(&self.seal, uri.query())
    }

    /// Answers a request that another pod forwards, which must be of a session of this one.
    pub(super) async fn handle_forwarded(
        self: Arc<Self>,
        context: RequestContext,
        request: Request,
    ) -> Result<Response, RequestError> {
        let (address, sid) = self.forwarded_session(&request)?;
        let (handshake, websocket) = self.read(&request)?;
        let eio3 = handshake.eio3;
        let context = RequestContext { address, ..context };
        self.go_on(sid, eio3, websocket.as_ref(), &context, request).await
    }

    /// Hears of a session of this pod from one that forwards its requests.
    pub(super) async fn handle_signal(
        self: Arc<Self>,
        request: Request,
        hear: impl FnOnce(&Connection),
    ) -> Result<StatusCode, RequestError> {
        let (_, sid) = self.forwarded_session(&request)?;
        hear(&*self.sessions.find(sid).ok_or(RequestError::SessionUnknown)?);
        Ok(StatusCode::NO_CONTENT)
    }

    /// The client and the session of a request that another pod forwards.
    fn forwarded_session(&self, request: &Request) -> Result<(SocketAddr, Sid), RequestError> {
        let address = forwarder::introduced(request.headers(), &self.seal)
            .ok_or(RequestError::PodUnauthenticated)?;
        let session = session(request.uri().query().unwrap_or_default());
        let location = session.and_then(|session| self.seal.open(session));
        let location = location.filter(|location| self.seal.is_here(*location));
        Ok((address, location.ok_or(RequestError::SessionUnknown)?.sid))
    }

    fn read<'a>(
        &self,
        request: &'a Request,
    ) -> Result<(EngineRequest<'a>, Option<WebSocketRequest>), RequestError> {
        let headers = request.headers();
        let key = websocket_key(headers);
        let query = request.uri().query().unwrap_or_default();
        let handshake = EngineRequest::parse(request.method(), query, key.is_some(), &self.engine)?;
        let websocket = match key {
            Some(key) => {
                let protocol =
                    first_offered(headers).map_err(|Invalid| RequestError::BadRequest)?;
                Some(WebSocketRequest { key: key.clone(), protocol })
            }
            None => None,
        };
        Ok((handshake, websocket))
    }

    /// Opens a session.
    async fn open(
        &self,
        transport: Transport,
        eio3: bool,
        websocket: Option<&WebSocketRequest>,
        context: &RequestContext,
        request: Request,
        head: Option<&RequestHead>,
    ) -> Result<Response, RequestError> {
        let at = Instant::now();
        // Before it is let in: one that makes no sense takes nothing of the rate.
        let uri = self.local_uri(&request, None).map_err(|error| self.admission.refuse(error))?;
        let permit = self.admission.admit(context.address, request.headers())?;
        if let Some(head) = head {
            match self.hooks.allows(head, self.allow_timeout).await {
                Ok(()) => {}
                Err(Denied::Forbidden(message)) => {
                    return Ok(self.hooks.forbidden(&message, Some(head)));
                }
                Err(Denied::Silent) => return Err(RequestError::AllowRequestTimeout),
            }
        }
        let began = NewConnection {
            at,
            remote: context.address,
            transport,
            eio3,
            secure: context.secure,
            cross_domain: request.headers().contains_key(header::ORIGIN),
            kept: self.kept_headers.keep(request.headers()),
        };
        let connection = self.sessions.begin(began, permit);
        let mut response = match websocket {
            Some(websocket) => {
                let change = OpeningChange::Opening { pings: !eio3 };
                self.accept(uri, websocket, &request, connection, change, context)
            }
            None => self.polling.open(uri, connection, request).await,
        }?;
        if let Some(cookie) = &self.cookie {
            response.headers_mut().append(header::SET_COOKIE, cookie.clone());
        }
        Ok(response)
    }

    /// Goes on with a session of this pod.
    async fn go_on(
        self: Arc<Self>,
        sid: Sid,
        eio3: bool,
        websocket: Option<&WebSocketRequest>,
        context: &RequestContext,
        mut request: Request,
    ) -> Result<Response, RequestError> {
        let connection = self.sessions.find(sid).ok_or(RequestError::SessionUnknown)?;
        // As on Node, the session goes on after a request of another version, or of the transport that it has left.
        if connection.request.eio3 != eio3 || (websocket.is_none() && connection.is_websocket()) {
            return Err(RequestError::BadRequest);
        }
        let uri = self.local_uri(&request, Some(sid))?;
        match websocket {
            Some(websocket) if !may_upgrade(&connection) => {
                upgrade::turn_away(websocket, &context.upgrade)
            }
            Some(websocket) => {
                let pinged = eio3 || connection.request.ping_is_withheld();
                let change = if pinged { OpeningChange::Nothing } else { OpeningChange::Ping };
                self.accept(uri, websocket, &request, connection, change, context)
            }
            None => {
                *request.uri_mut() = uri;
                self.polling.answer(connection, sid, eio3, &context.answered, request).await
            }
        }
    }

    fn local_uri(&self, request: &Request, sid: Option<Sid>) -> Result<Uri, RequestError> {
        let uri = local_uri(&self.path, request.uri().query().unwrap_or_default(), sid)?;
        Ok(if uri == self.usual_websocket_uri { self.usual_websocket_uri.clone() } else { uri })
    }

    fn accept(
        &self,
        uri: Uri,
        websocket: &WebSocketRequest,
        request: &Request,
        connection: Arc<Connection>,
        change: OpeningChange,
        context: &RequestContext,
    ) -> Result<Response, RequestError> {
        let (service, opening) = (self.service.clone(), Opening::new(&self.seal, change));
        let (deflate, most) = (&self.engine.per_message_deflate, self.max_payload);
        let in_text = wants_text(request.uri().query().unwrap_or_default());
        let options = WebSocketOptions {
            compressed: DeflateParams::negotiate(request.headers(), deflate, most),
            in_text: in_text.then_some(most),
        };
        upgrade::accept(uri, websocket, connection, service, opening, options, &context.upgrade)
    }
}

/// Claims a connection for a WebSocket, if it polls and no other WebSocket tries to take it over.
fn may_upgrade(connection: &Connection) -> bool {
    let polling = connection.polling().filter(|_| !connection.is_websocket());
    polling.is_some_and(PollingState::claim_upgrade)
}

/// The cookie that names a pod (RFC 6265), for as long as the page is open.
fn cookie(settings: &AffinityCookie, path: &str, pod: Sid) -> Option<HeaderValue> {
    let AffinityCookie { name, same_site, secure } = settings;
    let (same_site, secure) = (same_site.name(), if *secure { "; Secure" } else { "" });
    let cookie = format!("{name}={pod}; Path={path}; HttpOnly; SameSite={same_site}{secure}");
    (!name.is_empty()).then(|| HeaderValue::try_from(cookie).ok())?
}
