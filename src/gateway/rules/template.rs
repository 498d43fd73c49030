//! Patterns of the names of rooms with claims in them: `user:{sub}`, `team:{teams}`, `{realm.team}:*`.

use crate::gateway::tokens::Claims;

/// Most names that one pattern is filled with. It is far more than a socket's rooms. Without it, several claims that are lists
/// would multiply without an end.
const MAX_NAMES: usize = 10_000;

/// A pattern of names: `*` stands for any characters, `{claim}` for what the claim says (any one of a list, `.` leads into a
/// claim), everything else for itself. What a claim says fills one segment: with [`SEPARATOR`], a wildcard, or what ends
/// it in this pattern in it, it fills none. Else who is `ada:x` would be in the rooms of `ada`.
#[derive(Debug, Clone)]
pub(in crate::gateway) struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Any,
    Claim(Segment),
}

/// A claim in a pattern.
#[derive(Debug, Clone)]
struct Segment {
    claim: String,
    /// Characters that its value may not have, besides those that no value may have: the value ends at them.
    ends: Vec<char>,
}

/// Separates the segments of a name.
const SEPARATOR: char = ':';
/// What stands for any characters.
const WILDCARD: char = '*';

impl Segment {
    fn fits(&self, value: &str) -> bool {
        let odd = |c: char| c == SEPARATOR || c == WILDCARD || self.ends.contains(&c);
        !value.is_empty() && !value.contains(odd)
    }

    /// The values of the claim that may stand here.
    fn values(&self, claims: Option<&Claims>) -> Vec<String> {
        let mut all = claims.map(|claims| claim_values(claims, &self.claim)).unwrap_or_default();
        all.retain(|value| self.fits(value));
        all
    }
}

/// ClaimSet claims a name is looked at with.
#[derive(Clone, Copy)]
enum ClaimSet<'a> {
    /// The claims of one client.
    Of(Option<&'a Claims>),
    /// Those that any client could have.
    Any,
}

impl Template {
    pub fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut rest = pattern;
        while let Some(at) = rest.find(['*', '{']) {
            if at > 0 {
                parts.push(Part::Text(rest[..at].to_owned()));
            }
            rest = &rest[at..];
            match rest.find('}').filter(|_| rest.starts_with('{')) {
                Some(end) => {
                    let claim = rest[1..end].to_owned();
                    parts.push(Part::Claim(Segment { claim, ends: Vec::new() }));
                    rest = &rest[end + 1..];
                }
                None if rest.starts_with('{') => break,
                None => {
                    parts.push(Part::Any);
                    rest = &rest[1..];
                }
            }
        }
        if !rest.is_empty() {
            parts.push(Part::Text(rest.to_owned()));
        }
        let ends: Vec<_> = (0..parts.len()).map(|at| ends(&parts, at)).collect();
        for (part, ends) in parts.iter_mut().zip(ends) {
            if let Part::Claim(segment) = part {
                segment.ends = ends;
            }
        }
        Self(parts)
    }

    /// How many characters of the pattern are literal.
    pub fn literal_chars(&self) -> usize {
        let literal = |part: &Part| match part {
            Part::Text(text) => text.chars().count(),
            _ => 0,
        };
        self.0.iter().map(literal).sum()
    }

    /// Whether a name matches the pattern, with these claims.
    pub fn matches(&self, name: &str, claims: Option<&Claims>) -> bool {
        matches(&self.0, name, ClaimSet::Of(claims))
    }

    /// Whether a name matches the pattern with any claims.
    pub fn could_match(&self, name: &str) -> bool {
        matches(&self.0, name, ClaimSet::Any)
    }

    /// The names that these claims fill the pattern with. There are none if a claim is missing.
    pub fn fill(&self, claims: &Claims) -> Vec<String> {
        let mut names = vec![String::new()];
        for part in &self.0 {
            match part {
                Part::Text(text) => names.iter_mut().for_each(|name| name.push_str(text)),
                Part::Claim(segment) => {
                    let values = segment.values(Some(claims));
                    let with = |name: &String| {
                        let name = name.clone();
                        values.iter().map(move |value| format!("{name}{value}"))
                    };
                    names = names.iter().flat_map(with).take(MAX_NAMES).collect();
                }
                Part::Any => return Vec::new(),
            }
        }
        names
    }
}

/// What the claim at this place of a pattern may not hold, for its end to be sure: the text beside it parts it from a
/// wildcard or another claim, and has no separator, which does that by itself.
fn ends(parts: &[Part], at: usize) -> Vec<char> {
    let text = |part: Option<&Part>| match part {
        Some(Part::Text(text)) if !text.contains(SEPARATOR) => Some(text.clone()),
        _ => None,
    };
    let (before, behind) = parts.split_at(at);
    let mut ends = Vec::new();
    if behind.len() > 2
        && let Some(text) = text(behind.get(1))
    {
        ends.extend(text.chars().next());
    }
    // One that comes before another claim ends where its own text begins.
    if let [.., Part::Any, last] = before
        && let Some(text) = text(Some(last))
    {
        ends.extend(text.chars().last());
    }
    ends
}

