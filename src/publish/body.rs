//! Reads what a request says.

use serde::de::DeserializeOwned;

use super::ApiError;

/// The body of a request, as JSON. `what` it is not tells the caller what was expected.
pub(super) fn parse<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, ApiError> {
    serde_json::from_slice(body)
        .map_err(|error| ApiError::InvalidRequest(format!("the body is {what}: {error}")))
}

/// The parameters of a query that may be given: some once, some as often as one likes.
#[derive(Debug, Default)]
pub(super) struct Parameters {
    pub namespace: Option<String>,
    pub room: Vec<String>,
    pub except: Vec<String>,
}

impl Parameters {
    /// Reads a query, which may use the named parameters only.
    pub fn read(query: Option<&str>, known: &[&str]) -> Result<Self, ApiError> {
        let mut parameters = Self::default();
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            let value = value.into_owned();
            match &*name {
                name if !known.contains(&name) => {
                    let known = known.join(", ");
                    let message = format!("{name}: unknown parameter; known here: {known}");
                    return Err(ApiError::InvalidRequest(message));
                }
                "room" => parameters.room.push(value),
                "except" => parameters.except.push(value),
                _ => parameters.namespace = Some(value),
            }
        }
        Ok(parameters)
    }

    pub fn namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or("/")
    }
}
