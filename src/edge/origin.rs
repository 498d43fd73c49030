//! Where a client is, behind load balancers that are trusted to say so: by `Forwarded` (RFC 7239),
//! `X-Forwarded-For`, or the PROXY protocol, version 2. What others say is not looked at.

use std::{io, net::SocketAddr, time::Duration};

use http::{HeaderMap, HeaderName, header};
use ppp::v2::{Addresses, Command, Header};
use tokio::{io::AsyncReadExt, net::TcpStream, time::timeout};

use crate::config::Proxies;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// Bytes of the PROXY protocol before what they announce.
const PREFIX: usize = 16;
/// Longest header that is read: addresses and some extensions.
const LONGEST: usize = 4096;

/// The address of a client, by what the load balancers on its way say. Each adds the address that it was
/// called from: they are read from the end, as long as it is trusted who says so.
pub(super) fn client_address(
    peer: SocketAddr,
    headers: &HeaderMap,
    proxies: &Proxies,
) -> SocketAddr {
    let mut client = peer;
    for said in said_addresses(headers).into_iter().rev() {
        if !proxies.trusts(client.ip()) {
            break;
        }
        let Some(address) = said else { break };
        client = address;
    }
    client
}

/// The addresses in the order in which they were added; none for what is no address, such as `unknown`.
fn said_addresses(headers: &HeaderMap) -> Vec<Option<SocketAddr>> {
    let values = |name| {
        let values = headers.get_all(name).iter();
        values.flat_map(|value| value.to_str().unwrap_or_default().split(','))
    };
    let forwarded: Vec<_> = values(header::FORWARDED)
        .map(|element| {
            let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
            let mut nodes = pairs.filter(|(name, _)| name.eq_ignore_ascii_case("for"));
            address(nodes.next()?.1)
        })
        .collect();
    if forwarded.is_empty() { values(X_FORWARDED_FOR).map(address).collect() } else { forwarded }
}

/// `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]` or `"[2001:db8::1]:80"`.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, 0)))
}

/// Reads the header of the PROXY protocol from a connection of a load balancer that is trusted, and gives
/// the address of its client; that of the peer for others, and for checks of the load balancer itself.
pub(super) async fn proxied_address(
    stream: &mut TcpStream,
    peer: SocketAddr,
    proxies: &Proxies,
    patience: Duration,
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
    let header = timeout(patience, header).await??;
    let header = Header::try_from(&header[..]).map_err(io::Error::other)?;
    Ok(match (header.command, header.addresses) {
        (Command::Proxy, Addresses::IPv4(way)) => (way.source_address, way.source_port).into(),
        (Command::Proxy, Addresses::IPv6(way)) => (way.source_address, way.source_port).into(),
        _ => peer,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Network;

    fn seen(peer: &str, headers: &[(&str, &str)]) -> String {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        let trusted =
            trusted.map(|network| Network::try_from(network.to_owned()).unwrap()).to_vec();
        let proxies = Proxies { trusted, proxy_protocol: false };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        client_address(peer.parse().unwrap(), &map, &proxies).ip().to_string()
    }

    #[test]
    fn only_who_is_trusted_is_believed() {
        let said = [("x-forwarded-for", "192.0.2.1, 198.51.100.7")];
        assert_eq!(seen("203.0.113.5:1", &said), "203.0.113.5");
        assert_eq!(
            seen("10.0.0.1:1", &said),
            "198.51.100.7",
            "the client may have made up the first"
        );
        assert_eq!(seen("[::ffff:10.0.0.1]:1", &said), "198.51.100.7");
        let chain =
            [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "198.51.100.7, 10.9.9.9")];
        assert_eq!(seen("10.0.0.1:1", &chain), "198.51.100.7");
        assert_eq!(seen("10.0.0.1:1", &[("x-forwarded-for", "10.1.1.1, 10.2.2.2")]), "10.1.1.1");
    }

    #[test]
    fn the_standard_header_comes_first_in_all_its_forms() {
        for (forwarded, client) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db9:cafe::17]:4711\"", "2001:db9:cafe::17"),
            ("for=192.0.2.43, for=\"[2001:db8::5]\"", "192.0.2.43"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden, for=198.51.100.17:80", "198.51.100.17"),
            ("proto=https", "10.0.0.1"),
        ] {
            let headers = [("forwarded", forwarded), ("x-forwarded-for", "192.0.2.99")];
            assert_eq!(seen("10.0.0.1:1", &headers), client, "{forwarded}");
        }
    }
}
