//! Requests under the path of Socket.IO: polling, and the way to a WebSocket.

use std::{
    collections::BTreeSet, error::Error, iter::successors, net::SocketAddr, sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Json, Router,
    body::{Body, Bytes},
    extract::{Request, State},
    middleware,
    response::Response,
    routing::{any, get, post},
};
use http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use socketioxide::service::SocketIoService;
use socketioxide_core::Sid;
use tokio::{runtime::Handle, sync::watch, time::Instant};
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutError};

use super::{
    admission::Admission,
    adopt::adopt,
    again::Door,
    client_files,
    closing::{Closer, Shedder},
    compression::Compressor,
    connection::{Began, Connection},
    cors::{self, CrossOrigin},
    eio3,
    extension::Agreed,
    forward::{self, Forwarder},
    handshake::{Handshake, Refusal, local_uri, session, wants_text, websocket_key},
    kept::Keeper,
    loose_base64, neighbours,
    open::{self, Open},
    origin::origin,
    outgoing::Change,
    packet_head::PacketHead,
    parts::{Form, InParts, Part},
    peer::Peer,
    program::{Denied, Program, RequestHead},
    reason::CloseReason,
    seal::Seal,
    service::{NoPage, Service, whole},
    sessions::Sessions,
    stream::Opening,
    subprotocol::{Invalid, first_offered},
    traffic::{self, CLOSE, SEPARATOR},
    upgrade::{self, Asked, Terms},
};
use crate::{
    backplane::{Adapter, Backplane},
    config::{AffinityCookie, Config, Engine, Proxies, Transport},
};

/// What requests of clients meet.
pub struct Edge {
    engine: Engine,
    sessions: Arc<Sessions>,
    admission: Arc<Admission>,
    proxies: Proxies,
    /// What is kept of the request of a new session.
    keeper: Keeper,
    service: Service,
    max_payload: usize,
    compressor: Compressor,
    /// The path of Socket.IO, without the slash behind it.
    path: String,
    /// What a stock client asks for its WebSocket: socketioxide keeps it for life, for all of them the same.
    usual: Uri,
    seal: Arc<Seal>,
    forwarder: Forwarder,
    closer: Closer,
    /// What the program says.
    program: Program,
    allow_timeout: Duration,
    /// Whether clients are told that they may go on with a WebSocket.
    upgrades: bool,
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
            usual: local_uri(config.public.base_path(), "EIO=4&transport=websocket", None)
                .unwrap_or_default(),
            upgrades: config.engine.allow_upgrades
                && config.engine.transports.contains(&Transport::Websocket),
            seal,
            forwarder,
            program: admission.program.clone(),
            allow_timeout: config.admission.allow_request_timeout,
            engine: config.engine.clone(),
            sessions,
            admission,
            proxies: config.public.proxies.clone(),
            keeper: Keeper::new(config),
            service,
            max_payload: config.limits.max_payload,
            compressor: Compressor::new(&config.public.http_compression),
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
    async fn handle(
        self: Arc<Self>,
        mut peer: Peer,
        request: Request,
    ) -> Result<Response, Refusal> {
        let origin = origin(peer.address, request.headers(), &self.proxies);
        (peer.address, peer.secure) = (origin.address, origin.secure);
        if !self.program.wants_head() {
            return self.answer(peer, request, None).await;
        }
        let (parts, body) = request.into_parts();
        let head = RequestHead::new(peer.address.ip(), peer.secure, &parts);
        let request = Request::from_parts(parts, body);
        let answer = self.clone().answer(peer, request, Some(&head)).await;
        answer.inspect_err(|refusal| self.program.hear(*refusal, Some(&head)))
    }

    async fn answer(
        self: Arc<Self>,
        peer: Peer,
        request: Request,
        head: Option<&RequestHead>,
    ) -> Result<Response, Refusal> {
        let (handshake, asked) = self.read(&request).map_err(|refusal| {
            let new = session(request.uri().query().unwrap_or_default()).is_none();
            if new { self.admission.refuse(refusal) } else { refusal }
        })?;
        let Some(session) = handshake.session else {
            let (transport, eio3) = (handshake.transport, handshake.eio3);
            return self.open(transport, eio3, asked.as_ref(), &peer, request, head).await;
        };
        let place = self.seal.open(session).ok_or(Refusal::SessionUnknown)?;
        if self.seal.is_here(place) {
            let eio3 = handshake.eio3;
            self.go_on(place.sid, eio3, asked.as_ref(), &peer, request).await
        } else {
            self.forwarder.forward(place, asked.is_some(), &peer, request).await
        }
    }

