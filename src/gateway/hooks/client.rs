//! The HTTP clients of hooks: one without TLS and one with it, made when a hook needs them. A pod whose hooks are
//! plain reads no certificates, which an image may not even have.

use std::fs;

use parking_lot::Mutex;
use reqwest::{Certificate, Client, ClientBuilder, redirect::Policy};

use super::HookSetupError;
use crate::config::{self, HookUrl};

/// How a pod names itself.
const USER_AGENT: &str = concat!("roomcast/", env!("CARGO_PKG_VERSION"));

/// The clients.
pub struct Clients {
    settings: config::Hooks,
    plain: Mutex<Option<Client>>,
    secure: Mutex<Option<Client>>,
}

impl Clients {
    /// None are made yet.
    pub fn new(settings: &config::Hooks) -> Self {
        Self { settings: settings.clone(), plain: Mutex::default(), secure: Mutex::default() }
    }

    /// The client for an address.
    pub fn client(&self, url: &HookUrl) -> Result<Client, HookSetupError> {
        let secure = url.is_secure();
        let mut slot = if secure { self.secure.lock() } else { self.plain.lock() };
        if let Some(client) = &*slot {
            return Ok(client.clone());
        }
        let builder = if secure {
            self.trusting()?
        } else {
            self.builder().tls_certs_only(std::iter::empty())
        };
        let client = builder.build().map_err(HookSetupError::Client)?;
        Ok(slot.insert(client).clone())
    }

    fn builder(&self) -> ClientBuilder {
        Client::builder()
            .user_agent(USER_AGENT)
            .connect_timeout(self.settings.connect_timeout)
            // Where hooks are is for the configuration to say, not for answers or the environment.
            .redirect(Policy::none())
            .no_proxy()
            .referer(false)
            .pool_idle_timeout(self.settings.idle_timeout)
            .pool_max_idle_per_host(self.settings.in_flight)
    }

    /// A client that believes the authorities of `ca_file`, or else those of the system.
    fn trusting(&self) -> Result<ClientBuilder, HookSetupError> {
        let file = &self.settings.ca_file;
        if file.is_empty() {
            return Ok(self.builder());
        }
        let failed = |error: &dyn std::fmt::Display| {
            HookSetupError::Certificates(format!("{file}: {error}"))
        };
        let pem = fs::read(file).map_err(|error| failed(&error))?;
        let authorities = Certificate::from_pem_bundle(&pem).map_err(|error| failed(&error))?;
        if authorities.is_empty() {
            return Err(failed(&"no certificate in it"));
        }
        Ok(self.builder().tls_certs_only(authorities))
    }
}
