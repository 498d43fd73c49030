//! Registers a namespace with socketioxide, so that clients can connect to it.

use std::{convert::Infallible, pin::Pin, sync::Arc};

use socketioxide::{handler::ConnectHandler, socket::Socket as IoSocket};
use socketioxide_core::Value;

use super::{
    middleware::{ConnectResult, connect},
    refused::{refuse_connect, release_packets},
};
use crate::{
    backplane::{Adapter, Backplane, Io},
    config::AuthPolicy,
    gateway::{
        namespaces::{
            namespace::Namespace,
            runtime::{NamespaceRuntime, Shared},
        },
        replies::refusal::Refusal,
    },
    tasks,
};

/// The namespace that there is when nothing is configured: clients connect, and may do nothing.
pub fn open() -> Namespace {
    Namespace::new("/").authentication(AuthPolicy::None)
}

/// Lets clients connect to a namespace. The future runs its timers, for as long as the pod runs.
pub fn attach(
    io: &Io,
    namespace: Namespace,
    shared: Shared,
) -> impl Future<Output = Infallible> + Send + 'static {
    let path = namespace.path.clone();
    let backplane = shared.backplane.clone();
    let runtime = NamespaceRuntime::new(path.clone(), Arc::new(namespace), shared, None);
    io.ns(path.clone(), Connector(runtime.clone()));
    runtime.namespace.watch(&backplane, &path);
    runtime.run_timers()
}

/// Tells a socket that it is connected. If that panics, its connection is closed: the stock client comes back, and finds
/// another state than half a one.
pub(super) fn tell_connected(backplane: &Backplane, socket: &IoSocket<Adapter>) {
    let here = backplane.local(socket.ns());
    if let Some(member) = here.and_then(|here| here.member(socket.id))
        && tasks::attempt("connect", || member.connected()).is_none()
    {
        member.close_connection();
    }
}

/// Called when a client connects to the namespace.
#[derive(Clone)]
struct Connector(Arc<NamespaceRuntime>);

impl ConnectHandler<Adapter, Self> for Connector {
    fn call_middleware<'a>(
        &'a self,
        socket: Arc<IoSocket<Adapter>>,
        auth: &'a Option<Value>,
    ) -> Pin<Box<dyn Future<Output = ConnectResult> + Send + 'a>> {
        let Self(runtime) = self;
        Box::pin(async move {
            let connected = tasks::caught("connect", connect(runtime, socket.clone(), auth)).await;
            let result = connected.unwrap_or_else(|| {
                let (sessions, namespace) = (&runtime.sessions, &runtime.namespace);
                Err(refuse_connect(sessions, namespace, &socket, &Refusal::internal_error()))
            });
            if result.is_err() {
                release_packets(&runtime.sessions, &socket);
            }
            result
        })
    }

    /// The program is told of a socket here, where the socket is connected: then the program can emit to it.
    fn call(&self, socket: Arc<IoSocket<Adapter>>, _: Option<Value>) {
        tell_connected(&self.0.context.backplane, &socket);
    }
}
