#![allow(clippy::unwrap_used)]

use proptest::{prelude::*, sample::select};
use serde_json::{Value, json};

use super::*;

const SOCKET: &str = "AAAAAAAAAAAAAAAA";
const ELSEWHERE: &str = "BBBBBBBBBBBBBBBB";

/// One pod of a cluster, with one socket.
struct Pod;

impl SocketIds for Pod {
    fn is_socket_id(&self, room: &str) -> bool {
        room == SOCKET
    }

    fn could_be_socket_id(&self, room: &str) -> bool {
        room.len() == 16 && !room.contains(':')
    }
}

const PATTERNS: [&str; 12] = [
    "*",
    "A*",
    "B*",
    "{sub}",
    "user:{sub}",
    "user:{sub}:*",
    "*:{sub}",
    "team:{teams}",
    "team:*",
    "ops",
    "ops-*",
    "{odd}:{sub}",
];
const ROOMS: [&str; 16] = [
    SOCKET,
    ELSEWHERE,
    "user:ada",
    "user:bob",
    "user:ada:x",
    "user:ada:x:inbox",
    "user:bob:x",
    "team:red",
    "team:blue",
    "team:*",
    "ops",
    "ops-1",
    "ada",
    "a:ada",
    "x:y:ada",
    "",
];
const EVENTS: [&str; 6] =
    ["chat", "typing", "presence:join", "authenticated", "error", "heartbeat"];

fn rule() -> impl Strategy<Value = RoomRule> {
    let join = select(vec!["auto", "anyone", "authenticated", "claim"]);
    let require =
        select(vec![json!({}), json!({"role": "admin"}), json!({"role": "admin", "teams": "red"})]);
    let relay = select(vec![json!([]), json!(["chat"]), json!(["*"])]);
    (select(&PATTERNS[..]), join, require, relay, any::<bool>()).prop_map(
        |(pattern, join, require, relay, presence)| {
            let rule = json!({
                "pattern": pattern, "join": join, "require": require, "relay": relay, "presence": presence,
            });
            serde_json::from_value(rule).unwrap()
        },
    )
}

fn claims() -> impl Strategy<Value = Option<Claims>> {
    let subs = vec!["ada", "bob", "ada:x", "*", "", SOCKET, ELSEWHERE, "x:y:ada"];
    let teams =
        select(vec![json!(null), json!("red"), json!(["red", "blue", "*"]), json!(["a:b"])]);
    let role = select(vec![json!(null), json!("user"), json!("admin"), json!(["user", "admin"])]);
    let claims = (select(subs), teams, role).prop_map(|(sub, teams, role)| {
        let claims = json!({"sub": sub, "teams": teams, "role": role, "odd": "a*"});
        claims.as_object().cloned().unwrap()
    });
    proptest::option::of(claims)
}

