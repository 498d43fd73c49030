//! The API server, as the service account of the pod may ask it.

use std::{fs, future::Future, sync::Arc};

use kube::{Client, Config, config::AuthInfo};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use tokio::runtime::Handle;

use super::{
    Environment, SetupError,
    calls::{Call, CallError, Calls, PATIENCE},
};

/// The way to the API server. Clones are the same.
#[derive(Clone)]
pub struct Api {
    client: Client,
    environment: Arc<Environment>,
    calls: Arc<Calls>,
}

impl Api {
    /// To that of this environment. Nothing is sent yet. Must be called within a runtime.
    ///
    /// # Errors
    /// If the service account's files make no sense.
    pub fn new(environment: Environment) -> Result<Self, SetupError> {
        Handle::try_current().map_err(|_| SetupError::NoRuntime)?;
        let config = config(&environment)?;
        let client = Client::try_from(config).map_err(|error| SetupError::Client(error.into()))?;
        Ok(Self { client, environment: Arc::new(environment), calls: Arc::default() })
    }

    /// The client, for what is not one request: watches.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Where the pod is, and who.
    pub fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Makes a request.
    ///
    /// # Errors
    /// If the API server refuses it, fails, or is away; the log has it then.
    pub async fn call<T>(
        &self,
        call: Call,
        request: impl Future<Output = kube::Result<T>>,
    ) -> Result<T, CallError> {
        self.calls.make(call, request).await
    }

    /// Notes what came of a request that was not made by [`Self::call`].
    pub fn note(&self, call: Call, error: Option<&CallError>) {
        self.calls.note(call, error);
    }
}

/// Where the server is, how it proves who it is, and how the pod does. The token is read from its file again before it
/// ends.
fn config(environment: &Environment) -> Result<Config, SetupError> {
    let file = &environment.authorities;
    let failed = |error| SetupError::Account { file: file.clone(), error };
    let pem = fs::read(file).map_err(failed)?;
    let authorities: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(&pem).map(|found| found.map(|der| der.to_vec())).collect();
    let authorities = authorities.ok().filter(|found| !found.is_empty());
    let authorities = authorities.ok_or_else(|| SetupError::Authorities(file.clone()))?;
    let mut config = Config::new(environment.server.clone());
    config.default_namespace = environment.namespace.clone();
    config.root_cert = Some(authorities);
    // Of a single request, its own wait ends before; of a watch this one does.
    config.connect_timeout = Some(PATIENCE * 2);
    config.auth_info = AuthInfo {
        token_file: Some(environment.token.display().to_string()),
        ..AuthInfo::default()
    };
    Ok(config)
}
