//! How people write durations, sizes, addresses and secrets: what is read, and the schema of it.
//!
//! `As…` stands in `#[serde(with = "…")]` of a field, which serde and schemars both look at.

use std::{borrow::Cow, fmt, marker::PhantomData, net::SocketAddr, time::Duration};

use bytesize::ByteSize;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeOwned, SeqAccess, Visitor, value::SeqAccessDeserializer},
};
use url::Url;

/// A duration, as `humantime` reads it; for the dialects of regular expressions of JavaScript, Go and Rust alike.
const DURATION: &str = r"^(0|(\s*[0-9][0-9\s]*(\.[0-9\s]*[0-9][0-9\s]*)?(nanos|nsec|ns|usec|us|µs|millis|msec|ms|seconds|second|secs|sec|s|minutes|minute|mins|min|m|hours|hour|hrs|hr|h|days|day|d|weeks|week|wks|wk|w|months|month|M|years|year|yrs|yr|y))+\s*)$";
/// A size, as `bytesize` reads it.
const SIZE: &str = r"\+?[0-9]+|([0-9]+\.?[0-9]*|\.[0-9]+)\s*([bB]|[kKmMgGtTpPeE][iI]?[bB]?)";
/// An IP address and a port.
const ADDRESS: &str = r"^([0-9.]+|\[[0-9A-Fa-f:.%]+\]):[0-9]+$";

/// Says what the schema of a type is that serde has no attributes for.
macro_rules! schema_of {
    ($type:ty, $schema:expr) => {
        impl schemars::JsonSchema for $type {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($type).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                $schema
            }
        }
    };
}
pub(super) use schema_of;

schema_of!(Secret, json_schema!({ "type": "string" }));
schema_of!(AsDuration, json_schema!({ "type": "string", "pattern": DURATION }));
schema_of!(AsOptionalDuration, json_schema!({ "type": "string", "pattern": DURATION }));
schema_of!(AsSize, size_schema());
schema_of!(AsOptionalSize, size_schema());
schema_of!(
    MemoryLimit,
    json_schema!({ "type": "string", "pattern": format!("^(auto|none|{SIZE})$") })
);

fn size_schema() -> Schema {
    json_schema!({ "type": ["integer", "string"], "minimum": 0, "pattern": format!("^({SIZE})$") })
}

/// A value that is never printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The secret itself, for comparing and signing only.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether it is not set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_empty() { "Secret(unset)" } else { "Secret(hidden)" })
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // A number is an error, not a secret: reading it as one would lose leading zeros.
        String::deserialize(deserializer).map(Self)
    }
}

/// `"25s"`, `"1m 30s"`.
pub(super) struct AsDuration;

impl AsDuration {
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        parsed(deserializer, "a duration with its unit, such as \"25s\" or \"250ms\"", |text| {
            humantime::parse_duration(text).ok()
        })
    }
}

/// A duration, for settings that have no default.
pub(super) struct AsOptionalDuration;

impl AsOptionalDuration {
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        AsDuration::deserialize(deserializer).map(Some)
    }
}

/// A size: `"1MB"`, or a number of bytes.
pub(super) struct AsSize;

impl AsSize {
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
        size(deserializer)
    }
}

/// A size, for settings that have no default.
pub(super) struct AsOptionalSize;

impl AsOptionalSize {
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<usize>, D::Error> {
        size(deserializer).map(Some)
    }
}

/// `"1MB"`, `"1MiB"`; a number alone is bytes, quoted or not: Node's maxHttpBufferSize is one, and so is what YAML,
/// `--set` and the environment make of digits.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<usize, D::Error> {
    struct Size;

    impl Visitor<'_> for Size {
        type Value = usize;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a size, such as \"1MB\", \"64KiB\" or 1000000 for as many bytes")
        }

        fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<usize, E> {
            usize::try_from(bytes)
                .map_err(|_| E::invalid_value(de::Unexpected::Unsigned(bytes), &self))
        }

        fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<usize, E> {
            usize::try_from(bytes)
                .map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<usize, E> {
            let size = text.parse::<ByteSize>().ok();
            size.and_then(|size| usize::try_from(size.as_u64()).ok())
                .ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
        }
    }

    deserializer.deserialize_any(Size)
}

/// How much memory a pod may have before it refuses new sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MemoryLimit {
    /// Four fifths of what its cgroup may have; no limit without one.
    Auto,
    /// No limit.
    None,
    /// So many bytes.
    Bytes(u64),
}

