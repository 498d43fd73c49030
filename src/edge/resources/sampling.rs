//! What is looked at every few seconds, as to count it all the time would cost each emit: what waits for clients, and how
//! near the pod is to its limits.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use metrics::{gauge, histogram};
use tokio::net::TcpListener;

use crate::{
    edge::connections::sessions::Sessions,
    telemetry::{
        Total,
        metrics::{SEND_QUEUE_BYTES, SEND_QUEUE_PACKETS, SLOW_CLIENTS},
    },
};

/// How often.
const LOOK: Duration = Duration::from_secs(5);

/// The listeners of clients, as long as they listen.
pub struct Listeners(Vec<Weak<TcpListener>>);

impl Listeners {
    pub(crate) fn new(listeners: &[Arc<TcpListener>]) -> Self {
        Self(listeners.iter().map(Arc::downgrade).collect())
    }

    /// The fullest queue of connections that wait to be accepted, and how many may.
    fn waiting(&self) -> Option<(u32, u32)> {
        let listeners = self.0.iter().filter_map(Weak::upgrade);
        let queues = listeners.filter_map(|listener| queue(&listener));
        // They have the same limit.
        queues.max_by_key(|(waiting, _)| *waiting)
    }
}

/// Looks until it is dropped. `most` connections are let in, if that is not 0.
pub async fn sample(sessions: Arc<Sessions>, most: usize, listeners: Listeners) {
    let (packets, bytes) = (histogram!(SEND_QUEUE_PACKETS.name), histogram!(SEND_QUEUE_BYTES.name));
    let slow = gauge!(SLOW_CLIENTS.name);
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        ticks.tick().await;
        let behind = sessions.slow.behind();
        slow.set(behind.len() as f64);
        for (waiting, size) in behind {
            packets.record(waiting as f64);
            bytes.record(size as f64);
        }
        Total::Connections.uses(sessions.open() as f64, most as f64);
        if let Some((waiting, most)) = listeners.waiting() {
            Total::Backlog.uses(f64::from(waiting), f64::from(most));
        }
    }
}

/// How many connections wait at a listener, and how many may: of one that listens, `tcp_info` has these in the place of
/// segments that were not acknowledged, and that were selectively (`tcp_get_info` in `net/ipv4/tcp.c` of Linux).
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn queue(listener: &TcpListener) -> Option<(u32, u32)> {
    use std::os::fd::AsRawFd;

    let mut info = std::mem::MaybeUninit::<libc::tcp_info>::zeroed();
    let mut length = libc::socklen_t::try_from(size_of::<libc::tcp_info>()).ok()?;
    // SAFETY: the descriptor is open while the listener is borrowed; the kernel writes at most `length` bytes into what is
    // as large, of which any bytes, zeros too, are a `tcp_info`.
    let info = unsafe {
        let got = libc::getsockopt(
            listener.as_raw_fd(),
            libc::IPPROTO_TCP,
            libc::TCP_INFO,
            info.as_mut_ptr().cast(),
            &raw mut length,
        );
        if got != 0 {
            return None;
        }
        info.assume_init()
    };
    Some((info.tcpi_unacked, info.tcpi_sacked))
}

#[cfg(not(target_os = "linux"))]
fn queue(_: &TcpListener) -> Option<(u32, u32)> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used)]

    use socket2::{Domain, Socket, Type};

    use super::*;

    #[tokio::test]
    async fn what_waits_to_be_accepted_is_seen() {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
        socket.listen(16).unwrap();
        let listener = Arc::new(TcpListener::from_std(socket.into()).unwrap());
        let listeners = Listeners::new(std::slice::from_ref(&listener));
        assert_eq!(listeners.waiting(), Some((0, 16)));
        let address = listener.local_addr().unwrap();
        let clients: Vec<_> =
            (0..3).map(|_| std::net::TcpStream::connect(address).unwrap()).collect();
        assert_eq!(listeners.waiting(), Some((3, 16)));
        drop(listener.accept().await.unwrap());
        assert_eq!(listeners.waiting(), Some((2, 16)));
        drop((clients, listener));
        assert_eq!(listeners.waiting(), None);
    }
}
