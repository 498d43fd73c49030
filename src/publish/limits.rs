//! What one request may name at most.

use serde::{Deserialize, Deserializer};

use super::ApiError;

/// Most rooms in one list.
const MAX_ROOMS: usize = 1000;

/// Reads a list that may be left out. `null` is an empty one, as Go writes a nil slice: only the list that is not
/// there means everyone.
pub(super) fn list<'de, D: Deserializer<'de>>(input: D) -> Result<Option<Vec<String>>, D::Error> {
    Ok(Some(Option::deserialize(input)?.unwrap_or_default()))
}

/// Makes sure that a list of rooms means what its sender thinks it does.
pub(super) fn check_rooms(key: &str, rooms: Option<&[String]>) -> Result<(), ApiError> {
    let invalid = |message: String| Err(ApiError::InvalidRequest(message));
    match rooms {
        // A list that came out empty must not reach everyone.
        Some([]) if key != "except" => {
            invalid(format!("{key}: is empty or null; leave it out to reach the whole namespace"))
        }
        Some(rooms) if rooms.len() > MAX_ROOMS => invalid(format!("{key}: at most {MAX_ROOMS}")),
        _ => Ok(()),
    }
}
