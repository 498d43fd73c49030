//! The TCP connections that listening sockets accept, served as HTTP until each ends or becomes a WebSocket.

use std::{
    error::Error as _,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tower::ServiceExt;

use super::bind::Bound;
use crate::{
    config::Proxies,
    drain::{Lifecycle, Phase},
    edge::{
        connections::{request_context::RequestContext, unread_answer::PollAnswer},
        requests::{
            proxy_protocol::proxied_address,
            request_error::{RequestError, UnservedRequest},
            upgrade_slot::{TakeOver, UpgradeSlot},
        },
        resources::open_files::{Files, Spares, ran_out},
        streams::write_timeout::{WriteTimeout, is_write_timeout},
    },
    tasks,
};

/// A client can send a head of this many bytes; cookies and tokens fit.
const MAX_HEAD: usize = 64 * 1024;
/// After an accept that failed for want of files or memory: give connections time to end.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How accepted connections are served.
#[derive(Debug)]
pub struct Options {
    /// Longest wait for the head of a request.
    pub request_timeout: Duration,
    /// Longest time that nothing of an answer is taken.
    pub write_timeout: Duration,
    /// Silence before TCP keep-alive probes start.
    pub tcp_keepalive: Duration,
    /// Whether it is clients that connect: what they send broken is counted, and a pod that drains sends them to
    /// others.
    pub clients: bool,
    /// Load balancers, and how they say where clients are.
    pub proxies: Option<Proxies>,
    /// How many files there are for connections of clients.
    pub files: Arc<Files>,
}

impl Options {
    /// Of the internal listener, where pods and people connect.
    pub fn internal(&self) -> Self {
        Self { clients: false, proxies: None, files: self.files.clone(), ..*self }
    }
}

/// Serves HTTP/1.1 on all sockets until the pod is stopped, then lets requests under way finish.
/// WebSockets are not waited for: they belong to the edge by then.
pub async fn serve(bound: Bound, options: Options, router: Router, lifecycle: Lifecycle) {
    let options = Arc::new(options);
    let accepting = bound
        .0
        .into_iter()
        .map(|listener| accept(listener, options.clone(), router.clone(), lifecycle.clone()));
    futures_util::future::join_all(accepting).await;
}

async fn accept(
    listener: Arc<TcpListener>,
    options: Arc<Options>,
    router: Router,
    lifecycle: Lifecycle,
) {
    // Each connection holds a sender: once all are gone, so are the connections.
    let (busy, mut all_done) = mpsc::channel::<()>(1);
    let files = &options.files;
    let mut spares = Spares::none();
    if !options.clients {
        spares.fill();
    }
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, remote)) => {
                    if !files.are_taken(&stream) {
                        if !options.clients {
                            spares.fill();
                        }
                    } else if options.clients {
                        // Closed at once, and not left in the queue of the kernel: a load balancer, or the client, tries
                        // another pod.
                        drop(stream);
                        UnservedRequest::FileLimit.count();
                        if let Some(more) = files.may_tell() {
                            tracing::warn!(
                                %remote, more,
                                "closed connections of clients: few open files are left, and those are for probes, pods \
                                 and Redis; raise the limit of open files, or set admission.max_connections"
                            );
                        }
                        continue;
                    }
                    let http = serve_http(stream, remote, options.clone(), router.clone(), lifecycle.clone());
                    let busy = busy.clone();
                    // After a panic its stream is dropped, and with it the connection.
                    tasks::spawn("connection", async move {
                        if let Some((take_over, stream, read_buf)) = http.await {
                            take_over(stream, read_buf, busy);
                        }
                    });
                }
                Err(error) if is_of_one_connection(&error) => {}
                // The next one that asks may be a probe.
                Err(error) if ran_out(&error) && spares.give() => {}
                Err(error) => {
                    if let Some(more) = files.may_tell() {
                        tracing::warn!(%error, more, "cannot accept connections");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = lifecycle.reached(Phase::Stopped) => break,
        }
    }
    drop((listener, busy));
    all_done.recv().await;
}