/// The same question, asked in another way: is one of the rules, as a whole, for this identity and this room?
fn allows(rule: &RoomRule, claims: Option<&Claims>, authenticated: bool, room: &str) -> bool {
    let said = |name: &str| -> Vec<String> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        match claims.and_then(|claims| claims.get(name)) {
            Some(Value::Array(list)) => list.iter().filter_map(text).collect(),
            Some(value) => text(value).into_iter().collect(),
            None => Vec::new(),
        }
    };
    let known = match rule.join {
        JoinPolicy::Anyone | JoinPolicy::Hook => true,
        JoinPolicy::Authenticated => authenticated,
        JoinPolicy::Auto | JoinPolicy::Claim => claims.is_some(),
    };
    // Segment by segment: what a claim says is one of them, and never more.
    let mut patterns = vec![rule.pattern.clone()];
    for claim in ["sub", "teams", "odd"] {
        let filled = |pattern: String| -> Vec<String> {
            let place = format!("{{{claim}}}");
            if !pattern.contains(&place) {
                return vec![pattern];
            }
            let values = said(claim).into_iter();
            let values = values.filter(|value| !value.is_empty() && !value.contains([':', '*']));
            values.map(|value| pattern.replace(&place, &value)).collect()
        };
        patterns = patterns.into_iter().flat_map(filled).collect();
    }
    known
        && rule.require.iter().all(|(claim, value)| said(claim).contains(value))
        && patterns.iter().any(|pattern| EventPattern::new(pattern).matches(room))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// No way leads round a rule: whatever is allowed, a rule allows it as a whole; and no rule allows what is never allowed.
    #[test]
    fn whatever_is_allowed_one_rule_allows_as_a_whole(
        rules in proptest::collection::vec(rule(), 1..4),
        claims in claims(),
        shown in any::<bool>(),
    ) {
        let access = AccessRules::new(rules.iter().map(|rule| (rule, None)).collect(), &[], 64);
        let authenticated = shown && claims.is_some();
        let who = Subject { claims: claims.as_ref(), authenticated, ids: &Pod };
        let mine = |room: &str| -> Vec<&RoomRule> {
            rules.iter().filter(|rule| allows(rule, claims.as_ref(), authenticated, room)).collect()
        };
        let (auto_join_rooms, _) = access.auto_join_rooms(who);
        for room in ROOMS.into_iter().chain(auto_join_rooms.iter().map(String::as_str)) {
            let mine = mine(room);
            let is_socket_id = room == SOCKET || room == ELSEWHERE;
            let may = |act| access.decide(who, act, room).is_allowed();
            prop_assert_eq!(may(Action::Join), !mine.is_empty() && !is_socket_id && !room.is_empty(), "join {}", room);
            prop_assert_eq!(may(Action::Stay), !mine.is_empty(), "stay in {}", room);
            let auto = mine.iter().any(|rule| rule.join == JoinPolicy::Auto);
            prop_assert_eq!(may(Action::AutoJoin), auto && !is_socket_id && !room.is_empty(), "enter {}", room);
            let shows = mine.iter().any(|rule| rule.presence);
            prop_assert_eq!(may(Action::Presence), shows, "presence in {}", room);
            for event in EVENTS {
                let relays = mine.iter().any(|rule| rule.relay.iter().any(|name| name == "*" || name == event));
                let relays = relays && !crate::config::OWN_EVENTS.contains(&event);
                prop_assert_eq!(may(Action::Relay(event)), relays, "{} to {}", event, room);
            }
            // What spares the look at each member spares it only where all may know; what nobody is told, nobody may ask.
            prop_assert!(!access.is_public_presence(room) || may(Action::Presence), "{} tells everybody", room);
            prop_assert!(!may(Action::Presence) || access.has_presence_in(room), "{} is silent", room);
            prop_assert!(mine.is_empty() || access.covers(room), "{} is unknown", room);
        }
        for room in &auto_join_rooms {
            prop_assert!(access.decide(who, Action::AutoJoin, room).is_allowed(), "put in {}", room);
        }
    }
}

#[test]
fn a_long_pattern_has_rooms_of_any_length_and_a_short_one_none_that_could_be_an_id() {
    let rule = |pattern: &str| -> RoomRule {
        serde_json::from_value(json!({"pattern": pattern, "join": "anyone"})).unwrap()
    };
    for (pattern, room, expected) in [
        ("public-*", "public-abcdefghi", true),
        ("customer-support", "customer-support", true),
        ("c*", "customer-support", false),
        ("*", "customer-support", false),
        ("*", "customer:support", true),
    ] {
        let rule = rule(pattern);
        let access = AccessRules::new(vec![(&rule, None)], &[], 64);
        let who = Subject { claims: None, authenticated: false, ids: &Pod };
        assert_eq!(
            access.decide(who, Action::Join, room).is_allowed(),
            expected,
            "{pattern} {room}"
        );
    }
}

#[test]
fn default_rooms_with_claims_are_left_with_them() {
    let own = ["user:{sub}".to_owned()];
    let access = AccessRules::new(Vec::new(), &own, 64);
    let claims = |sub: &str| json!({"sub": sub}).as_object().cloned().unwrap();
    let (ada, bob) = (claims("ada"), claims("bob"));
    let who = |claims| Subject { claims: Some(claims), authenticated: true, ids: &Pod };
    assert_eq!(access.auto_join_rooms(who(&ada)), (vec!["user:ada".to_owned()], 0));
    assert!(access.covers("user:ada") && !access.covers("user:ada:x"));
    assert!(access.decide(who(&ada), Action::Stay, "user:ada").is_allowed());
    assert!(access.decide(who(&bob), Action::Stay, "user:ada").is_denied());
}
