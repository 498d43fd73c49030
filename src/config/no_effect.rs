//! Settings of a namespace that can never do anything: found at start, not by a client that is refused.

use super::{AuthPolicy, JoinPolicy, Namespace, Problem};

/// Events that Socket.IO emits itself; the stock client sends none of them.
const RESERVED: [&str; 6] =
    ["connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"];

/// Names what has no effect in the namespace whose settings begin with this key.
pub(super) fn check(key: &str, namespace: &Namespace, problems: &mut Vec<Problem>) {
    for (index, room) in namespace.default_rooms.iter().enumerate() {
        if room.is_empty() {
            let remedy = "expected the name of a room";
            problems.push(Problem::new(format!("{key}.default_rooms.{index}"), "", remedy));
        }
        let remedy = if room.contains('*') {
            "a room that sockets are put in has a name without \"*\""
        } else if room.matches('{').count() != room.matches('}').count() || room.contains("}{") {
            "expected \"}\" behind each \"{\", and text between two claims: \"user:{sub}\""
        } else if room.contains('{')
            && namespace.auth == AuthPolicy::None
            && namespace.hooks.connect.is_none()
        {
            "has no effect: with auth = \"none\" no client has claims; set that to \"optional\" or \"required\""
        } else {
            continue;
        };
        problems.push(Problem::new(format!("{key}.default_rooms.{index}"), room, remedy));
    }
    events(key, namespace, problems);
    if namespace.auth == AuthPolicy::None {
        without_authentication(key, namespace, problems);
    }
}

/// Rules of events that another one, or the gateway, is always faster than.
fn events(key: &str, namespace: &Namespace, problems: &mut Vec<Problem>) {
    let presence = namespace.rooms.iter().any(|rule| rule.presence);
    let handled = |name: &str| match name {
        "join" | "leave" => true,
        "presence" => presence,
        "authenticate" => namespace.auth != AuthPolicy::None,
        _ => false,
    };
    let mut all = None;
    for (index, rule) in namespace.events.iter().enumerate() {
        let remedy = if let Some(all) = all {
            format!(
                "is never reached: {key}.events.{all} is for all events; put it behind this one"
            )
        } else if RESERVED.contains(&rule.name.as_str()) {
            "Socket.IO keeps this name for itself, and no client emits it".to_owned()
        } else if handled(&rule.name) {
            "the gateway handles this event itself, whatever a rule says; leave the rule out"
                .to_owned()
        } else {
            if rule.name == "*" {
                all = Some(index);
            }
            continue;
        };
        problems.push(Problem::new(format!("{key}.events.{index}.name"), &rule.name, remedy));
    }
}

