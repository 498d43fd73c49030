//! Where other pods reach this one: at its internal listener, by an address that leads there from elsewhere.

use std::{
    env,
    net::{IpAddr, SocketAddr},
    sync::OnceLock,
};

use crate::config::{Advertised, Internal};

/// Where Kubernetes' Downward API puts the address of a pod, by custom (`status.podIP`).
const POD_IP: &str = "POD_IP";

/// The address of a pod. It lives as long as the pod, and is set once.
#[derive(Debug, Default)]
pub(crate) struct Address {
    /// What the internal listener is bound to.
    listening: OnceLock<Vec<SocketAddr>>,
    /// Host and port for other pods. Not known yet, where the pod listens on all addresses and nobody has said which
    /// of them the others see.
    known: OnceLock<String>,
}

impl Address {
    /// The listener is bound.
    pub fn listens(&self, settings: &Internal, listening: Vec<SocketAddr>) {
        if let Some(address) = address(settings, &listening, pod_ip) {
            let _ = self.known.set(address);
        }
        let _ = self.listening.set(listening);
    }

    /// Whether [`Self::is_at`] is to tell.
    pub fn is_open(&self) -> bool {
        self.known.get().is_none()
    }

    /// This address of the machine is one that others see.
    pub fn is_at(&self, ip: IpAddr) {
        let listening = self.listening.get().map(Vec::as_slice).unwrap_or_default();
        let address = at(listening, ip);
        tracing::info!(
            address,
            "other pods reach this one at its address on the way to Redis; internal.advertise names another"
        );
        let _ = self.known.set(address);
    }

    /// Host and port; until others can reach it, those that it listens on.
    pub fn get(&self) -> String {
        let first = || self.listening.get()?.first().map(ToString::to_string);
        self.known.get().cloned().or_else(first).unwrap_or_default()
    }
}

/// What is known before the pod has met anybody.
fn address(
    settings: &Internal,
    listening: &[SocketAddr],
    pod_ip: impl FnOnce() -> Option<IpAddr>,
) -> Option<String> {
    match settings.advertised() {
        Some(Advertised::Whole(address)) => return Some(address),
        Some(Advertised::Address(ip)) => return Some(at(listening, ip)),
        None => {}
    }
    let seen =
        |address: &&SocketAddr| !address.ip().is_unspecified() && !address.ip().is_loopback();
    if let Some(address) = listening.iter().find(seen) {
        return Some(address.to_string());
    }
    if listening.iter().any(|address| address.ip().is_unspecified()) {
        return pod_ip().map(|ip| at(listening, ip));
    }
    listening.first().map(ToString::to_string)
}

/// An address with the port on which it is listened to.
fn at(listening: &[SocketAddr], ip: IpAddr) -> String {
    let of_its_kind = |address: &&SocketAddr| address.is_ipv6() == ip.is_ipv6();
    let listener = listening.iter().find(of_its_kind).or(listening.first());
    SocketAddr::new(ip, listener.map_or(0, SocketAddr::port)).to_string()
}

fn pod_ip() -> Option<IpAddr> {
    let text = env::var(POD_IP).ok().filter(|text| !text.is_empty())?;
    let ip = text.parse().ok();
    if ip.is_none() {
        tracing::warn!(
            POD_IP = text,
            "no IP address, and not used; set it from status.podIP, or internal.advertise"
        );
    }
    ip
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ALL: [&str; 2] = ["0.0.0.0:9000", "[::]:9001"];

    fn known(advertise: &str, listen: &[&str], pod_ip: Option<&str>) -> Option<String> {
        let listen: Vec<SocketAddr> = listen.iter().map(|text| text.parse().unwrap()).collect();
        let settings = Internal { listen: listen.clone(), advertise: advertise.into() };
        address(&settings, &listen, || pod_ip.map(|text| text.parse().unwrap()))
    }

    #[test]
    fn what_is_said_counts_before_what_is_found() {
        for (advertise, listen, pod_ip, expected) in [
            ("pod:1", &ALL[..], Some("10.0.0.2"), Some("pod:1")),
            ("10.0.0.1", &ALL, Some("10.0.0.2"), Some("10.0.0.1:9000")),
            ("fd00::1", &ALL, None, Some("[fd00::1]:9001")),
            ("", &ALL, Some("10.0.0.2"), Some("10.0.0.2:9000")),
            ("", &ALL, Some("fd00::2"), Some("[fd00::2]:9001")),
            ("", &ALL, None, None),
            ("", &["127.0.0.1:1", "10.0.0.3:2"], Some("10.0.0.2"), Some("10.0.0.3:2")),
            ("", &["127.0.0.1:1"], Some("10.0.0.2"), Some("127.0.0.1:1")),
        ] {
            assert_eq!(
                known(advertise, listen, pod_ip).as_deref(),
                expected,
                "{advertise} {listen:?}"
            );
        }
    }

    #[test]
    fn an_address_that_is_found_later_gets_the_port_of_its_listener() {
        let address = Address::default();
        let listen: Vec<SocketAddr> = ALL.iter().map(|text| text.parse().unwrap()).collect();
        address.listening.set(listen).unwrap();
        assert!(address.is_open());
        assert_eq!(address.get(), "0.0.0.0:9000");
        address.is_at("fd00::7".parse().unwrap());
        assert!(!address.is_open());
        assert_eq!(address.get(), "[fd00::7]:9001");
    }
}
