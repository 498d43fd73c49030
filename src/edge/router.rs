//! The routes of the edge: which path leads where.

use std::sync::Arc;

use axum::{
    Extension, Json, Router,
    extract::{Request, State},
    middleware,
    routing::{any, get, post},
};
use http::{HeaderValue, StatusCode, Uri, header};
use tower_http::timeout::RequestBodyTimeoutLayer;

use super::{
    connections::{
        close_reason::CloseReason, connection::Connection, request_context::RequestContext,
    },
    front::Edge,
    listener::embedded::adopt,
    peers::{forwarder, pod_discovery},
    requests::{
        client_files,
        cors::{self, CrossOrigin},
        request_error::RequestError,
    },
};
use crate::config::Config;

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
        |State(edge): State<Arc<Edge>>,
         Extension(context): Extension<RequestContext>,
         request: Request| async move {
            let mut response = edge.handle(context, request).await?;
            if response.status() == StatusCode::OK {
                // As on Node: what a poll is answered with is for nobody else.
                let no_store = HeaderValue::from_static("no-store");
                response.headers_mut().insert(header::CACHE_CONTROL, no_store);
            }
            Ok::<_, RequestError>(response)
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
        |State(edge): State<Arc<Edge>>,
         Extension(context): Extension<RequestContext>,
         request: Request| async move { edge.handle_forwarded(context, request).await },
    );
    let heard = |hear: fn(&Connection)| {
        post(move |State(edge): State<Arc<Edge>>, request: Request| async move {
            edge.handle_signal(request, hear).await
        })
    };
    let identity = |State(edge): State<Arc<Edge>>, uri: Uri| async move {
        edge.identity(&uri).ok_or(StatusCode::BAD_REQUEST)
    };
    Router::new()
        .route(forwarder::PATH, forwarded)
        .route(pod_discovery::PATH, get(identity))
        .route(
            forwarder::RELEASE,
            heard(|connection| {
                if let Some(polling) = connection.polling() {
                    polling.release_poll();
                }
            }),
        )
        .route(
            forwarder::UNREAD,
            heard(|connection| connection.cut_stream(CloseReason::WriteTimeout)),
        )
        .with_state(edge)
}