    /// Answers a request that another pod forwards, which must be of a session of this one.
    async fn handle_forwarded(
        self: Arc<Self>,
        peer: Peer,
        request: Request,
    ) -> Result<Response, Refusal> {
        let (address, sid) = self.forwarded_session(&request)?;
        let (handshake, asked) = self.read(&request)?;
        let eio3 = handshake.eio3;
        let peer = Peer { address, ..peer };
        self.go_on(sid, eio3, asked.as_ref(), &peer, request).await
    }

    /// Hears of a session of this pod from one that forwards its requests.
    async fn handle_notice(
        self: Arc<Self>,
        request: Request,
        hear: impl FnOnce(&Connection),
    ) -> Result<StatusCode, Refusal> {
        let (_, sid) = self.forwarded_session(&request)?;
        hear(&*self.sessions.find(sid).ok_or(Refusal::SessionUnknown)?);
        Ok(StatusCode::NO_CONTENT)
    }

    /// The client and the session of a request that another pod forwards.
    fn forwarded_session(&self, request: &Request) -> Result<(SocketAddr, Sid), Refusal> {
        let address = forward::introduced(request.headers(), &self.seal)
            .ok_or(Refusal::PodUnauthenticated)?;
        let session = session(request.uri().query().unwrap_or_default());
        let place = session.and_then(|session| self.seal.open(session));
        let place = place.filter(|place| self.seal.is_here(*place));
        Ok((address, place.ok_or(Refusal::SessionUnknown)?.sid))
    }

