//! The address of a client by the PROXY protocol, version 2, from load balancers that are trusted to say it.

use std::{io, net::SocketAddr, time::Duration};

use ppp::v2::{Addresses, Command, Header};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::config::Proxies;

/// Bytes of the PROXY protocol before what they announce.
const PREFIX: usize = 16;
/// Longest header that is read: addresses and some extensions.
const LONGEST: usize = 4096;

/// Reads the header of the PROXY protocol from a connection of a load balancer that is trusted, and gives
/// the address of its client; that of the peer for others, and for checks of the load balancer itself.
pub(crate) async fn proxied_address(
    stream: &mut TcpStream,
    peer: SocketAddr,
    proxies: &Proxies,
    limit: Duration,
) -> io::Result<SocketAddr> {
    if !proxies.proxy_protocol || !proxies.trusts(peer.ip()) {
        return Ok(peer);
    }
    let header = async {
        let mut header = vec![0; PREFIX];
        stream.read_exact(&mut header).await?;
        let rest = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if rest > LONGEST {
            return Err(io::Error::other("the header of the PROXY protocol is too long"));
        }
        header.resize(PREFIX + rest, 0);
        stream.read_exact(&mut header[PREFIX..]).await?;
        Ok(header)
    };
    let header = timeout(limit, header).await??;
    let header = Header::try_from(&header[..]).map_err(io::Error::other)?;
    Ok(match (header.command, header.addresses) {
        (Command::Proxy, Addresses::IPv4(way)) => (way.source_address, way.source_port).into(),
        (Command::Proxy, Addresses::IPv6(way)) => (way.source_address, way.source_port).into(),
        _ => peer,
    })
}