impl<'de> Deserialize<'de> for MemoryLimit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "\"auto\", \"none\", or a size with its unit, such as \"400MiB\"";
        parsed(deserializer, expected, |text| match text {
            "auto" => Some(Self::Auto),
            "none" => Some(Self::None),
            size => size.parse::<ByteSize>().ok().map(|size| Self::Bytes(size.as_u64())),
        })
    }
}

/// One `"ip:port"` or a list of them.
pub(super) struct AsAddresses;

struct Address(SocketAddr);

schema_of!(Address, json_schema!({ "type": "string", "pattern": ADDRESS }));

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let expected = "an IP address and a port, such as \"0.0.0.0:3000\" or \"[::]:3000\"";
        parsed(deserializer, expected, |text| text.parse().ok()).map(Self)
    }
}

impl AsAddresses {
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<SocketAddr>, D::Error> {
        let addresses: Vec<Address> = AsList::deserialize(deserializer)?;
        Ok(addresses.into_iter().map(|Address(address)| address).collect())
    }
}

impl JsonSchema for AsAddresses {
    fn schema_name() -> Cow<'static, str> {
        "Addresses".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        AsList::<Address>::json_schema(generator)
    }
}

/// One value, or a list of them.
pub(super) struct AsList<T>(PhantomData<T>);

impl<T: DeserializeOwned> AsList<T> {
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
        deserializer.deserialize_any(Self(PhantomData))
    }
}

impl<'de, T: DeserializeOwned> Visitor<'de> for AsList<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("one value or a list, as text in quotes")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Self::Value, E> {
        T::deserialize(de::IntoDeserializer::into_deserializer(value)).map(|one| vec![one])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Self::Value, A::Error> {
        Vec::deserialize(SeqAccessDeserializer::new(seq))
    }
}

impl<T: JsonSchema> JsonSchema for AsList<T> {
    fn schema_name() -> Cow<'static, str> {
        format!("List of {}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        if one.get("oneOf").is_some() || one.get("enum").is_some() {
            return json_schema!({ "anyOf": [one, { "type": "array", "items": one }] });
        }
        // Said once, not as two schemas of which one has to fit: what is wrong is then said of the value. One that is
        // alone is text.
        let pattern = one.get("pattern").cloned();
        let mut list = json_schema!({ "type": ["string", "array"], "items": one });
        if let Some(pattern) = pattern {
            list.insert("pattern".into(), pattern);
        }
        list
    }
}

/// Reads text and turns it into a value, or says what was expected.
pub(super) fn parsed<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    expected: &'static str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, D::Error> {
    let error = || de::Error::custom(format_args!("expected {expected}"));
    let text = String::deserialize(deserializer).map_err(|_| error())?;
    parse(&text).ok_or_else(error)
}

/// `https://host[:port]`, nothing behind it, as a browser puts it in `Origin`: in lower case, without the port that the
/// scheme has by itself. None for what no browser would send.
pub(crate) fn canonical_origin(text: &str) -> Option<String> {
    // The parser of URLs would mend some of what is no origin.
    let (scheme, rest) = text.split_once("://")?;
    let plain = |c: char| c.is_alphanumeric() || "-._:[]".contains(c);
    if scheme.contains(char::is_whitespace) || !rest.chars().all(plain) {
        return None;
    }
    let url = Url::parse(text).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?.to_lowercase();
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    Some(format!("{}://{host}{port}", url.scheme()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_what_a_browser_makes_of_it() {
        for (text, origin) in [
            ("https://app.example.com", "https://app.example.com"),
            ("HTTPS://APP.example.com:443", "https://app.example.com"),
            ("http://localhost:80", "http://localhost"),
            ("http://localhost:443", "http://localhost:443"),
            ("https://[2001:DB8::1]:8443", "https://[2001:db8::1]:8443"),
            ("https://b\u{fc}cher.example", "https://xn--bcher-kva.example"),
            ("capacitor://localhost", "capacitor://localhost"),
            ("chrome-extension://AbC", "chrome-extension://abc"),
        ] {
            assert_eq!(canonical_origin(text).as_deref(), Some(origin), "{text}");
        }
        for text in [
            "*",
            "https://*.example.com",
            "https://app.example.com/",
            "https://app.example.com/chat",
            "https://app.example.com?a",
            "https://user@app.example.com",
            "https://app.example.com:99999",
            " https://app.example.com",
            "https:///app",
            "https://",
            "app.example.com",
            "app.example.com:443",
            "null",
            "",
        ] {
            assert_eq!(canonical_origin(text), None, "{text}");
        }
    }
}