/// What needs a client that showed who it is, or claims, where no client ever does.
fn without_authentication(key: &str, namespace: &Namespace, problems: &mut Vec<Problem>) {
    let mut wrong = |rest: String, value: &dyn std::fmt::Debug, needs: &str| {
        let remedy = format!(
            "has no effect: with {key}.auth = \"none\" no client {needs}; set that to \"optional\" or \"required\""
        );
        problems.push(Problem::new(format!("{key}.{rest}"), value, remedy));
    };
    for (setting, duration) in
        [("auth_timeout", namespace.auth_timeout), ("heartbeat", namespace.heartbeat)]
    {
        if let Some(duration) = duration {
            wrong(setting.to_owned(), &duration, "authenticates");
        }
    }
    // The hook may grant claims to guests.
    let claims = namespace.hooks.connect.is_some();
    for (index, rule) in namespace.rooms.iter().enumerate() {
        match rule.join {
            JoinPolicy::Authenticated => {
                wrong(format!("rooms.{index}.join"), &"authenticated", "authenticates");
            }
            JoinPolicy::Auto if !claims => {
                wrong(format!("rooms.{index}.join"), &"auto", "has claims")
            }
            JoinPolicy::Claim if !claims => {
                wrong(format!("rooms.{index}.join"), &"claim", "has claims")
            }
            _ => {}
        }
        if !rule.require.is_empty() && !claims {
            wrong(format!("rooms.{index}.require"), &rule.require, "has claims");
        }
    }
    for (index, rule) in namespace.events.iter().enumerate() {
        if rule.auth {
            wrong(format!("events.{index}.auth"), &true, "authenticates");
        }
        if !rule.require.is_empty() && !claims {
            wrong(format!("events.{index}.require"), &rule.require, "has claims");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::io::Write;

    use crate::config::Sources;

    fn problems(namespace: &str) -> String {
        let mut file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        let secret = "a secret of thirty-two bytes or more";
        let text = format!("[auth.jwt]\nsecret = {secret:?}\n[namespaces.\"/\"]\n{namespace}");
        file.write_all(text.as_bytes()).unwrap();
        let loaded = Sources { file: Some(file.path().to_owned()), flags: vec![] }.load();
        loaded.err().map(|error| error.to_string()).unwrap_or_default()
    }

    fn event(rest: &str) -> String {
        format!("[[namespaces.\"/\".events]]\naction = \"deny\"\n{rest}\n")
    }

    fn room(rest: &str) -> String {
        format!("[[namespaces.\"/\".rooms]]\npattern = \"a:{{sub}}\"\n{rest}\n")
    }

    #[test]
    fn rules_of_events_that_are_never_reached_are_named() {
        for name in ["join", "leave", "authenticate", "connect", "disconnecting"] {
            let found = problems(&event(&format!("name = {name:?}")));
            assert!(
                found.contains("namespaces./.events.0.name") && found.contains(name),
                "{found}"
            );
        }
        let behind = [event("name = \"*\""), event("name = \"chat\"")].concat();
        let found = problems(&behind);
        assert!(found.contains("events.1.name = \"chat\": is never reached"), "{found}");
        let presence = event("name = \"presence\"");
        assert_eq!(problems(&presence), "");
        let shown = [room("join = \"claim\"\npresence = true"), presence].concat();
        assert!(problems(&shown).contains("the gateway handles this event itself"));
        assert!(problems("default_rooms = \"\"").contains("expected the name of a room"));
    }

    #[test]
    fn default_rooms_are_as_rooms_that_sockets_are_put_in() {
        assert_eq!(problems("default_rooms = [\"user:{sub}\", \"a-{b}-{c}\"]"), "");
        for room in ["a-*", "a{b", "{a}{b}"] {
            let found = problems(&format!("default_rooms = {room:?}"));
            assert!(found.contains("default_rooms.0"), "{room}: {found}");
        }
        let found = problems("auth = \"none\"\ndefault_rooms = \"user:{sub}\"");
        assert!(found.contains("no client has claims"), "{found}");
    }

    #[test]
    fn events_of_roomcast_itself_are_not_named_for_relaying() {
        for settings in [
            room("join = \"claim\"\nrelay = [\"presence:join\"]"),
            "[[namespaces.\"/\".events]]\nname = \"authenticated\"\naction = \"relay\"\n"
                .to_owned(),
        ] {
            let found = problems(&settings);
            assert!(found.contains("never relays it"), "{settings}: {found}");
        }
        assert_eq!(problems(&room("join = \"claim\"\nrelay = \"*\"")), "");
        assert!(
            problems("[[namespaces.\"/\".rooms]]\npattern = \"a{sub}*\"\njoin = \"claim\"")
                .contains("pattern")
        );
    }

    #[test]
    fn what_needs_authentication_is_named_where_there_is_none() {
        let none = |rest: &str| problems(&format!("auth = \"none\"\n{rest}"));
        for (settings, key) in [
            ("auth_timeout = \"5s\"".to_owned(), "auth_timeout"),
            ("heartbeat = \"5s\"".to_owned(), "heartbeat"),
            (event("name = \"a\"\nauth = true"), "events.0.auth"),
            (event("name = \"a\"\nrequire = { role = \"admin\" }"), "events.0.require"),
            (room("join = \"authenticated\""), "rooms.0.join"),
            (room("join = \"auto\""), "rooms.0.join"),
            (room("join = \"claim\""), "rooms.0.join"),
            (room("join = \"anyone\"\nrequire = { role = \"admin\" }"), "rooms.0.require"),
        ] {
            let found = none(&settings);
            assert!(found.contains(key) && found.contains("has no effect"), "{settings}: {found}");
        }
        assert_eq!(none(&event("name = \"authenticate\"")), "");
        // Guests may be granted claims.
        let hook = "hooks = { connect = \"http://127.0.0.1/\" }\n";
        let granted =
            [hook.to_owned(), room("join = \"claim\""), room("join = \"authenticated\"")].concat();
        let found = none(&granted);
        assert!(found.contains("rooms.1.join") && !found.contains("rooms.0.join"), "{found}");
    }
}