/// Serves HTTP until the connection ends, or is to be a WebSocket: then gives its stream, and what the client
/// sent right behind the handshake.
async fn serve_http(
    mut stream: TcpStream,
    mut remote: SocketAddr,
    options: Arc<Options>,
    router: Router,
    lifecycle: Lifecycle,
) -> Option<(TakeOver, TcpStream, Bytes)> {
    if let Err(error) = set_options(&stream, &options) {
        tracing::debug!(%remote, %error, "the client left before it was served");
        return None;
    }
    if let Some(proxies) = &options.proxies {
        match proxied_address(&mut stream, remote, proxies, options.request_timeout).await {
            Ok(client) => remote = client,
            Err(error) => {
                UnservedRequest::BadProxyHeader.count();
                tracing::debug!(%remote, %error, "no header of the PROXY protocol");
                return None;
            }
        }
    }
    let (upgrade, answered) = (UpgradeSlot::default(), PollAnswer::default());
    let context = RequestContext {
        address: remote,
        secure: false,
        upgrade: upgrade.clone(),
        answered: answered.clone(),
    };
    let used = AtomicBool::new(false);
    let service = service_fn(|mut request: http::Request<Incoming>| {
        used.store(true, Ordering::Relaxed);
        request.extensions_mut().insert(context.clone());
        let answer = answer(router.clone(), request);
        let (lifecycle, to_clients) = (&lifecycle, options.clients);
        Box::pin(async move {
            let mut answer = answer.await;
            if to_clients && !lifecycle.accepts_sessions() {
                send_elsewhere(&mut answer);
            }
            Ok::<_, std::convert::Infallible>(answer)
        })
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.request_timeout)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(WriteTimeout::new(stream, options.write_timeout)), service);
    let closing = options.clients.then_some(Phase::Closing);
    let mut ends = closing.into_iter().chain([Phase::Stopped]);
    let mut end = ends.next();
    let served = loop {
        tokio::select! {
            biased;
            // Without a shutdown: the stream may go on as a WebSocket.
            served = poll_fn(|context| connection.poll_without_shutdown(context)) => break served,
            () = lifecycle.reached(end.unwrap_or(Phase::Stopped)), if end.is_some() => {}
        }
        // One that has not been used is new: a session that goes on asks over it. It is closed with its answer.
        if end == Some(Phase::Stopped) || used.load(Ordering::Relaxed) {
            Pin::new(&mut connection).graceful_shutdown();
        }
        end = ends.next();
    };
    if let Err(error) = served {
        if options.clients && error.is_timeout() {
            UnservedRequest::HeadTimeout.count();
        } else if options.clients && error.is_parse() {
            UnservedRequest::BadHttp.count();
        }
        if says_unread(&error) {
            answered.close_unread().await;
        }
        tracing::debug!(%remote, %error, "connection broken");
        return None;
    }
    let take_over = upgrade.take()?;
    let parts = connection.into_parts();
    Some((take_over, parts.io.into_inner().into_inner(), parts.read_buf))
}

/// Has a request answered. One whose handler panics is 500, and what is behind it on the connection is none the worse.
async fn answer(router: Router, request: http::Request<Incoming>) -> Response {
    match tasks::caught("request", router.oneshot(request)).await {
        Some(Ok(answer)) => answer,
        Some(Err(never)) => match never {},
        None => RequestError::Internal.into_response(),
    }
}

/// Whether HTTP ended because the client did not read.
fn says_unread(error: &hyper::Error) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    source.is_some_and(is_write_timeout)
}

/// Ends the TCP connection with an answer: the next request of the client comes over a new one, which a load balancer
/// that knows nothing of HTTP gives to another pod.
fn send_elsewhere(answer: &mut Response) {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
}

/// Such an error says nothing about the next connection.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

fn set_options(stream: &TcpStream, options: &Options) -> io::Result<()> {
    // Packets are written whole, so there is nothing for Nagle to gather: with it, the first event
    // takes 40 ms more.
    stream.set_nodelay(true)?;
    let keepalive = TcpKeepalive::new().with_time(options.tcp_keepalive);
    SockRef::from(stream).set_tcp_keepalive(&keepalive)
}
