//! The address of a client behind load balancers that are trusted to say it, by the header that they are known to write.
//! What others say is not looked at.

use std::net::SocketAddr;

use http::{HeaderMap, HeaderName, header};

use crate::config::{Proxies, ProxyHeader};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The address of a client, as far as trusted load balancers say it.
pub(crate) struct ClientAddr {
    pub address: SocketAddr,
    /// It came over TLS, by the word of a load balancer.
    pub secure: bool,
}

/// What one load balancer says of who called it.
struct Hop {
    /// None for what is no address, such as `unknown`.
    address: Option<SocketAddr>,
    secure: bool,
}

/// The address of a client. Each load balancer adds the address that it was called from. So the addresses are read from
/// the end, as long as the load balancer that added one is trusted.
pub(crate) fn client_addr(peer: SocketAddr, headers: &HeaderMap, proxies: &Proxies) -> ClientAddr {
    let mut client_addr = ClientAddr { address: peer, secure: false };
    if !proxies.trusts(peer.ip()) {
        return client_addr;
    }
    let hops = match proxies.header {
        ProxyHeader::XForwardedFor => x_forwarded(headers),
        ProxyHeader::Forwarded => values(headers, &header::FORWARDED).map(forwarded).collect(),
    };
    for hop in hops.into_iter().rev() {
        if !proxies.trusts(client_addr.address.ip()) {
            break;
        }
        client_addr.secure = hop.secure;
        let Some(address) = hop.address else { break };
        client_addr.address = address;
    }
    client_addr
}

/// The elements of a list, over all lines of its header. One that is no text, which a client can send, does not hide what
/// a load balancer has put behind it.
fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(name).iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    elements.map(|element| std::str::from_utf8(element).unwrap_or_default())
}

/// The hops in the order in which they were added. Most load balancers set the protocol and add the address: where there
/// are fewer protocols, the first is for all before it.
fn x_forwarded(headers: &HeaderMap) -> Vec<Hop> {
    let addresses: Vec<_> = values(headers, &X_FORWARDED_FOR).map(address).collect();
    let secure: Vec<_> = values(headers, &X_FORWARDED_PROTO).map(is_secure).collect();
    let count = addresses.len().max(1);
    let hop = |index: usize| Hop {
        address: addresses.get(index).copied().flatten(),
        secure: secure.get(secure.len().saturating_sub(count - index)) == Some(&true),
    };
    (0..count).map(hop).collect()
}

/// One element of `Forwarded`: `for=192.0.2.60;proto=https`.
fn forwarded(element: &str) -> Hop {
    let value = |wanted: &str| {
        let mut pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    Hop { address: value("for").and_then(address), secure: value("proto").is_some_and(is_secure) }
}

fn is_secure(protocol: &str) -> bool {
    let protocol = protocol.trim().trim_matches('"');
    protocol.eq_ignore_ascii_case("https") || protocol.eq_ignore_ascii_case("wss")
}

/// `10.0.0.1`, `10.0.0.1:80`, `2001:db8::1`, `[2001:db8::1]` or `"[2001:db8::1]:80"`.
fn address(text: &str) -> Option<SocketAddr> {
    let text = text.trim().trim_matches('"');
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    text.parse().ok().or_else(|| Some(SocketAddr::new(bare.parse().ok()?, 0)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use http::HeaderValue;

    use super::*;
    use crate::config::Network;

    fn found(header: ProxyHeader, peer: &str, headers: &[(&str, &str)]) -> (String, bool) {
        let trusted = ["10.0.0.0/8", "2001:db8::/32"];
        let trusted =
            trusted.map(|network| Network::try_from(network.to_owned()).unwrap()).to_vec();
        let proxies = Proxies { trusted, header, proxy_protocol: false };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
            map.append(HeaderName::try_from(*name).unwrap(), value);
        }
        let client_addr = client_addr(peer.parse().unwrap(), &map, &proxies);
        (client_addr.address.ip().to_string(), client_addr.secure)
    }

    fn seen(peer: &str, headers: &[(&str, &str)]) -> String {
        found(ProxyHeader::XForwardedFor, peer, headers).0
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
        let garbled = [("x-forwarded-for", "caf\u{e9}, 198.51.100.7")];
        assert_eq!(seen("10.0.0.1:1", &garbled), "198.51.100.7");
        let chain =
            [("x-forwarded-for", "192.0.2.1"), ("x-forwarded-for", "198.51.100.7, 10.9.9.9")];
        assert_eq!(seen("10.0.0.1:1", &chain), "198.51.100.7");
        assert_eq!(seen("10.0.0.1:1", &[("x-forwarded-for", "10.1.1.1, 10.2.2.2")]), "10.1.1.1");
    }

    #[test]
    fn a_header_that_load_balancers_pass_on_is_not_believed() {
        let made_up =
            [("forwarded", "for=192.0.2.99;proto=https"), ("x-forwarded-for", "192.0.2.1")];
        let client = found(ProxyHeader::XForwardedFor, "10.0.0.1:1", &made_up);
        assert_eq!(client, ("192.0.2.1".to_owned(), false));
        let made_up = [
            ("x-forwarded-for", "192.0.2.99"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=192.0.2.1"),
        ];
        let client = found(ProxyHeader::Forwarded, "10.0.0.1:1", &made_up);
        assert_eq!(client, ("192.0.2.1".to_owned(), false));
    }

    #[test]
    fn the_standard_header_is_read_in_all_its_forms() {
        for (forwarded, client) in [
            ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
            ("For=\"[2001:db9:cafe::17]:4711\"", "2001:db9:cafe::17"),
            ("for=192.0.2.43, for=\"[2001:db8::5]\"", "192.0.2.43"),
            ("for=unknown", "10.0.0.1"),
            ("for=_hidden, for=198.51.100.17:80", "198.51.100.17"),
            ("proto=https", "10.0.0.1"),
        ] {
            let headers = [("forwarded", forwarded), ("x-forwarded-for", "192.0.2.99")];
            let found = found(ProxyHeader::Forwarded, "10.0.0.1:1", &headers);
            assert_eq!(found.0, client, "{forwarded}");
        }
    }

    #[test]
    fn tls_before_the_first_trusted_load_balancer_is_seen() {
        for (value, secure) in [
            ("for=1.2.3.4;proto=https, for=10.0.0.1;proto=http", true),
            ("for=9.9.9.9;proto=https, for=1.2.3.4;Proto=\"HTTP\"", false),
            ("proto=https", true),
        ] {
            let found = found(ProxyHeader::Forwarded, "10.0.0.1:1", &[("forwarded", value)]);
            assert_eq!(found.1, secure, "{value}");
        }
        for (addresses, protocols, secure) in [
            ("1.2.3.4", "https", true),
            ("1.2.3.4", "http", false),
            ("1.2.3.4, 10.0.0.2", "https", true),
            ("1.2.3.4, 10.0.0.2", "https, http", true),
            ("9.9.9.9, 1.2.3.4", "https, http", false),
            ("", "wss", true),
        ] {
            let headers = [("x-forwarded-for", addresses), ("x-forwarded-proto", protocols)];
            let found = found(ProxyHeader::XForwardedFor, "10.0.0.1:1", &headers);
            assert_eq!(found.1, secure, "{addresses}: {protocols}");
        }
        let untrusted = [("x-forwarded-proto", "https")];
        assert!(!found(ProxyHeader::XForwardedFor, "192.0.2.1:1", &untrusted).1);
    }
}
