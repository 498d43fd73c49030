//! Which new sessions a pod takes. The checks come in the order of the refusals below, each with a code and
//! a counter of its own; a session that is there already is never asked again.
//!
//! The rate comes last: what is refused anyway must not take the place of those that would be let in. It has a rate
//! of its own, over which it is told so.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    num::NonZeroU32,
    sync::Arc,
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{HeaderMap, header};
use parking_lot::Mutex;

use super::{handshake::Refusal, pages::Pages, program::Program, sessions::Sessions};
use crate::{config, drain::Lifecycle};

/// What is asked before a session begins.
pub struct Admission {
    lifecycle: Lifecycle,
    sessions: Arc<Sessions>,
    settings: config::Admission,
    pages: Pages,
    rate: Option<DefaultDirectRateLimiter>,
    /// Of those that are refused for another reason.
    refused: Option<DefaultDirectRateLimiter>,
    addresses: Arc<Addresses>,
    /// What the program says.
    pub(super) program: Program,
}

impl Admission {
    /// That of a pod.
    pub fn new(
        settings: &config::Admission,
        lifecycle: Lifecycle,
        sessions: Arc<Sessions>,
        program: Program,
    ) -> Self {
        let limiter = |rate: u32, burst: u32| {
            let rate = NonZeroU32::new(rate)?;
            let burst = NonZeroU32::new(burst).unwrap_or(rate);
            Some(RateLimiter::direct(Quota::per_second(rate).allow_burst(burst)))
        };
        let rate = limiter(settings.rate, settings.burst);
        let refused = match settings.refused_rate {
            0 => limiter(settings.rate, settings.burst),
            own => limiter(own, 0),
        };
        let (settings, pages) = (settings.clone(), Pages::new(&settings.origins));
        let addresses = Arc::default();
        Self { lifecycle, sessions, settings, pages, rate, refused, addresses, program }
    }

    /// Lets a new session in, or says why not. What it gives is kept as long as the session.
    pub(super) fn admit(
        &self,
        client: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<Option<Place>, Refusal> {
        if !self.lifecycle.accepts_sessions() {
            return Err(Refusal::Draining);
        }
        let most = self.settings.max_connections;
        if most > 0 && self.sessions.open() >= most {
            return Err(Refusal::ConnectionLimit);
        }
        if self.sessions.is_over_memory() {
            return Err(Refusal::MemoryLimit);
        }
        let place = self.addresses.enter(client.ip(), self.settings.max_per_address);
        let place = place.map_err(|refusal| self.refuse(refusal))?;
        if !self.allows(headers) {
            return Err(self.refuse(Refusal::OriginDenied));
        }
        // Last: see the head of this file. The place is given back with the refusal.
        if self.rate.as_ref().is_some_and(|rate| rate.check().is_err()) {
            return Err(Refusal::RateLimited);
        }
        Ok(place)
    }

    /// What a client is told that asks for a new session and cannot have one: why, as long as not too many are.
    pub(super) fn refuse(&self, refusal: Refusal) -> Refusal {
        match &self.refused {
            Some(rate) if rate.check().is_err() => Refusal::RateLimited,
            _ => refusal,
        }
    }

    /// A client that is no browser sends no origin.
    fn allows(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN);
        self.pages.is_empty() || origin.is_none_or(|origin| self.pages.have(origin))
    }

    /// Whether the pod has so many connections that others should get the next ones.
    pub fn is_full(&self) -> bool {
        let most = self.settings.max_connections as f64 * self.settings.ready_share;
        most > 0.0 && self.sessions.open() as f64 >= most
    }
}

/// Connections by client address.
#[derive(Debug, Default)]
struct Addresses(Mutex<HashMap<IpAddr, u32>>);

/// One of the connections that an address may have.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Arc<Addresses>,
    address: IpAddr,
}

impl Addresses {
    fn enter(self: &Arc<Self>, address: IpAddr, most: u32) -> Result<Option<Place>, Refusal> {
        if most == 0 {
            return Ok(None);
        }
        let address = subscriber(address);
        let mut counts = self.0.lock();
        let count = counts.entry(address).or_default();
        if *count >= most {
            return Err(Refusal::AddressLimit);
        }
        *count += 1;
        Ok(Some(Place { addresses: self.clone(), address }))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.addresses.0.lock();
        if let Some(count) = counts.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.address);
            }
        }
    }
}

/// Who has IPv6 has a network of it: its first 64 bits say who it is.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Arc::<Addresses>::default();
        let [one, same, other]: [IpAddr; 3] =
            ["2001:db8::1", "2001:db8::2", "2001:db8:0:1::1"].map(|text| text.parse().unwrap());
        let first = addresses.enter(one, 2).unwrap();
        let _second = addresses.enter(same, 2).unwrap();
        assert_eq!(addresses.enter(one, 2).unwrap_err(), Refusal::AddressLimit);
        assert!(addresses.enter(other, 2).is_ok());
        drop(first);
        assert!(addresses.enter(same, 2).is_ok());
    }

    #[test]
    fn nothing_is_kept_of_addresses_that_have_left() {
        let addresses = Arc::<Addresses>::default();
        drop(addresses.enter([10, 0, 0, 1].into(), 1).unwrap());
        assert!(addresses.0.lock().is_empty());
    }
}
