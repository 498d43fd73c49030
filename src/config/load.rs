//! Layers the sources of settings and collects every problem in one go.
//!
//! figment does the layering and keeps, for each value, where it came from. serde stops at the
//! first problem, so a bad value is noted, taken out and the rest is read again.

use std::{cell::LazyCell, fmt::Write as _, path::PathBuf};

use figment::{
    Figment, Metadata, Profile, Provider,
    error::Kind,
    providers::{Env, Format, Toml},
    util::nest,
    value::{Dict, Map, Value},
};

use super::{
    Config, ConfigError, Problem, check,
    problem::{is_secret, nearest},
};

/// The documented defaults, as `roomcast print-config` prints them.
pub const DEFAULTS: &str = include_str!("defaults.toml");

/// Prefix of the environment variables, and what separates section from key in them.
const ENV_SEPARATOR: &str = "__";
const ENV_PREFIX: &str = "ROOMCAST__";

/// Where settings come from, beside the defaults and the environment.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML or YAML file, told apart by its name.
    pub file: Option<PathBuf>,
    /// Settings by key, from flags: `("public.listen", "127.0.0.1:3000")`. They win.
    pub flags: Vec<(String, String)>,
}

impl Sources {
    /// Reads all sources into settings that make sense, or says everything that is wrong.
    pub fn load(&self) -> Result<Config, ConfigError> {
        let mut figment = defaults();
        if let Some(file) = &self.file {
            figment = merge_file(figment, file)?;
        }
        figment =
            figment.merge(Env::prefixed(ENV_PREFIX).split(ENV_SEPARATOR)).merge(Flags(&self.flags));

        let tree = figment.find_value("").map_err(|error| unreadable(&error))?;
        let (mut config, mut problems) = read(&figment, tree);
        problems.extend(check::complete(&mut config));
        if problems.is_empty() { Ok(config) } else { Err(ConfigError { problems }) }
    }
}

impl Config {
    /// The defaults alone, for code that starts a pod of its own: the environment is not read.
    ///
    /// # Panics
    /// Never: the embedded file is tested.
    #[allow(clippy::expect_used)]
    pub fn defaults() -> Self {
        let figment = defaults();
        let tree = figment.find_value("").expect("the defaults are TOML");
        let (mut config, problems) = read(&figment, tree);
        assert_eq!(problems, [], "the defaults are valid");
        check::complete(&mut config);
        config
    }
}

/// The defaults as a source: the layer below all others.
fn defaults() -> Figment {
    Figment::from(Toml::string(DEFAULTS))
}

/// Adds a configuration file, whose ending names its language.
fn merge_file(figment: Figment, file: &PathBuf) -> Result<Figment, ConfigError> {
    let problem = |remedy: String| Problem::new("--config", file, remedy);
    std::fs::metadata(file).map_err(|error| problem(format!("cannot be read: {error}")))?;
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("toml") => Ok(figment.merge(Toml::file_exact(file))),
        Some("yaml" | "yml") => Ok(figment.merge(Yaml::file_exact(file))),
        _ => Err(problem("the name must end in .toml, .yaml or .yml".into()).into()),
    }
}

/// A source that is no TOML or YAML at all.
fn unreadable(error: &figment::Error) -> ConfigError {
    let source = error.metadata.as_ref().map_or_else(|| "a source".to_owned(), describe);
    Problem {
        key: source,
        value: None,
        source: None,
        remedy: format!("cannot be parsed: {}", error.kind.to_string().trim()),
    }
    .into()
}

/// Reads the tree as settings, setting aside what cannot be read.
///
/// Each round takes one bad value out, so it ends; what is left falls back to the defaults.
fn read(figment: &Figment, mut tree: Value) -> (Config, Vec<Problem>) {
    let defaults =
        LazyCell::new(|| defaults().find_value("").unwrap_or_else(|_| Dict::new().into()));
    let mut problems = Vec::new();
    let mut removed: Vec<Vec<String>> = Vec::new();
    loop {
        let error = match tree.deserialize::<Config>() {
            Ok(config) => return (config, problems),
            Err(error) => error,
        };
        problems.push(describe_error(figment, &tree, &removed, &error));
        // A value with a default falls back to it; anything else goes, up to the whole entry of a
        // list when a part of it is missing.
        let fallback = find(&defaults, &error.path).cloned();
        if error.path.is_empty() || !replace(&mut tree, &error.path, fallback) {
            tree = defaults.clone();
        }
        removed.push(error.path);
    }
}

