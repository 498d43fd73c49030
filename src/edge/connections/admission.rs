//! Which new sessions a pod takes. The checks come in the order of the refusals below, each with a code and
//! a counter of its own; a session that is there already is never asked again.
//!
//! The rate comes last: what is refused anyway must not take the place of those that would be let in. It has a rate
//! of its own, over which it is told so.

use std::{
    net::SocketAddr,
    num::NonZeroU32,
    sync::{Arc, atomic::Ordering},
};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use http::{HeaderMap, header};

use super::{
    address_limit::{AddressLimit, AddressPermit, TooMany},
    sessions::Sessions,
};
use crate::{
    config,
    drain::Lifecycle,
    edge::requests::{
        allowed_origins::AllowedOrigins, request_error::RequestError, request_hooks::RequestHooks,
    },
};

/// What is asked before a session begins.
pub struct Admission {
    lifecycle: Lifecycle,
    sessions: Arc<Sessions>,
    settings: config::Admission,
    origins: AllowedOrigins,
    rate: Option<DefaultDirectRateLimiter>,
    /// Of those that are refused for another reason.
    refused: Option<DefaultDirectRateLimiter>,
    addresses: Arc<AddressLimit>,
    /// The hooks of an embedding program.
    pub(crate) hooks: RequestHooks,
}

impl Admission {
    /// That of a pod.
    pub fn new(
        settings: &config::Admission,
        lifecycle: Lifecycle,
        sessions: Arc<Sessions>,
        hooks: RequestHooks,
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
        let (settings, origins) = (settings.clone(), AllowedOrigins::new(&settings.origins));
        let addresses = Arc::default();
        Self { lifecycle, sessions, settings, origins, rate, refused, addresses, hooks }
    }

    /// Lets a new session in, or says why not. What it gives is kept as long as the session.
    pub(crate) fn admit(
        &self,
        client: SocketAddr,
        headers: &HeaderMap,
    ) -> Result<Option<AddressPermit>, RequestError> {
        if !self.lifecycle.accepts_sessions() {
            return Err(RequestError::Draining);
        }
        let most = self.settings.max_connections;
        if most > 0 && self.sessions.open() >= most {
            return Err(RequestError::ConnectionLimit);
        }
        if self.sessions.over_memory.load(Ordering::Relaxed) {
            return Err(RequestError::MemoryLimit);
        }
        let permit = self.addresses.acquire(client.ip(), self.settings.max_per_address);
        let permit = permit.map_err(|TooMany| self.refuse(RequestError::AddressLimit))?;
        if !self.allows(headers) {
            return Err(self.refuse(RequestError::OriginDenied));
        }
        // Last: see the head of this file. The permit is given back with the refusal.
        if self.rate.as_ref().is_some_and(|rate| rate.check().is_err()) {
            return Err(RequestError::RateLimited);
        }
        Ok(permit)
    }

    /// What a client is told that asks for a new session and cannot have one: why, as long as not too many are.
    pub(crate) fn refuse(&self, error: RequestError) -> RequestError {
        match &self.refused {
            Some(rate) if rate.check().is_err() => RequestError::RateLimited,
            _ => error,
        }
    }

    /// A client that is no browser sends no origin.
    fn allows(&self, headers: &HeaderMap) -> bool {
        let origin = headers.get(header::ORIGIN);
        self.origins.is_empty() || origin.is_none_or(|origin| self.origins.contains(origin))
    }

    /// Whether the pod has so many connections that others should get the next ones.
    pub fn is_full(&self) -> bool {
        let most = self.settings.max_connections as f64 * self.settings.ready_share;
        most > 0.0 && self.sessions.open() as f64 >= most
    }
}