fn matches(parts: &[Part], name: &str, claims_of: ClaimSet<'_>) -> bool {
    let Some((part, others)) = parts.split_first() else { return name.is_empty() };
    match part {
        Part::Text(text) => {
            name.strip_prefix(&**text).is_some_and(|rest| matches(others, rest, claims_of))
        }
        Part::Claim(segment) => match claims_of {
            ClaimSet::Of(claims) => segment.values(claims).iter().any(|value| {
                name.strip_prefix(&**value).is_some_and(|rest| matches(others, rest, claims_of))
            }),
            ClaimSet::Any => splits(name)
                .skip(1)
                .take_while(|(value, _)| segment.fits(value))
                .any(|(_, rest)| matches(others, rest, claims_of)),
        },
        Part::Any if others.is_empty() => true,
        Part::Any => splits(name).any(|(_, rest)| matches(others, rest, claims_of)),
    }
}

/// A name cut in two, in each way that there is.
fn splits(name: &str) -> impl Iterator<Item = (&str, &str)> {
    name.char_indices().map(|(at, _)| at).chain([name.len()]).map(|at| name.split_at(at))
}

/// The values of a claim as text: several if it is a list. Empty values are left out.
pub(in crate::gateway) fn claim_values(claims: &Claims, path: &str) -> Vec<String> {
    // A claim claims_of name has a dot in it counts first.
    let value = claims.get(path).or_else(|| {
        let (first, rest) = path.split_once('.')?;
        let mut value = claims.get(first)?;
        for key in rest.split('.') {
            value = value.get(key)?;
        }
        Some(value)
    });
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        serde_json::Value::Bool(bool) => Some(bool.to_string()),
        _ => None,
    };
    let all = match value {
        Some(serde_json::Value::Array(list)) => list.iter().filter_map(text).collect(),
        Some(value) => text(value).into_iter().collect(),
        None => Vec::new(),
    };
    all.into_iter().filter(|value: &String| !value.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claims() -> Claims {
        let claims = json!({
            "sub": "ada", "teams": ["red", "blue", "", 7, {}], "realm": {"team": "x"}, "wide": "*",
            "a.b": "dotted", "odd": "ada:x", "dash": "ada-x", "slash": "ada/x",
        });
        claims.as_object().cloned().unwrap_or_default()
    }

    #[test]
    fn names_match_with_the_claims_of_the_token() {
        let claims = claims();
        for (pattern, name, expected) in [
            ("public-*", "public-a", true),
            ("public-*", "public", false),
            ("user:{sub}", "user:ada", true),
            ("user:{sub}", "user:bob", false),
            ("user:{sub}", "user:", false),
            ("team:{teams}:*", "team:blue:chat", true),
            ("team:{teams}", "team:7", true),
            ("team:{teams}", "team:", false),
            ("{realm.team}-{sub}", "x-ada", true),
            ("{a.b}", "dotted", true),
            ("{missing}", "", false),
            ("{missing}*", "anything", false),
            ("all:{wide}", "all:rooms", false),
            ("all:{wide}", "all:*", false),
            ("user:{odd}", "user:ada:x", false),
            ("user:{odd}:*", "user:ada:x:inbox", false),
            ("user-{dash}", "user-ada-x", true),
            ("user-{dash}-*", "user-ada-x-inbox", false),
            ("user-{sub}-*", "user-ada-inbox", true),
            ("*-{dash}", "a-ada-x", false),
            ("{dash}-{sub}", "ada-x-ada", false),
            ("{sub}-{dash}", "ada-ada-x", true),
            ("org:{dash}:user-{dash}", "org:ada-x:user-ada-x", true),
            ("user/{slash}/*", "user/ada/x/inbox", false),
            ("*:{sub}:*", "a:ada:b", true),
            ("*é*", "caféteria", true),
            ("a{b", "a{b", true),
        ] {
            let template = Template::new(pattern);
            assert_eq!(template.matches(name, Some(&claims)), expected, "{pattern} {name}");
        }
        assert!(!Template::new("user:{sub}").matches("user:ada", None));
        assert!(Template::new("public-*").matches("public-a", None));
    }

    #[test]
    fn a_pattern_names_rooms() {
        let claims = claims();
        let fill = |pattern: &str| Template::new(pattern).fill(&claims);
        assert_eq!(fill("user:{sub}"), ["user:ada"]);
        assert_eq!(fill("{teams}-{sub}"), ["red-ada", "blue-ada", "7-ada"]);
        assert!(fill("{missing}").is_empty() && fill("a-*").is_empty());
        assert!(fill("user:{odd}").is_empty() && fill("user:{wide}").is_empty());
    }

    #[test]
    fn a_pattern_knows_the_names_that_it_has_for_anybody() {
        for (pattern, name, expected) in [
            ("user:{sub}", "user:bob", true),
            ("user:{sub}", "user:", false),
            ("user:{sub}", "user:a:b", false),
            ("user:{sub}:*", "user:a:b", true),
            ("{realm.team}-{sub}", "a-b", true),
            ("a-*", "b-a", false),
        ] {
            assert_eq!(Template::new(pattern).could_match(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn long_lists_count_to_their_end() {
        let teams: Vec<_> = (0..2000).map(|n| format!("t{n}")).collect();
        let claims = Claims::from_iter([("teams".to_owned(), json!(teams))]);
        assert!(Template::new("team:{teams}").matches("team:t1999", Some(&claims)));
        assert_eq!(Template::new("team:{teams}").fill(&claims).len(), 2000);
        assert_eq!(Template::new("{teams}-{teams}").fill(&claims).len(), MAX_NAMES);
    }

    #[test]
    fn long_names_and_wide_patterns_end_soon() {
        let name = "a".repeat(256);
        assert!(!Template::new("*a*a*a*b").matches(&name, None));
    }
}
