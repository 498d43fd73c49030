//! What a program does with the requests of clients to Socket.IO, before there are sockets.

use std::{future::Future, sync::Arc};

use axum::Router;

use super::Builder;
use crate::edge::{ConnectionError, RequestHead};

impl Builder {
    /// Puts layers of tower or axum around the requests of clients to Socket.IO: `io.engine.use` on Node, and with it
    /// its events `initial_headers` and `headers`. The pages of the program and the files for browsers are not among
    /// them. The first that is added sees a request last.
    ///
    /// Answers to polls are waited for, for as long as `engine.ping_interval`: a layer that gives up sooner ends the session. What
    /// one puts in the extensions of a request is not kept; a header is, if `public.kept_headers` names it. A client can send
    /// that too, so the layer must take its own away.
    ///
    /// ```
    /// # use roomcast::{Server, config::Config};
    /// use axum::{extract::Request, http::HeaderValue, middleware::{Next, from_fn}};
    ///
    /// let pod = Server::builder(Config::defaults()).engine_layer(|engine| {
    ///     engine.layer(from_fn(async |mut request: Request, next: Next| {
    ///         let new = !request.uri().query().unwrap_or_default().contains("sid=");
    ///         request.headers_mut().insert("x-tenant", HeaderValue::from_static("acme"));
    ///         let mut response = next.run(request).await;
    ///         if new {
    ///             response.headers_mut().append("set-cookie", HeaderValue::from_static("seen=1"));
    ///         }
    ///         response
    ///     }))
    /// });
    /// # let _ = pod;
    /// ```
    pub fn engine_layer(
        mut self,
        layer: impl Fn(Router) -> Router + Send + Sync + 'static,
    ) -> Self {
        self.layers.push(Box::new(layer));
        self
    }

    /// Says whether a new session may begin, by the whole head of its request: Node's `allowRequest`. It is asked once all else
    /// has let the request pass, and has `admission.allow_request_timeout`. The error is the message that the client gets,
    /// with 403 and Engine.IO's code 4.
    pub fn allow_request<F, D>(mut self, allow: F) -> Self
    where
        F: Fn(RequestHead) -> D + Send + Sync + 'static,
        D: Future<Output = Result<(), String>> + Send + 'static,
    {
        self.program.allow = Some(Arc::new(move |head| Box::pin(allow(head))));
        self
    }

    /// Calls this with each request of a client that is refused: `io.engine.on("connection_error")` on Node. It must not block.
    pub fn on_connection_error(
        mut self,
        hear: impl Fn(&ConnectionError) + Send + Sync + 'static,
    ) -> Self {
        self.program.on_error = Some(Arc::new(hear));
        self
    }
}
