//! Node's `serveClient`: the stock client beside the endpoint, for `<script src="/socket.io/socket.io.js">`. The files are in
//! the binary, each in every encoding (`build.rs` has put them there): to serve them costs no memory and no time.

use axum::{
    Json, Router,
    body::{Body, Bytes},
    response::{IntoResponse, Response},
    routing::get,
};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use super::content_encoding::Encoding;

// `VERSION` of the client, and `FILES`.
include!(concat!(env!("OUT_DIR"), "/client_files.rs"));

/// What is asked for, also where the client is not built in: then with a hint.
const NAMES: [&str; 8] = [
    "socket.io.js",
    "socket.io.js.map",
    "socket.io.min.js",
    "socket.io.min.js.map",
    "socket.io.esm.min.js",
    "socket.io.esm.min.js.map",
    "socket.io.msgpack.min.js",
    "socket.io.msgpack.min.js.map",
];
/// Those of Node, in its order.
const OFFERS: [Encoding; 3] = [Encoding::Br, Encoding::Gzip, Encoding::Deflate];

/// A file of the client.
struct File {
    name: &'static str,
    plain: &'static [u8],
    br: &'static [u8],
    gzip: &'static [u8],
    deflate: &'static [u8],
}

/// The stock client for a page, minified, if it is built in.
pub(crate) fn stock_client() -> Option<&'static [u8]> {
    FILES.iter().find(|file| file.name == "socket.io.min.js").map(|file| file.plain)
}

/// The routes of the files, below the path of Socket.IO.
pub(crate) fn routes(path: &str) -> Router {
    NAMES.into_iter().fold(Router::new(), |router, name| {
        let file = FILES.iter().find(|file| file.name == name);
        let serve = move |headers: HeaderMap| async move {
            file.map_or_else(missing, |file| file.answer(&headers))
        };
        router.route(&format!("{path}/{name}"), get(serve))
    })
}

fn missing() -> Response {
    let hint = "the client was not there when this server was built: load it from elsewhere, or build with npm installed";
    (StatusCode::NOT_FOUND, Json(crate::error_body("client_not_built_in", hint))).into_response()
}

impl File {
    fn answer(&self, headers: &HeaderMap) -> Response {
        let tag = format!("\"{VERSION}\"");
        let matches = has(headers, &tag);
        let encoding = Encoding::preferred(headers, &OFFERS);
        let mut response = Response::default();
        let answer = response.headers_mut();
        let value = HeaderValue::from_static;
        answer.insert(header::CACHE_CONTROL, value("public, max-age=0"));
        // The tag is that of all encodings, as on Node; a cache is to tell them apart.
        answer.insert(header::VARY, value("Accept-Encoding"));
        if let Ok(tag) = tag.parse() {
            answer.insert(header::ETAG, tag);
        }
        if matches {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return response;
        }
        let is_map = self.name.ends_with(".map");
        let kind = if is_map { "application/json" } else { "application/javascript" };
        if let Ok(kind) = format!("{kind}; charset=utf-8").parse() {
            answer.insert(header::CONTENT_TYPE, kind);
        }
        let bytes = match encoding {
            None => self.plain,
            Some(Encoding::Br) => self.br,
            Some(Encoding::Gzip) => self.gzip,
            Some(Encoding::Deflate) => self.deflate,
        };
        if let Some(encoding) = encoding {
            answer.insert(header::CONTENT_ENCODING, encoding.header());
        }
        *response.body_mut() = Body::from(Bytes::from_static(bytes));
        response
    }
}

/// Whether the client says that it has the file of this tag (RFC 9110, 13.1.2: compared weakly).
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let lines = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|line| line.to_str().ok());
    let mut tags = lines.flat_map(|line| line.split(',')).map(str::trim);
    tags.any(|found| found == "*" || found.strip_prefix("W/").unwrap_or(found) == tag)
}
