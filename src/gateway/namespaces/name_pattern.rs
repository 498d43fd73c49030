//! The names of the children of a dynamic namespace: a pattern, a regular expression, or a function that decides.

use std::{collections::BTreeMap, future::Future, pin::Pin, sync::Arc};

use regex::Regex;
use serde_json::Value as Json;
use socketioxide::{extract::TryData, handler::FromConnectParts, socket::Socket as IoSocket};
use socketioxide_core::Value;

use crate::{backplane::Adapter, gateway::replies::catch_panic::catch_panic_async};

type NameFn = Box<dyn Fn(String, Json) -> Pin<Box<dyn Future<Output = bool> + Send>> + Send + Sync>;

/// The names of the children of a namespace.
pub(in crate::gateway) enum NamePattern {
    Regex(Regex),
    Function(NameFn),
}

impl NamePattern {
    /// The names of a pattern: `{id}` stands for one or more characters but `/`, `*` for any.
    pub fn pattern(pattern: &str) -> Self {
        let (mut regex, mut names) = (String::from("^"), Vec::new());
        let mut rest = pattern;
        while let Some(at) = rest.find(['{', '*']) {
            let (literal, from) = rest.split_at(at);
            regex.push_str(&regex::escape(literal));
            match (from.starts_with('{'), from.find('}')) {
                (true, Some(end)) => {
                    let name = &from[1..end];
                    if is_group(name) && !names.contains(&name) {
                        names.push(name);
                        regex.push_str(&format!("(?P<{name}>[^/]+)"));
                    } else {
                        regex.push_str("([^/]+)");
                    }
                    rest = &from[end + 1..];
                }
                (true, None) => {
                    regex.push_str(&regex::escape(from));
                    rest = "";
                }
                (false, _) => {
                    regex.push_str(".*");
                    rest = &from[1..];
                }
            }
        }
        regex.push_str(&regex::escape(rest));
        regex.push('$');
        // Only a pattern that is far too long is no regular expression. It matches nothing then.
        let never = || Self::Function(Box::new(|_, _| Box::pin(std::future::ready(false))));
        Regex::new(&regex).map_or_else(|_| never(), Self::Regex)
    }

    /// The names that a function takes.
    pub fn function<F, D>(matches: F) -> Self
    where
        F: Fn(String, Json) -> D + Send + Sync + 'static,
        D: Future<Output = bool> + Send + 'static,
    {
        Self::Function(Box::new(move |name, auth| Box::pin(matches(name, auth))))
    }

    /// The values in a name of the parts of the pattern, by their names. Parts without a name have their numbers.
    pub fn parameters(&self, name: &str) -> BTreeMap<String, String> {
        let Self::Regex(regex) = self else { return BTreeMap::new() };
        let Some(found) = regex.captures(name) else { return BTreeMap::new() };
        let groups = regex.capture_names().enumerate().skip(1);
        let named = groups.filter_map(|(number, group)| {
            let value = found.get(number)?.as_str().to_owned();
            Some((group.map_or_else(|| number.to_string(), str::to_owned), value))
        });
        named.collect()
    }

    /// Whether a name may be one of them. A function is not asked, so every name may be one of its names.
    pub fn could_match(&self, name: &str) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(name),
            Self::Function(_) => true,
        }
    }

    /// Whether a name is one of them. `auth` is that of the client that asks.
    pub async fn matches(
        &self,
        name: &str,
        auth: &Option<Value>,
        socket: &Arc<IoSocket<Adapter>>,
    ) -> bool {
        match self {
            Self::Regex(regex) => regex.is_match(name),
            Self::Function(ask) => {
                let Ok(TryData(auth)) = TryData::<Json>::from_connect_parts(socket, auth);
                let asked = async { ask(name.to_owned(), auth.unwrap_or_default()).await };
                catch_panic_async("dynamic namespace", asked).await.unwrap_or_default()
            }
        }
    }
}

/// Whether a part of a pattern has a name that a group of a regular expression may have.
fn is_group(name: &str) -> bool {
    let begins = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    begins && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        NamePattern::pattern(pattern).could_match(name)
    }

    #[test]
    fn a_pattern_stands_for_names() {
        assert!(matches("/room-{id}", "/room-7"));
        assert!(matches("/room-{id}", "/room-é"));
        assert!(!matches("/room-{id}", "/room-"));
        assert!(!matches("/room-{id}", "/room-7/x"));
        assert!(!matches("/room-{id}", "/a/room-7"));
        assert!(matches("/{a}/{b}", "/x/y"));
        assert!(matches("/a.b*", "/a.b"));
        assert!(matches("/a.b*", "/a.b/c/d"));
        assert!(!matches("/a.b*", "/aXb"));
        assert!(matches("/open{", "/open{"));
    }

    #[test]
    fn its_parts_have_what_stands_for_them() {
        let of = |which: &NamePattern, name: &str| {
            which
                .parameters(name)
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"))
                .collect::<Vec<_>>()
        };
        let pattern = NamePattern::pattern("/{tenant}/room-{id}*");
        assert_eq!(of(&pattern, "/a/room-7"), ["id=7", "tenant=a"]);
        assert_eq!(of(&pattern, "/other"), Vec::<String>::new());
        // A name that is none, and one that is there already, have a number.
        assert_eq!(of(&NamePattern::pattern("/{a-b}/{id}/{id}"), "/x/y/z"), ["1=x", "3=z", "id=y"]);
        let regex = Regex::new(r"^/(\d+)-(?<who>\w+)$").unwrap();
        assert_eq!(of(&NamePattern::Regex(regex), "/7-ada"), ["1=7", "who=ada"]);
    }
}
