//! Names of rooms with what a token says in them: `user:{sub}`, `team:{teams}`, `{realm.team}:*`.

use super::Claims;

/// Most names that one pattern stands for: far more than a socket's rooms, and lists that are multiplied end.
const MOST: usize = 10_000;

/// A pattern of names: `*` stands for any characters, `{claim}` for what the claim says (any one of a list, `.` leads into a
/// claim), everything else for itself. What a claim says stands for itself too: a `*` in it is a `*`.
#[derive(Debug, Clone)]
pub(super) struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Any,
    Claim(String),
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
                    parts.push(Part::Claim(rest[1..end].to_owned()));
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
        Self(parts)
    }

    /// Whether it says nothing of how a name begins.
    pub fn is_open(&self) -> bool {
        matches!(self.0.first(), Some(Part::Any))
    }

    /// Whether a name is one that it stands for, with these claims.
    pub fn matches(&self, name: &str, claims: Option<&Claims>) -> bool {
        matches(&self.0, name, claims)
    }

    /// Whether a name is one that it stands for, with some claims.
    pub fn could_match(&self, name: &str) -> bool {
        let any = |part: &Part| match part {
            Part::Claim(_) => Part::Any,
            part => part.clone(),
        };
        matches(&self.0.iter().map(any).collect::<Vec<_>>(), name, None)
    }

    /// The names that it stands for, with these claims: none if one is missing.
    pub fn fill(&self, claims: &Claims) -> Vec<String> {
        let mut names = vec![String::new()];
        for part in &self.0 {
            match part {
                Part::Text(text) => names.iter_mut().for_each(|name| name.push_str(text)),
                Part::Claim(claim) => {
                    let values = values(claims, claim);
                    let with = |name: &String| {
                        let name = name.clone();
                        values.iter().map(move |value| format!("{name}{value}"))
                    };
                    names = names.iter().flat_map(with).take(MOST).collect();
                }
                Part::Any => return Vec::new(),
            }
        }
        names
    }
}

fn matches(parts: &[Part], name: &str, claims: Option<&Claims>) -> bool {
    let Some((part, others)) = parts.split_first() else { return name.is_empty() };
    match part {
        Part::Text(text) => {
            name.strip_prefix(&**text).is_some_and(|rest| matches(others, rest, claims))
        }
        Part::Claim(claim) => {
            let values = claims.map(|claims| values(claims, claim)).unwrap_or_default();
            values.iter().any(|value| {
                name.strip_prefix(&**value).is_some_and(|rest| matches(others, rest, claims))
            })
        }
        Part::Any if others.is_empty() => true,
        Part::Any => {
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| matches(others, &name[at..], claims))
        }
    }
}

/// What a claim says, as text; each of a list. Nothing that is empty.
pub(super) fn values(claims: &Claims, path: &str) -> Vec<String> {
    // A claim whose name has a dot in it counts first.
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
            "a.b": "dotted",
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
            ("all:{wide}", "all:*", true),
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
    }

    #[test]
    fn long_lists_count_to_their_end() {
        let teams: Vec<_> = (0..2000).map(|n| format!("t{n}")).collect();
        let claims = Claims::from_iter([("teams".to_owned(), json!(teams))]);
        assert!(Template::new("team:{teams}").matches("team:t1999", Some(&claims)));
        assert_eq!(Template::new("team:{teams}").fill(&claims).len(), 2000);
        assert_eq!(Template::new("{teams}-{teams}").fill(&claims).len(), MOST);
    }

    #[test]
    fn long_names_and_wide_patterns_end_soon() {
        let name = "a".repeat(256);
        assert!(!Template::new("*a*a*a*b").matches(&name, None));
    }
}
