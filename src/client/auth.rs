//! What a socket sends with its CONNECT packet.

use std::{fmt, pin::Pin, sync::Arc};

/// The credentials of a socket: the stock client's `auth`.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Auth {
    /// None.
    #[default]
    None,
    /// The same each time.
    Fixed(serde_json::Value),
    /// Asked for each time: [`Auth::provider`].
    Provider(Arc<dyn Fn() -> AuthFuture + Send + Sync>),
}

impl Auth {
    /// Credentials that are asked for before each connection, such as tokens that expire. When it
    /// fails it is called again, after the delays of [`Backoff`](super::Backoff).
    pub fn provider<F, W>(provider: F) -> Self
    where
        F: Fn() -> W + Send + Sync + 'static,
        W: Future<Output = AuthResult> + Send + 'static,
    {
        Self::Provider(Arc::new(move || Box::pin(provider())))
    }
}

pub(super) type AuthResult = Result<serde_json::Value, Box<dyn std::error::Error + Send + Sync>>;
pub(super) type AuthFuture = Pin<Box<dyn Future<Output = AuthResult> + Send>>;

impl From<serde_json::Value> for Auth {
    fn from(auth: serde_json::Value) -> Self {
        Self::Fixed(auth)
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "Auth(none)",
            Self::Fixed(_) | Self::Provider(_) => "Auth(hidden)",
        })
    }
}