    fn read<'a>(&self, request: &'a Request) -> Result<(Handshake<'a>, Option<Asked>), Refusal> {
        let headers = request.headers();
        let key = websocket_key(headers);
        let query = request.uri().query().unwrap_or_default();
        let handshake = Handshake::parse(request.method(), query, key.is_some(), &self.engine)?;
        let asked = match key {
            Some(key) => {
                let protocol = first_offered(headers).map_err(|Invalid| Refusal::BadRequest)?;
                Some(Asked { key: key.clone(), protocol })
            }
            None => None,
        };
        Ok((handshake, asked))
    }

    /// Opens a session.
    async fn open(
        &self,
        transport: Transport,
        eio3: bool,
        asked: Option<&Asked>,
        peer: &Peer,
        request: Request,
        head: Option<&RequestHead>,
    ) -> Result<Response, Refusal> {
        let at = Instant::now();
        // Before it is let in: one that makes no sense takes nothing of the rate.
        let uri =
            self.local_uri(&request, None).map_err(|refusal| self.admission.refuse(refusal))?;
        let place = self.admission.admit(peer.address, request.headers())?;
        if let Some(head) = head {
            match self.program.allows(head, self.allow_timeout).await {
                Ok(()) => {}
                Err(Denied::Forbidden(message)) => {
                    return Ok(self.program.forbidden(&message, Some(head)));
                }
                Err(Denied::Silent) => return Err(Refusal::AllowRequestTimeout),
            }
        }
        let began = Began {
            at,
            remote: peer.address,
            transport,
            eio3,
            secure: peer.secure,
            cross_domain: request.headers().contains_key(header::ORIGIN),
            kept: self.keeper.keep(request.headers()),
        };
        let connection = self.sessions.begin(began, place);
        let mut response = match asked {
            Some(asked) => {
                let change = Change::Opening { pings: !eio3 };
                self.accept(uri, asked, &request, connection, change, peer)
            }
            None => self.open_polling(uri, connection, request).await,
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
        asked: Option<&Asked>,
        peer: &Peer,
        mut request: Request,
    ) -> Result<Response, Refusal> {
        let connection = self.sessions.find(sid).ok_or(Refusal::SessionUnknown)?;
        // As on Node, the session goes on after a request of another version, or of the transport that it has left.
        if connection.is_eio3() != eio3 || (asked.is_none() && connection.is_websocket()) {
            return Err(Refusal::BadRequest);
        }
        let uri = self.local_uri(&request, Some(sid))?;
        match asked {
            Some(asked) if !connection.claim_upgrade() => upgrade::turn_away(asked, &peer.upgrade),
            Some(asked) => {
                let pinged = eio3 || connection.ping_is_withheld();
                let change = if pinged { Change::Nothing } else { Change::Ping };
                self.accept(uri, asked, &request, connection, change, peer)
            }
            None => {
                *request.uri_mut() = uri;
                let encoding = self.compressor.wanted(&request);
                let polled = self.clone().poll(connection.clone(), sid, eio3, peer, request);
                let response = polled.await?;
                if encoding.is_none() {
                    return Ok(response);
                }
                let abandoned = Abandoned::new(&self.service, &connection, sid);
                let response = self.compressor.compressed(response, encoding).await;
                abandoned.not();
                Ok(response)
            }
        }
    }

    fn local_uri(&self, request: &Request, sid: Option<Sid>) -> Result<Uri, Refusal> {
        let uri = local_uri(&self.path, request.uri().query().unwrap_or_default(), sid)?;
        Ok(if uri == self.usual { self.usual.clone() } else { uri })
    }

    fn accept(
        &self,
        uri: Uri,
        asked: &Asked,
        request: &Request,
        connection: Arc<Connection>,
        change: Change,
        peer: &Peer,
    ) -> Result<Response, Refusal> {
        let (service, opening) = (self.service.clone(), Opening::new(&self.seal, change));
        let (deflate, most) = (&self.engine.per_message_deflate, self.max_payload);
        let in_text = wants_text(request.uri().query().unwrap_or_default());
        let terms = Terms {
            compressed: Agreed::with(request.headers(), deflate, most),
            in_text: in_text.then_some(most),
        };
        upgrade::accept(uri, asked, connection, service, opening, terms, &peer.upgrade)
    }

    async fn open_polling(
        &self,
        uri: Uri,
        connection: Arc<Connection>,
        request: Request,
    ) -> Result<Response, Refusal> {
        let request = open_request(uri, &connection, request.into_body())?;
        let (mut parts, body) = whole(self.service.http(request).await).await;
        let body = if self.upgrades { body } else { open::without_upgrades(body) };
        let Some(open) = Open::find(&body) else {
            return Ok(Response::from_parts(parts, Body::from(body)));
        };
        connection.has_id(open.sid);
        let body = open.with_id(&self.seal.seal(open.sid));
        parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
        Ok(Response::from_parts(parts, Body::from(body)))
    }

    /// A request of a polling session: GET for what waits for the client, POST with what it sends.
    async fn poll(
        self: Arc<Self>,
        connection: Arc<Connection>,
        sid: Sid,
        eio3: bool,
        peer: &Peer,
        request: Request,
    ) -> Result<Response, Refusal> {
        if connection.is_polling_over() {
            return Err(Refusal::SessionUnknown);
        }
        let response = if request.method() == Method::POST {
            let (parts, body) = request.into_parts();
            // As on Node, a client that sends two at once has made an error. It bounds what is held for it, too.
            let Some(_posting) = connection.begin_post() else {
                if !connection.is_websocket() {
                    connection.verdict(CloseReason::TransportError);
                    self.service.end_polling(&connection, sid).await;
                }
                return Err(Refusal::BadRequest);
            };
            let read = tokio::select! {
                biased;
                () = connection.polling_over() => return Err(Refusal::SessionUnknown),
                read = self.read_body(body) => read,
            };
            let body = match read {
                Ok(body) => body,
                Err(refusal) => {
                    self.service.end_polling(&connection, sid).await;
                    return Err(refusal);
                }
            };
            traffic::polling().received.count_body(&body);
            if !eio3 && let Some(request) = connection.follow_attachments(&body) {
                tokio::spawn(self.clone().await_attachments(connection.clone(), sid, request));
            }
            let octets = parts.headers.get(header::CONTENT_TYPE).is_some_and(eio3::is_octets);
            let closes = match closes(&connection, &body, eio3, octets) {
                Ok(closes) => closes,
                Err(reason) => {
                    connection.verdict(reason);
                    self.service.end_polling(&connection, sid).await;
                    return Err(Refusal::BadRequest);
                }
            };
            if closes {
                connection.poll_before().await;
            }
            let response = self.post(&connection, parts, body, eio3, octets).await;
            if closes && response.status().is_success() {
                Service::polling_ended(&connection);
            }
            response
        } else {
            let abandoned = Abandoned::new(&self.service, &connection, sid);
            let polled = connection.begin_poll();
            let response = self.service.poll(request, &connection, eio3).await;
            drop(polled);
            abandoned.not();
            peer.answered.note(&self.service, &connection);
            response
        };
        if response.status().is_client_error() && !connection.is_websocket() {
            // As on Node, a request that makes no sense is the last of its session.
            self.service.end_polling(&connection, sid).await;
        }
        Ok(if eio3 { poll_eio3(response).await } else { response })
    }

    /// Hands over what a client sent: in several requests if marks at names make more of it than one may have, or some of it
    /// has to wait.
    async fn post(
        &self,
        connection: &Connection,
        parts: Parts,
        body: Bytes,
        eio3: bool,
        octets: bool,
    ) -> Response {
        let (body, form) = match (eio3, octets) {
            (true, true) => (body, Form::Octets3),
            (true, false) => (body, Form::Text3),
            (false, _) => (loose_base64::mend(body), Form::V4),
        };
        let mut all = InParts::new(body, form, self.max_payload);
        let mut last = None;
        loop {
            match all.next(connection) {
                Some(Part::Waits(namespace)) => self.await_entered(connection, &namespace).await,
                Some(Part::Ready(body)) => {
                    let request = Request::from_parts(parts.clone(), form.body(body));
                    let response = self.service.http(request).await;
                    if !response.status().is_success() {
                        return response;
                    }
                    last = Some(response);
                }
                None => return last.unwrap_or_default(),
            }
        }
    }

    /// Waits until a client is let in a namespace, as a WebSocket does; no longer than a message may take, nor than its
    /// session lasts: then it may never be let in.
    async fn await_entered(&self, connection: &Connection, namespace: &str) {
        let end = Instant::now() + self.sessions.timeouts.message;
        while connection.is_entering(namespace) {
            if Instant::now() > end || connection.is_polling_over() {
                return connection.waits_no_longer(namespace);
            }
            // Rare, and mostly over at once.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The body of a request, bounded in size and in time.
    async fn read_body(&self, body: Body) -> Result<Bytes, Refusal> {
        match Limited::new(body, self.max_payload).collect().await {
            Ok(body) => Ok(body.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(Refusal::PayloadTooLarge),
            Err(error) if is_timeout(&*error) => Err(Refusal::RequestTimeout),
            // A chunk that is none, or the end before its time.
            Err(_) => Err(Refusal::BadRequest),
        }
    }

    /// Ends a session whose announced attachments do not come.
    async fn await_attachments(
        self: Arc<Self>,
        connection: Arc<Connection>,
        sid: Sid,
        request: u64,
    ) {
        tokio::time::sleep(self.sessions.timeouts.message).await;
        if connection.is_stuck_since(request) {
            connection.verdict(CloseReason::MessageTimeout);
            self.service.end_polling(&connection, sid).await;
        }
    }
}

/// Whether the client closes its session with such a body; or why it ends, if the body makes no sense.
fn closes(
    connection: &Connection,
    body: &Bytes,
    eio3: bool,
    octets: bool,
) -> Result<bool, CloseReason> {
    let mut others = 0;
    let mut is_malformed = |head: PacketHead| {
        others += u32::from(!head.is_event());
        head.is_malformed()
    };
    let mut closes = false;
    let malformed = match (eio3, octets) {
        // As on Node.
        (false, true) => return Err(CloseReason::TransportError),
        (false, false) => body
            .split(|byte| *byte == SEPARATOR)
            .inspect(|packet| closes |= packet.first() == Some(&CLOSE))
            .map(PacketHead::of)
            .any(&mut is_malformed),
        (true, false) => eio3::heads_in_text(body).any(&mut is_malformed),
        (true, true) => eio3::heads_in_octets(body).any(&mut is_malformed),
    };
    if malformed {
        return Err(CloseReason::ParseError);
    }
    if !connection.allows_others(others) {
        return Err(CloseReason::RateLimited);
    }
    Ok(closes || (eio3 && eio3::closes(body, octets)))
}

/// Whether a body did not come in time.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    successors(Some(error), |&error| error.source()).any(|error| error.is::<TimeoutError>())
}

/// The handshake of a polling session, as socketioxide gets it. It keeps it for life, and the connection in it: `uri`
/// must have memory of its own.
fn open_request(uri: Uri, connection: &Arc<Connection>, body: Body) -> Result<Request, Refusal> {
    let request = http::Request::builder().uri(uri).extension(connection.clone());
    request.body(body).map_err(|_| Refusal::BadRequest)
}

/// Ends the session of a poll that its client gave up, as Node does. Gap: socketioxide keeps the session,
/// and what is queued for it.
struct Abandoned(Option<(Service, Arc<Connection>, Sid)>);

impl Abandoned {
    fn new(service: &Service, connection: &Arc<Connection>, sid: Sid) -> Self {
        Self(Some((service.clone(), connection.clone(), sid)))
    }

    /// It has been answered.
    fn not(mut self) {
        self.0 = None;
    }
}

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some((service, connection, sid)) = self.0.take()
            && !connection.is_websocket()
            && let Ok(runtime) = Handle::try_current()
        {
            connection.verdict(CloseReason::TransportError);
            // What comes behind finds it so, at once.
            connection.polling_is_over();
            runtime.spawn(async move { service.end_polling(&connection, sid).await });
        }
    }
}

