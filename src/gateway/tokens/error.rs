//! Why a token is refused, and why keys cannot be had.

/// Why a token is not accepted. The client is told `token_invalid` and no more; the log and
/// `roomcast_token_checks_total` have the [reason](TokenError::reason).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is no token: not three parts, no JSON, a claim of another type than the standard says.
    #[error("it is no JSON Web Token")]
    Malformed,
    /// It is longer than `auth.jwt.max_token`.
    #[error("it is longer than auth.jwt.max_token")]
    TooLarge,
    /// It is signed in a way that no key is for, or that the settings exclude, or not at all.
    #[error("no key is for its algorithm")]
    Algorithm,
    /// It names a key that is not there.
    #[error("it names a key that is not there")]
    UnknownKey,
    /// There is no key set yet that it could be checked with.
    #[error("the key set has not been fetched yet")]
    KeysUnavailable,
    /// No key made its signature.
    #[error("its signature is wrong")]
    Signature,
    /// `exp` has passed.
    #[error("it has expired")]
    Expired,
    /// It has no `exp`, and must have one.
    #[error("it does not say when it expires")]
    NoExpiry,
    /// `nbf` is still to come.
    #[error("it is not valid yet")]
    NotYetValid,
    /// `iss` is none of `auth.jwt.issuer`.
    #[error("it is of another issuer")]
    Issuer,
    /// `aud` names none of `auth.jwt.audience`.
    #[error("it is for another audience")]
    Audience,
}

impl TokenError {
    /// A short name that does not change, for metrics and the log.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::KeysUnavailable => "keys_unavailable",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NoExpiry => "no_expiry",
            Self::NotYetValid => "not_yet_valid",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
        }
    }

    #[cfg(test)]
    pub(super) const ALL: [Self; 11] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Algorithm,
        Self::UnknownKey,
        Self::KeysUnavailable,
        Self::Signature,
        Self::Expired,
        Self::NoExpiry,
        Self::NotYetValid,
        Self::Issuer,
        Self::Audience,
    ];
}

impl From<&jsonwebtoken::errors::Error> for TokenError {
    fn from(error: &jsonwebtoken::errors::Error) -> Self {
        use jsonwebtoken::errors::ErrorKind;
        match error.kind() {
            ErrorKind::InvalidSignature => Self::Signature,
            ErrorKind::InvalidAlgorithm => Self::Algorithm,
            ErrorKind::ExpiredSignature => Self::Expired,
            ErrorKind::ImmatureSignature => Self::NotYetValid,
            ErrorKind::InvalidIssuer => Self::Issuer,
            ErrorKind::InvalidAudience => Self::Audience,
            ErrorKind::MissingRequiredClaim(claim) => match &claim[..] {
                "iss" => Self::Issuer,
                "aud" => Self::Audience,
                _ => Self::NoExpiry,
            },
            _ => Self::Malformed,
        }
    }
}

/// The keys of the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokensError {
    /// A file with keys or certificates.
    #[error("{key} = {file:?}: {problem}")]
    File {
        /// The setting.
        key: &'static str,
        /// The file.
        file: String,
        /// What is wrong, and what to do.
        problem: String,
    },
    /// The address of the key set.
    #[error("auth.jwt.jwks_url: {0}")]
    Address(&'static str),
    /// Requests for the key set cannot be made at all.
    #[error("the key set cannot be fetched: {0}")]
    Client(#[source] reqwest::Error),
}

/// A token cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// Tokens of public keys are made by who has the private one.
    #[error(
        "auth.jwt.secret is not set: this configuration only checks tokens, and their issuer makes \
         them; add a secret beside the other keys to make some for development"
    )]
    NoSecret,
    /// The settings exclude what a secret can sign with.
    #[error("auth.jwt.algorithms has none of HS256, HS384 and HS512, which a secret signs with")]
    NoAlgorithm,
    /// It would end in the second in which it is made.
    #[error(
        "a token that is valid for {0:?} has ended before it is used: make it valid for 1s or more"
    )]
    Ttl(std::time::Duration),
    /// The same configuration would not accept it.
    #[error("a pod with this configuration would refuse the token: {0}")]
    Refused(TokenError),
    /// The token cannot be written.
    #[error(transparent)]
    Encode(#[from] jsonwebtoken::errors::Error),
}
