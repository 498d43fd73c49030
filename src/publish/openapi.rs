//! `GET /api/v1/openapi.json`: what the API is like, for programs.
//!
//! The document is made from the handlers and the types that they take and give: a route is in it because it is
//! served (`utoipa-axum` collects both).

use std::sync::Arc;

use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::header;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        OpenApi as Document,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};

use super::{Publish, answers::Refused};

/// What is said of the API as a whole.
#[derive(OpenApi)]
#[openapi(
    info(title = "Roomcast", description = "Publish to the clients of Socket.IO, and ask about them."),
    servers((url = "/api/v1")),
    tags(
        (name = "publish", description = "Emit events"),
        (name = "cluster", description = "Ask about all pods, and act on their sockets"),
        (name = "pod", description = "The pod that is asked")
    ),
    security(("key" = [])),
    modifiers(&Bearer)
)]
struct About;

/// One of `api.keys` as the bearer token.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, document: &mut Document) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document.components.get_or_insert_default().add_security_scheme("key", scheme);
    }
}

/// The document without paths.
pub(super) fn about() -> Document {
    About::openapi()
}

/// This document
#[utoipa::path(
    get, path = "/openapi.json", tag = "pod",
    responses((status = 200, description = "OpenAPI 3.1", body = serde_json::Value), Refused)
)]
pub(super) async fn openapi(State(publish): State<Arc<Publish>>) -> Response {
    let document = publish.document.get().cloned().unwrap_or_default();
    ([(header::CONTENT_TYPE, "application/json")], document).into_response()
}
