//! Takes the arguments of an event from one encoding to the other, in one pass.
//!
//! Between pods they travel as msgpack with binary values in it, as `@socket.io/redis-adapter`
//! sends them; clients get JSON text with placeholders, and the binary as attachments. A tree of
//! the document in between would cost two to three times as much.
//!
//! What a pod reads here comes from the network: no nesting ends the stack, and no claimed length
//! is believed before the bytes are there.

mod date;
mod legacy;
mod portable;
mod reader;
mod to_json;
mod to_msgpack;

pub use legacy::with_legacy_dates;
pub use portable::{Bounds, Unportable, check, check_json, check_msgpack};
pub use reader::{Reader, Token, contains_binary};
pub use to_json::{msgpack_to_json, msgpack_value_to_json};
pub use to_msgpack::{json_to_msgpack, mend_surrogates};

/// Arrays and maps in one another. The limit of `serde_json`, so that both ways have the same.
const MAX_DEPTH: usize = 127;

/// Up to here every whole number is a float of its own, and JavaScript counts without gaps.
const MAX_SAFE_INTEGER: f64 = 9_007_199_254_740_991.0;

/// The keys of a placeholder, which stands for an attachment (`socket.io-parser`, `lib/binary.ts`).
const PLACEHOLDER: &str = "_placeholder";
const NUMBER: &str = "num";

/// Something cannot be written in the other encoding.
#[derive(Debug, thiserror::Error)]
pub enum TranscodeError {
    /// The text is no JSON, is nested too deep, or has a placeholder without an attachment.
    #[error("not JSON that can be sent to other pods: {0}")]
    Json(#[from] serde_json::Error),
    /// A value, or the length that it claims, goes beyond the end.
    #[error("msgpack that ends in the middle of a value")]
    Truncated,
    /// There is more than one value.
    #[error("{0} bytes behind the end of the msgpack value")]
    Trailing(usize),
    /// Too many arrays and maps in one another.
    #[error("msgpack nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// A value is of another kind than the one that belongs in its place.
    #[error("msgpack with {found} in the place of {expected}")]
    Unexpected {
        /// The kind that belongs there.
        expected: &'static str,
        /// The kind that is there.
        found: &'static str,
    },
    /// Text that must be a name, and is not UTF-8.
    #[error("msgpack with a name that is not UTF-8")]
    Utf8,
    /// An extension that no Socket.IO library sends.
    #[error("msgpack with an extension of type {0}")]
    Extension(i8),
    /// The byte 0xc1, which begins no value.
    #[error("msgpack with the byte 0xc1, which is never used")]
    Reserved,
    /// A plain object looks like a placeholder, next to real ones. Clients would look for its
    /// attachment, and close when there is none.
    #[error("msgpack with binary, and an object that clients would take for a placeholder")]
    FalsePlaceholder,
}

#[cfg(test)]
mod tests;
