//! The HTTP API: who may do what with it.

use std::{fmt, time::Duration};

use schemars::JsonSchema;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor, value::MapAccessDeserializer},
};

use super::{Problem, Secret, values};

/// Shortest key that cannot be guessed over the network.
const KEY_LENGTH: usize = 16;

/// The HTTP API.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Api {
    /// Accepted keys; those of `keys_file` are added when loaded.
    #[serde(with = "values::AsList::<ApiKey>")]
    pub keys: Vec<ApiKey>,
    /// A file with one key a line; empty for none.
    pub keys_file: String,
    /// Time for which an `Idempotency-Key` stands for its answer.
    #[serde(with = "values::AsDuration")]
    pub idempotency_ttl: Duration,
}

/// A key of the API, and what its bearer may do. Written as text, it may do everything.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
// Keywords of objects say nothing of text.
#[schemars(deny_unknown_fields, extend("type" = ["string", "object"]))]
pub struct ApiKey {
    /// The key itself.
    pub key: Secret,
    /// Keys with the same name are one caller's, as when a new one takes over: they share their idempotency keys. Empty for a
    /// caller of its own.
    #[schemars(default)]
    pub name: String,
    /// What it may do; empty for everything.
    #[schemars(default, with = "values::AsList::<ApiScope>")]
    pub scopes: Vec<ApiScope>,
    /// The namespaces in which it may; empty for all.
    #[schemars(default, with = "values::AsList::<String>")]
    pub namespaces: Vec<String>,
}

/// What a key may be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ApiScope {
    /// To emit events, alone and in batches.
    Emit,
    /// To ask for sockets, rooms, presence and pods.
    Read,
    /// To put sockets in rooms, and take them out.
    Rooms,
    /// To disconnect sockets.
    Disconnect,
    /// To drain a pod, and to give its connections away.
    Pod,
}

impl ApiScope {
    /// Its name in the settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Emit => "emit",
            Self::Read => "read",
            Self::Rooms => "rooms",
            Self::Disconnect => "disconnect",
            Self::Pod => "pod",
        }
    }
}

/// The paths of the API, each with what a key must be for. `None`: any key will do.
pub const API_ROUTES: &[(&str, Option<ApiScope>)] = &[
    ("/api/v1/emit", Some(ApiScope::Emit)),
    ("/api/v1/batch", Some(ApiScope::Emit)),
    ("/api/v1/sockets", Some(ApiScope::Read)),
    ("/api/v1/sockets/{id}", Some(ApiScope::Read)),
    ("/api/v1/sockets/disconnect", Some(ApiScope::Disconnect)),
    ("/api/v1/rooms", Some(ApiScope::Read)),
    ("/api/v1/rooms/join", Some(ApiScope::Rooms)),
    ("/api/v1/rooms/leave", Some(ApiScope::Rooms)),
    ("/api/v1/presence", Some(ApiScope::Read)),
    ("/api/v1/cluster", Some(ApiScope::Read)),
    // It says nothing that is not public.
    ("/api/v1/openapi.json", None),
    ("/api/v1/drain", Some(ApiScope::Pod)),
    ("/api/v1/rebalance", Some(ApiScope::Pod)),
];

impl ApiKey {
    /// A key for everything.
    pub fn new(key: impl Into<String>) -> Self {
        Self {
            key: Secret::new(key),
            name: String::new(),
            scopes: Vec::new(),
            namespaces: Vec::new(),
        }
    }

    /// Whether it is for something. A pod belongs to no namespace: a key for some of them is not for pods.
    pub fn is_for(&self, scope: ApiScope) -> bool {
        (self.scopes.is_empty() || self.scopes.contains(&scope))
            && (self.namespaces.is_empty() || scope != ApiScope::Pod)
    }

    /// Whether it is for a namespace.
    pub fn is_in(&self, namespace: &str) -> bool {
        self.namespaces.is_empty() || self.namespaces.iter().any(|known| known == namespace)
    }
}

impl<'de> Deserialize<'de> for ApiKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            key: Secret,
            #[serde(default)]
            name: String,
            #[serde(default, with = "values::AsList::<ApiScope>")]
            scopes: Vec<ApiScope>,
            #[serde(default, with = "values::AsList::<String>")]
            namespaces: Vec<String>,
        }

        struct Key;

        impl<'de> Visitor<'de> for Key {
            type Value = ApiKey;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key as text in quotes, or { key = \"…\", scopes = [\"emit\"], namespaces = [\"/\"] }")
            }

            // A number is an error, not a key: reading it as one would lose leading zeros.
            fn visit_str<E: de::Error>(self, key: &str) -> Result<ApiKey, E> {
                Ok(ApiKey::new(key))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ApiKey, A::Error> {
                let Table { key, name, scopes, namespaces } =
                    Table::deserialize(MapAccessDeserializer::new(map))?;
                Ok(ApiKey { key, name, scopes, namespaces })
            }
        }

        deserializer.deserialize_any(Key)
    }
}