/// The answer to a poll of Engine.IO v3, with what [`eio3`] adds.
async fn poll_eio3(response: Response) -> Response {
    let (mut parts, body) = whole(response).await;
    let kind = parts.headers.get(header::CONTENT_TYPE);
    let octets = kind.is_some_and(eio3::is_octets);
    let body = eio3::mend_binary(body, octets);
    parts.headers.insert(header::CONTENT_LENGTH, body.len().into());
    Response::from_parts(parts, Body::from(body))
}

/// What a program puts around the requests of clients to Socket.IO.
pub type Layers = Vec<Box<dyn Fn(Router) -> Router + Send + Sync>>;

/// The public routes. `pages` are served beside Socket.IO.
pub fn router(edge: Arc<Edge>, config: &Config, pages: Router, layers: &Layers) -> Router {
    let all = socketio(edge, config, layers).merge(pages).fallback(|| async {
        let body = crate::error_body(
            "not_found",
            "nothing is here; clients connect below the path of Socket.IO",
        );
        (StatusCode::NOT_FOUND, Json(body))
    });
    bounded(all, config)
}

/// The route of Socket.IO alone, for the router of a program that has a listener of its own.
pub fn mountable(edge: Arc<Edge>, config: &Config, layers: &Layers) -> Router {
    bounded(socketio(edge, config, layers).layer(middleware::from_fn(adopt)), config)
}

