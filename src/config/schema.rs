//! A JSON Schema of the configuration file: for editors, and for Helm, which refuses a misspelt key before it installs.
//!
//! The shape is that of the types: schemars reads the attributes that serde reads. What keys mean and what their defaults are
//! stands in `defaults.toml`, and is taken from there. Keys that have no default there, those of namespaces, are explained by
//! the comments of their fields.
//!
//! It takes all that the loader takes, but for what nobody writes: sections as lists, words by their number, blanks that
//! are not ASCII. It judges one value at a time; what values mean together, `roomcast check-config` says.

use schemars::{generate::SchemaSettings, transform::transform_subschemas};
use serde_json::{Map, Value, json};
use toml_edit::{DocumentMut, Item, RawString, Table};

use super::{Config, load::DEFAULTS};

/// The schema, of draft 7: the one that Helm and all editors know. It has no references, so that it can be put into another.
///
/// # Panics
/// Never: the embedded file is tested.
#[allow(clippy::expect_used)]
pub fn schema() -> Value {
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings.into_generator().into_root_schema_for::<Config>();
    tidy(&mut schema);
    let mut schema = schema.to_value();
    schema["title"] = json!("Roomcast");
    let defaults: DocumentMut = DEFAULTS.parse().expect("the defaults are TOML");
    describe(&mut schema, &defaults);
    schema
}

/// Says what types say in the words that give the shortest errors, and leaves out what only Rust knows.
fn tidy(schema: &mut schemars::Schema) {
    transform_subschemas(&mut tidy, schema);
    let Some(schema) = schema.as_object_mut() else {
        return;
    };
    // Names of Rust's numbers, which validators do not know.
    schema.remove("format");
    schema.remove("title");
    if schema.get("default") == Some(&Value::Null) {
        schema.remove("default");
    }
    // Lines of a comment of Rust.
    if let Some(Value::String(about)) = schema.get_mut("description") {
        *about = about.replace('\n', " ");
    }
    name_variants(schema);
    allow_null(schema);
}

/// One of several words: as a list of them, not as a schema each. What each means goes into the description.
fn name_variants(schema: &mut Map<String, Value>) {
    let Some(Value::Array(variants)) = schema.get("oneOf") else {
        return;
    };
    let words: Option<Vec<_>> = variants.iter().map(|variant| variant.get("const")).collect();
    let Some(words) = words.map(|words| words.into_iter().cloned().collect::<Vec<_>>()) else {
        return;
    };
    let meanings = variants.iter().filter_map(|variant| {
        Some(format!("{}: {}", variant.get("const")?, variant.get("description")?.as_str()?))
    });
    let about = schema.get("description").and_then(Value::as_str).map(str::to_owned);
    let description: Vec<_> = about.into_iter().chain(meanings).collect();
    schema.insert("description".into(), description.join("\n").into());
    schema.insert("type".into(), json!("string"));
    schema.insert("enum".into(), words.into());
    schema.remove("oneOf");
}

/// One of several words or nothing: as one list of them, too.
fn allow_null(schema: &mut Map<String, Value>) {
    let Some(Value::Array(either)) = schema.get("anyOf") else {
        return;
    };
    let [Value::Object(some), none] = &either[..] else {
        return;
    };
    let (Some(Value::Array(words)), true) = (some.get("enum"), *none == json!({ "type": "null" }))
    else {
        return;
    };
    let words: Vec<_> = words.iter().cloned().chain([Value::Null]).collect();
    schema.insert("type".into(), json!(["string", "null"]));
    schema.insert("enum".into(), words.into());
    schema.remove("anyOf");
}

/// Puts the comments and values of a table of the defaults where the schema has its keys.
fn describe(schema: &mut Value, table: &Table) {
    let mut above = None;
    for (index, (name, item)) in table.iter().enumerate() {
        // All of them have a default, so no file needs any.
        if let Some(Value::Array(required)) = schema.get_mut("required") {
            required.retain(|required| required != name);
        }
        let comments = match item {
            Item::Table(table) => table.decor().prefix(),
            _ => table.key(name).and_then(|key| key.leaf_decor().prefix()),
        };
        let (before, own) = comments.and_then(RawString::as_str).map(comment).unwrap_or_default();
        if index == 0 {
            above = before;
        }
        let node = &mut schema["properties"][name];
        if let Some(own) = own {
            node["description"] = own.into();
        }
        match item {
            Item::Table(table) => describe(node, table),
            Item::Value(value) => node["default"] = plain(value),
            _ => {}
        }
    }
    if schema["required"] == json!([])
        && let Some(schema) = schema.as_object_mut()
    {
        schema.remove("required");
    }
    // Below the header of a section and apart from its first key: that is of the section.
    if let Some(above) = above {
        schema["description"] = above.into();
    }
}

/// What the comment directly above says, and the one apart from it, before.
fn comment(lines: &str) -> (Option<String>, Option<String>) {
    let mut blocks: Vec<Vec<&str>> = vec![Vec::new()];
    for line in lines.lines() {
        match line.strip_prefix('#') {
            Some(text) => blocks.last_mut().into_iter().for_each(|block| block.push(text)),
            None => blocks.push(Vec::new()),
        }
    }
    // A line that is empty ends the one before, so that there is a last one.
    let own = blocks.pop().map(|block| paragraphs(&block)).filter(|text| !text.is_empty());
    let before = blocks.iter().rev().map(|block| paragraphs(block));
    (before.into_iter().find(|text| !text.is_empty()), own)
}

/// Lines of text as paragraphs. A line with a gap in it is a row of a table, and stays one. Examples are left out.
fn paragraphs(lines: &[&str]) -> String {
    let mut text = String::new();
    let mut after_row = true;
    for line in lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line).trim_end()) {
        if line.starts_with('[') {
            break;
        }
        let is_row = line.is_empty() || line.contains("  ");
        if !text.is_empty() {
            text.push(if is_row || after_row { '\n' } else { ' ' });
        }
        text.push_str(line);
        after_row = is_row;
    }
    text.trim_end().to_owned()
}

/// A value of TOML as one of JSON. The defaults have no dates, and no tables in a line.
fn plain(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => json!(text.value()),
        toml_edit::Value::Integer(number) => json!(number.value()),
        toml_edit::Value::Float(number) => json!(number.value()),
        toml_edit::Value::Boolean(flag) => json!(flag.value()),
        toml_edit::Value::Array(values) => values.iter().map(plain).collect(),
        toml_edit::Value::Datetime(_) | toml_edit::Value::InlineTable(_) => Value::Null,
    }
}

#[cfg(test)]
mod tests;