fn describe_error(
    figment: &Figment,
    tree: &Value,
    removed: &[Vec<String>],
    error: &figment::Error,
) -> Problem {
    let value = find(tree, &error.path);
    let key = original_path(&error.path, removed).join(".");
    let source = value
        .and_then(|value| figment.get_metadata(value.tag()))
        .or(error.metadata.as_ref())
        .map(describe);
    let remedy = match &error.kind {
        Kind::UnknownField(unknown, known) => unknown_key(unknown, known),
        Kind::UnknownVariant(_, known) => format!("expected one of {}", quoted(known)),
        Kind::MissingField(field) => format!("`{field}` is missing"),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => {
            format!("expected {expected}")
        }
        other => other.to_string(),
    };
    let value = value.filter(|_| !matches!(error.kind, Kind::MissingField(_)));
    let value = value.map(|value| if is_secret(&key) { "(hidden)".into() } else { show(value) });
    Problem { key, value, source, remedy }
}

fn unknown_key(unknown: &str, known: &[&str]) -> String {
    match nearest(unknown, known) {
        Some(name) => format!("unknown key; did you mean `{name}`?"),
        None => format!("unknown key; known here: {}", known.join(", ")),
    }
}

/// `a`, `b` and `c`, each in quotes.
fn quoted(names: &[&str]) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

/// Where a value came from, as its owner would say it.
fn describe(metadata: &Metadata) -> String {
    match &metadata.source {
        Some(figment::Source::File(file)) => format!("file {}", file.display()),
        _ => metadata.name.replace('`', ""),
    }
}

/// A value as one would write it in TOML.
fn show(value: &Value) -> String {
    match value {
        Value::String(_, text) => format!("{text:?}"),
        Value::Bool(_, flag) => flag.to_string(),
        // Each of these is for its own kind of number only, unsigned ones too.
        Value::Num(_, num) => num
            .to_u128()
            .map(|n| n.to_string())
            .or_else(|| num.to_i128().map(|n| n.to_string()))
            .or_else(|| num.to_f64().map(|n| n.to_string()))
            .unwrap_or_default(),
        Value::Char(_, c) => format!("{:?}", c.to_string()),
        Value::Array(_, values) => {
            let values: Vec<_> = values.iter().map(show).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Dict(_, dict) => {
            let mut text = String::from("{");
            for (index, (key, value)) in dict.iter().enumerate() {
                let comma = if index == 0 { " " } else { ", " };
                let _ = write!(text, "{comma}{key} = {}", show(value));
            }
            text + " }"
        }
        // As YAML writes what is not there.
        Value::Empty(..) => "null".into(),
    }
}

fn find<'a>(tree: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(tree, |value, key| match value {
        Value::Dict(_, dict) => dict.get(key),
        Value::Array(_, values) => values.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Puts `fallback` in the place of a value, or takes the value out. Says whether there was one.
fn replace(tree: &mut Value, path: &[String], fallback: Option<Value>) -> bool {
    let Some((key, above)) = path.split_last() else {
        return false;
    };
    let parent = above.iter().try_fold(tree, |value, key| match value {
        Value::Dict(_, dict) => dict.get_mut(key),
        Value::Array(_, values) => values.get_mut(key.parse::<usize>().ok()?),
        _ => None,
    });
    match (parent, fallback) {
        (Some(Value::Dict(_, dict)), Some(fallback)) => {
            dict.insert(key.clone(), fallback).is_some()
        }
        (Some(Value::Dict(_, dict)), None) => dict.remove(key).is_some(),
        (Some(Value::Array(_, values)), _) => match key.parse() {
            Ok(index) if index < values.len() => {
                values.remove(index);
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// The path as the operator wrote it: entries of lists that were taken out before count again.
fn original_path(path: &[String], removed: &[Vec<String>]) -> Vec<String> {
    let mut path = path.to_vec();
    for gone in removed.iter().rev() {
        let Some((index, list)) = gone.split_last() else {
            continue;
        };
        let Ok(gone_index) = index.parse::<usize>() else {
            continue;
        };
        let Some(ours) = path.get(list.len()).and_then(|index| index.parse::<usize>().ok()) else {
            continue;
        };
        if path.starts_with(list) && gone_index <= ours {
            path[list.len()] = (ours + 1).to_string();
        }
    }
    path
}

/// YAML for figment, whose own support rests on a crate that is no longer kept.
struct Yaml;

impl Format for Yaml {
    type Error = serde_norway::Error;
    const NAME: &'static str = "YAML";

    fn from_str<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Self::Error> {
        serde_norway::from_str(text)
    }
}

/// Settings from the command line.
struct Flags<'a>(&'a [(String, String)]);

impl Provider for Flags<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named("command line")
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        let mut figment = Figment::new();
        for (key, value) in self.0 {
            // Read like an environment variable: a number, a list, or else text.
            let value: Value = value.parse().unwrap_or_else(|_| Value::from(value.as_str()));
            let Some(dict) = nest(key, value).into_dict() else {
                continue;
            };
            figment = figment.merge(figment::providers::Serialized::defaults(dict));
        }
        figment.data()
    }
}

#[cfg(test)]
mod tests;
