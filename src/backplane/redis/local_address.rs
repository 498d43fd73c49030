//! The address of this machine that leads to Redis. Other pods are on the same network, and reach this one there.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use fred::types::config::Server;
use tokio::net::{UdpSocket, lookup_host};

/// That of the first server that there is a way to.
pub async fn local_address(servers: &[Server]) -> io::Result<IpAddr> {
    let mut failed = io::Error::other("backplane.url names no server");
    for server in servers {
        match towards(&server.host, server.port).await {
            Ok(address) => return Ok(address),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

async fn towards(host: &str, port: u16) -> io::Result<IpAddr> {
    let host = host.trim_matches(['[', ']']);
    let mut failed = io::Error::other(format!("{host} has no address"));
    for remote in lookup_host((host, port)).await? {
        let any: IpAddr = match remote.is_ipv4() {
            true => Ipv4Addr::UNSPECIFIED.into(),
            false => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0)).await?;
        // The system chooses a way, and sends nothing.
        match socket.connect(remote).await {
            Ok(()) => return Ok(socket.local_addr()?.ip()),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