impl Api {
    /// Reads the lines of `keys_file`: a key each, for everything, or with `name=`, `scopes=` and `namespaces=` behind it, whose
    /// lists have commas.
    pub(super) fn add_lines(&mut self, text: &str, problems: &mut Vec<Problem>) {
        let lines = text.lines().map(str::trim).enumerate().filter(|(_, line)| !line.is_empty());
        for (index, line) in lines {
            match read_line(line) {
                Ok(key) => self.keys.push(key),
                Err(wrong) => {
                    let remedy = format!(
                        "line {}: {wrong}; expected a key, and behind it nothing, or name=…, scopes=emit,read and namespaces=/,/chat",
                        index + 1
                    );
                    problems.push(Problem::new("api.keys_file", &self.keys_file, remedy));
                }
            }
        }
    }

    pub(super) fn check(&self, problems: &mut Vec<Problem>) {
        let sendable = |key: &Secret| key.expose().bytes().all(|byte| byte.is_ascii_graphic());
        if self.keys.iter().any(|key| key.key.is_empty() || !sendable(&key.key)) {
            let remedy = "a key is visible ASCII without spaces; `openssl rand -hex 24` makes one";
            problems.push(Problem::hidden("api.keys", remedy));
        }
        for key in &self.keys {
            if let Some(wrong) = key.namespaces.iter().find(|name| !name.starts_with('/')) {
                let remedy = "expected a namespace such as \"/\" or \"/chat\"";
                problems.push(Problem::new("api.keys.namespaces", wrong, remedy));
            }
            if !key.namespaces.is_empty() && key.scopes.contains(&ApiScope::Pod) {
                let remedy = "\"pod\" is of no namespace; leave out one of scopes = [\"pod\"] and namespaces";
                problems.push(Problem::new("api.keys.scopes", "pod", remedy));
            }
        }
        let twice = |(index, key): (usize, &ApiKey)| {
            self.keys[..index].iter().any(|other| other.key == key.key && other != key)
        };
        if self.keys.iter().enumerate().any(twice) {
            let remedy = "one key stands there twice, for different things; keep one of them";
            problems.push(Problem::hidden("api.keys", remedy));
        }
    }

    /// Keys that can be guessed.
    pub(super) fn find_insecure(&self, found: &mut Vec<Problem>) {
        let short = |key: &ApiKey| !key.key.is_empty() && key.key.expose().len() < KEY_LENGTH;
        if self.keys.iter().any(short) {
            let remedy = format!(
                "a key of less than {KEY_LENGTH} characters can be guessed; `openssl rand -hex 24` makes one"
            );
            found.push(Problem::hidden("api.keys", remedy));
        }
    }
}

fn read_line(line: &str) -> Result<ApiKey, &'static str> {
    let mut words = line.split_whitespace();
    let mut key = ApiKey::new(words.next().unwrap_or_default());
    for word in words {
        // What is wrong is not quoted: it may be a part of a key.
        let (what, value) = word.split_once('=').ok_or("something else stands behind the key")?;
        let list = value.split(',').map(str::to_owned);
        match what {
            "name" => key.name = value.to_owned(),
            "namespaces" => key.namespaces = list.collect(),
            "scopes" => {
                for scope in list {
                    let deserializer: de::value::StringDeserializer<de::value::Error> =
                        de::IntoDeserializer::into_deserializer(scope);
                    let scope = ApiScope::deserialize(deserializer);
                    key.scopes.push(scope.map_err(|_| "no such scope")?);
                }
            }
            _ => return Err("something else stands behind the key"),
        }
    }
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::Config;

    #[test]
    fn a_key_alone_is_for_everything_and_scopes_narrow_it() {
        let key = ApiKey::new("a-key-of-16-bytes");
        assert!(key.is_for(ApiScope::Pod) && key.is_for(ApiScope::Emit) && key.is_in("/any"));
        let narrow = ApiKey { scopes: vec![ApiScope::Emit], ..key.clone() };
        assert!(narrow.is_for(ApiScope::Emit) && !narrow.is_for(ApiScope::Read));
        let inside = ApiKey { namespaces: vec!["/chat".into()], ..key };
        assert!(inside.is_for(ApiScope::Disconnect) && !inside.is_for(ApiScope::Pod));
        assert!(inside.is_in("/chat") && !inside.is_in("/") && !inside.is_in("/chat2"));
    }

    #[test]
    fn lines_of_a_file_may_say_what_a_key_is_for() {
        let mut api = Config::defaults().api;
        let mut problems = Vec::new();
        let text = "first-key-of-the-api\n\n  second-key-of-the-api name=shop scopes=emit,read namespaces=/,/chat \n";
        api.add_lines(text, &mut problems);
        assert_eq!((problems.len(), api.keys.len()), (0, 2));
        assert_eq!(api.keys[0], ApiKey::new("first-key-of-the-api"));
        let second = &api.keys[1];
        assert_eq!(
            (&second.name[..], &second.scopes[..]),
            ("shop", &[ApiScope::Emit, ApiScope::Read][..])
        );
        assert_eq!(second.namespaces, ["/", "/chat"]);
        for wrong in ["a key with blanks", "key scopes=write", "key scopes=", "key scope=emit"] {
            let mut problems = Vec::new();
            api.add_lines(wrong, &mut problems);
            let text = problems[0].to_string();
            assert!(text.contains("line 1: ") && !text.contains("blanks"), "{text}");
        }
    }
}
