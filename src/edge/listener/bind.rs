//! Listening sockets.

use std::{io, net::SocketAddr, sync::Arc};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;

use crate::edge::resources::sampling::Listeners;

/// An address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key}): {source}")]
pub struct ListenError {
    address: SocketAddr,
    key: &'static str,
    source: io::Error,
}

/// Sockets that listen, each on the address that it really has.
#[derive(Debug)]
pub struct Bound(pub(crate) Vec<Arc<TcpListener>>);

impl Bound {
    /// The addresses, with the ports that 0 stood for.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|listener| listener.local_addr().ok()).collect()
    }

    /// The sockets, for who serves them in another way.
    pub fn listening(self) -> Vec<Arc<TcpListener>> {
        self.0
    }

    /// What is looked at while they listen.
    pub fn listeners(&self) -> Listeners {
        Listeners::new(&self.0)
    }
}

/// Listens on all addresses. An IPv6 address is skipped on a machine that has no IPv6, unless it
/// is the only one. `key` is the setting to name in errors.
pub fn bind(
    key: &'static str,
    addresses: &[SocketAddr],
    backlog: u32,
) -> Result<Bound, ListenError> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for &address in addresses {
        match listen(address, backlog) {
            Ok(listener) => listeners.push(Arc::new(listener)),
            Err(error) if addresses.len() > 1 && address.is_ipv6() && no_ipv6(&error) => {
                tracing::warn!(%address, key, "skipped: this machine has no IPv6");
            }
            Err(source) => {
                return Err(ListenError { address, key, source });
            }
        }
    }
    Ok(Bound(listeners))
}

fn no_ipv6(error: &io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    error.raw_os_error() == Some(EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn listen(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can stand side by side.
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}