fn socketio(edge: Arc<Edge>, config: &Config, layers: &Layers) -> Router {
    let path = config.public.base_path();
    let socketio = any(
        |State(edge): State<Arc<Edge>>, Extension(peer): Extension<Peer>, request: Request| async move {
            let mut response = edge.handle(peer, request).await?;
            if response.status() == StatusCode::OK {
                // As on Node: what a poll is answered with is for nobody else.
                let no_store = HeaderValue::from_static("no-store");
                response.headers_mut().insert(header::CACHE_CONTROL, no_store);
            }
            Ok::<_, Refusal>(response)
        },
    );
    let mut router = Router::new()
        .route(path, socketio.clone())
        .route(&format!("{path}/"), socketio)
        .with_state(edge);
    router = layers.iter().fold(router, |router, layer| layer(router));
    if config.public.serve_client {
        router = router.merge(client_files::routes(path));
    }
    // As on Node, this is for Socket.IO only: the pages of a program have their own ways.
    match CrossOrigin::new(&config.public) {
        Some(cors) => router.route_layer(middleware::from_fn_with_state(cors, cors::answer)),
        None => router,
    }
}

fn bounded(router: Router, config: &Config) -> Router {
    router.layer(RequestBodyTimeoutLayer::new(config.public.request_timeout))
}

/// The internal route where other pods forward requests of this pod's sessions.
pub fn pods(edge: Arc<Edge>) -> Router {
    let forwarded = any(
        |State(edge): State<Arc<Edge>>, Extension(peer): Extension<Peer>, request: Request| async move {
            edge.handle_forwarded(peer, request).await
        },
    );
    let heard = |hear: fn(&Connection)| {
        post(move |State(edge): State<Arc<Edge>>, request: Request| async move {
            edge.handle_notice(request, hear).await
        })
    };
    let identity = |State(edge): State<Arc<Edge>>, uri: Uri| async move {
        neighbours::identity(&edge.seal, uri.query()).ok_or(StatusCode::BAD_REQUEST)
    };
    Router::new()
        .route(forward::PATH, forwarded)
        .route(neighbours::PATH, get(identity))
        .route(forward::RELEASE, heard(Connection::release_poll))
        .route(forward::UNREAD, heard(Connection::cut_unread))
        .with_state(edge)
}

/// The cookie that names a pod (RFC 6265), for as long as the page is open.
fn cookie(settings: &AffinityCookie, path: &str, pod: Sid) -> Option<HeaderValue> {
    let AffinityCookie { name, same_site, secure } = settings;
    let (same_site, secure) = (same_site.name(), if *secure { "; Secure" } else { "" });
    let cookie = format!("{name}={pod}; Path={path}; HttpOnly; SameSite={same_site}{secure}");
    (!name.is_empty()).then(|| HeaderValue::try_from(cookie).ok())?
}
