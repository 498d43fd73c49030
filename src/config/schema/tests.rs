#![allow(clippy::unwrap_used)]

use std::{fs, path::Path, sync::LazyLock};

use figment::{
    Figment,
    providers::{Format, Toml},
};
use jsonschema::Validator;
use proptest::prelude::*;
use serde::de::{IntoDeserializer, value};

use super::*;
use crate::config::{Sources, values};

fn validator() -> Validator {
    jsonschema::draft7::new(&schema()).unwrap()
}

fn toml(text: &str) -> Value {
    Figment::from(Toml::string(text)).extract().unwrap_or_else(|error| panic!("{error}:\n{text}"))
}

/// What is wrong with a configuration.
fn errors(config: &Value) -> Vec<String> {
    let validator = validator();
    let errors = validator.iter_errors(config);
    errors.map(|error| format!("{}: {error}", error.instance_path())).collect()
}

#[track_caller]
fn assert_fits(text: &str) {
    assert_eq!(errors(&toml(text)), Vec::<String>::new(), "{text}");
}

/// Each schema within a schema, with the way to it.
fn walk(schema: &Value, way: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(way, schema);
    let inner = |name: &str| schema.get(name).filter(|inner| inner.is_object());
    for (name, property) in
        schema.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        walk(property, &format!("{way}/{name}"), visit);
    }
    for name in ["items", "additionalProperties"] {
        if let Some(inner) = inner(name) {
            walk(inner, &format!("{way}/*"), visit);
        }
    }
    for either in schema.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        walk(either, way, visit);
    }
}

/// The example of namespaces in the defaults, where each line is a comment.
fn example() -> String {
    let from = DEFAULTS.find("# [namespaces.\"/\"]").unwrap();
    let lines = DEFAULTS[from..].lines().take_while(|line| line.starts_with('#'));
    lines.map(|line| line[1..].to_owned() + "\n").collect()
}

#[test]
fn the_defaults_and_their_example_fit() {
    assert_fits(DEFAULTS);
    let example = example();
    assert!(example.contains("default_rooms") && example.contains(".events]]"), "{example}");
    assert_fits(&example);
    assert_fits("");
}

#[test]
fn every_example_of_the_docs_fits() {
    let mut found = 0;
    let mut fits = |text: &str, file: &Path| {
        // Those of programs have a Cargo.toml.
        if !text.contains("[dependencies]") {
            assert_eq!(errors(&toml(text)), Vec::<String>::new(), "{}:\n{text}", file.display());
            found += 1;
        }
    };
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()];
    folders.extend(["docs", "examples"].map(|name| folders[0].join(name)));
    for file in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
        let file = file.unwrap().path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        match ending {
            Some("md") => {
                let text = fs::read_to_string(&file).unwrap();
                let blocks = text.split("```toml\n").skip(1);
                blocks.for_each(|block| fits(block.split("```").next().unwrap(), &file));
            }
            Some("toml") if file.starts_with(&folders[2]) => {
                fits(&fs::read_to_string(&file).unwrap(), &file);
            }
            _ => {}
        }
    }
    assert!(found >= 4, "{found}");
}

#[test]
fn every_key_of_the_defaults_is_in_it_with_its_words_and_default() {
    fn compare(defaults: &Value, schema: &Value, way: &str) {
        let Some(keys) = defaults.as_object() else {
            assert_eq!(&schema["default"], defaults, "{way}");
            assert!(schema.get("type").is_some() || schema.get("anyOf").is_some(), "{way}");
            return;
        };
        for (key, value) in keys {
            let way = format!("{way}.{key}");
            let schema = schema["properties"].get(key).unwrap_or_else(|| panic!("{way}"));
            assert!(!schema["description"].as_str().unwrap_or_default().is_empty(), "{way}");
            if !matches!(&way[..], ".namespaces" | ".telemetry.buckets") {
                compare(value, schema, &way);
            }
        }
    }
    compare(&toml(DEFAULTS), &schema(), "");
}

#[test]
fn what_keys_mean_is_what_the_defaults_say() {
    let schema = schema();
    let about = |pointer: &str| {
        let pointer = format!("/properties/{}/description", pointer.replace('.', "/properties/"));
        schema.pointer(&pointer).unwrap().as_str().unwrap()
    };
    assert_eq!(about("drain.window").lines().count(), 1);
    assert!(
        about("drain.window").contains("evenly over this time, idle ones first; stock clients")
    );
    assert!(about("admission").starts_with("Which new sessions the pod takes"));
    assert!(about("admission.max_connections").starts_with("Connections of the pod; 0: no limit."));
    assert!(about("engine").contains("under the names that Socket.IO on Node"));
    assert_eq!(about("engine.ping_timeout"), "Time a client has to answer one.");
    assert!(about("telemetry.buckets").starts_with("Upper bounds of the buckets"));
    assert!(about("backplane.kind").contains("\n  \"none\"     one pod on its own\n"));
    let namespaces = about("namespaces");
    assert!(namespaces.ends_with("can only be published to."), "{namespaces}");
    assert!(schema["description"].as_str().unwrap().starts_with("Every setting of Roomcast"));
}

#[test]
fn every_level_is_closed_and_every_key_explained() {
    let (mut levels, mut keys) = (0, 0);
    walk(&schema(), "", &mut |way, schema| {
        if schema.get("properties").is_some() {
            assert_eq!(schema["additionalProperties"], false, "{way}");
            levels += 1;
        }
        if !way.ends_with('*') {
            let about = schema["description"].as_str();
            keys += usize::from(about.is_some_and(|about| !about.contains("[`")));
        }
        assert!(schema.get("$ref").is_none() && schema.get("format").is_none(), "{way}");
    });
    assert!(levels > 20, "{levels}");
    // A choice of several has its words once, above.
    let mut unexplained = Vec::new();
    walk(&schema(), "", &mut |way, schema| {
        for (name, property) in
            schema.get("properties").and_then(Value::as_object).into_iter().flatten()
        {
            let about = property["description"].as_str().unwrap_or_default();
            if about.is_empty() || about.contains("[`") {
                unexplained.push(format!("{way}/{name}: {about}"));
            }
        }
    });
    assert_eq!(unexplained, Vec::<String>::new());
    assert!(keys > 150, "{keys}");
}

#[test]
fn a_misspelt_key_is_an_error_at_every_level() {
    for text in [
        "publik.path = \"/a/\"",
        "allow_insecur = true",
        "limits.max_paylod = 1",
        "public.cors.orgins = []",
        "public.http_compression.treshold = 1",
        "engine.per_message_deflate.enable = true",
        "sessions.affinity_cookie.nam = \"a\"",
        "backplane.tls.ca = \"a\"",
        "publish.stream.enable = true",
        "auth.jwt.jwks = \"a\"",
        "telemetry.bucket = {}",
        "api.keys = [{ key = \"k\", scope = [\"emit\"] }]",
        "namespaces.chat = {}",
        "namespaces.\"/\".auht = \"none\"",
        "namespaces.\"/\".limits.event_per_second = 1",
        "namespaces.\"/\".hooks.conect = \"http://a/\"",
        "namespaces.\"/\".rooms = [{ pattern = \"a\", join = \"anyone\", realy = [\"a\"] }]",
        "namespaces.\"/\".events = [{ name = \"a\", actoin = \"relay\" }]",
        // What is missing, too.
        "namespaces.\"/\".rooms = [{ pattern = \"a\" }]",
        "namespaces.\"/\".events = [{ action = \"relay\" }]",
        "api.keys = [{ name = \"shop\" }]",
    ] {
        let errors = errors(&toml(text));
        assert_eq!(errors.len(), 1, "{text}: {errors:?}");
    }
}

/// Settings, each of which the loader takes or refuses on its own.
const SPELLINGS: [(&str, bool); 61] = [
    ("drain.delay = \"1m 30s\"", true),
    ("drain.delay = \"0\"", true),
    ("drain.delay = \"0.5s\"", true),
    ("drain.delay = \"1 0 ms2us\"", true),
    ("drain.delay = 5", false),
    ("drain.delay = \"5\"", false),
    ("drain.delay = \"5 fortnights\"", false),
    ("drain.delay = \"s\"", false),
    ("drain.delay = \"\"", false),
    ("drain.delay = \"-1s\"", false),
    ("limits.max_payload = 5000", true),
    ("limits.max_payload = \"5000\"", true),
    ("limits.max_payload = \"+5000\"", true),
    ("limits.max_payload = \"1MiB\"", true),
    ("limits.max_payload = \"1.5 mb\"", true),
    ("limits.max_payload = \"5.k\"", true),
    ("limits.max_payload = \"5000b\"", true),
    ("limits.max_payload = -1", false),
    ("limits.max_payload = 1.5", false),
    ("limits.max_payload = \"1 MBit\"", false),
    ("limits.max_payload = \"MB\"", false),
    ("limits.memory = \"none\"", true),
    ("limits.memory = \"400MiB\"", true),
    ("limits.memory = \"400000000\"", true),
    ("limits.memory = 400000000", false),
    ("limits.memory = \"half\"", false),
    ("limits.depth = 12", true),
    ("limits.depth = \"12\"", false),
    ("limits.depth = true", false),
    ("limits.over = \"disconnect\"", true),
    ("limits.over = \"ignore\"", false),
    ("admission.ready_share = 1", true),
    ("admission.ready_share = 0.5", true),
    ("admission.ready_share = \"0.5\"", false),
    ("public.listen = \"127.0.0.1:0\"", true),
    ("public.listen = [\"127.0.0.1:0\", \"[::1%1]:00080\"]", true),
    ("public.listen = \"localhost:3000\"", false),
    ("public.listen = \":3000\"", false),
    ("public.listen = 3000", false),
    ("public.serve_client = false", true),
    ("public.serve_client = \"false\"", false),
    ("public.kept_headers = \"user-agent\"", true),
    ("public.kept_headers = [1]", false),
    ("public.proxies.trusted = \"10.0.0.0/8\"", true),
    ("public.proxies.trusted = [\"10.0.0.1\", \"fd00::/8\"]", true),
    ("public.proxies.trusted = \"balancer\"", false),
    ("engine.transports = \"websocket\"", true),
    ("engine.transports = [\"polling\", \"websocket\"]", true),
    ("engine.transports = \"webtransport\"", false),
    ("engine.transports = [\"webtransport\"]", false),
    ("api.keys = \"a key of 16 letters\"", false),
    ("api.keys = \"a-key-of-16-letters\"", true),
    (
        "api.keys = [\"a-key-of-16-letters\", { key = \"another-key-of-it\", scopes = \"emit\" }]",
        true,
    ),
    ("api.keys = { key = \"another-key-of-it\" }", false),
    ("api.keys = [{ key = \"another-key-of-it\", scopes = [\"write\"] }]", false),
    ("telemetry.buckets.roomcast_emit_duration_seconds = [1, 2.5]", true),
    ("telemetry.buckets.roomcast_emit_duration_seconds = 1", false),
    (
        "[namespaces.\"/\"]\nauth = \"none\"\ndefault_rooms = \"a\"\nlimits.max_payload = \"1KiB\"",
        true,
    ),
    (
        "[namespaces.\"/\"]\nauth = \"none\"\nrooms = [{ pattern = \"a\", join = \"anyone\", relay = \"b\" }]",
        true,
    ),
    ("[namespaces.\"/\"]\nauth = \"none\"\nauth_timeout = 5", false),
    ("[namespaces.\"/\"]\nauth = \"nobody\"", false),
];

#[test]
fn it_judges_each_spelling_as_the_loader_does() {
    for (text, fits) in SPELLINGS {
        let file = tempfile::Builder::new().suffix(".toml").tempfile().unwrap();
        fs::write(file.path(), text).unwrap();
        let loaded = Sources { file: Some(file.path().to_owned()), flags: vec![] }.load();
        assert_eq!(loaded.is_ok(), fits, "{text}: {:?}", loaded.err());
        let errors = errors(&toml(text));
        // That keys have no blanks is for the loader alone to say.
        if text != "api.keys = \"a key of 16 letters\"" {
            assert_eq!(errors.is_empty(), fits, "{text}: {errors:?}");
        }
    }
}

#[test]
fn null_in_yaml_is_as_for_the_loader() {
    for (text, fits) in [
        ("namespaces: {/: {auth: none, events: [{name: a, action: relay, hook: null}]}}", true),
        (
            "namespaces: {/: {auth: none, events: [{name: a, action: null, hook: 'http://a/'}]}}",
            true,
        ),
        ("namespaces: {/: {auth: none, limits: {over: null, events_burst: null}}}", true),
        ("namespaces: {/: {auth: none, auth_timeout: null}}", false),
        ("namespaces: null", false),
        ("public: {path: null}", false),
    ] {
        let file = tempfile::Builder::new().suffix(".yaml").tempfile().unwrap();
        // Hooks need a key to sign with.
        let text = format!("{text}\nhooks: {{secrets: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}\n");
        fs::write(file.path(), &text).unwrap();
        let loaded = Sources { file: Some(file.path().to_owned()), flags: vec![] }.load();
        assert_eq!(loaded.is_ok(), fits, "{text}: {:?}", loaded.err());
        let errors = errors(&serde_norway::from_str(&text).unwrap());
        assert_eq!(errors.is_empty(), fits, "{text}: {errors:?}");
    }
}

fn read(text: &str) -> value::StrDeserializer<'_, value::Error> {
    text.into_deserializer()
}

/// The schema of one key.
fn of(pointer: &str) -> Validator {
    jsonschema::draft7::new(schema().pointer(pointer).unwrap()).unwrap()
}

static DELAY: LazyLock<Validator> = LazyLock::new(|| of("/properties/drain/properties/delay"));
static PAYLOAD: LazyLock<Validator> =
    LazyLock::new(|| of("/properties/limits/properties/max_payload"));

proptest! {
    /// Whatever the loader reads, the schema takes.
    #[test]
    fn no_duration_or_size_is_refused_that_the_loader_reads(
        duration in "( ?[0-9][0-9 ]{0,2}(\\.[0-9]{1,2} ?)? ?(n(ano)?s|nanos|nsec|us|µs|usec|ms|msec|millis|s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?|w|wks?|weeks?|M|months?|y|yrs?|years?)){1,2}[ \t]?",
        size in "[+]?[0-9]{0,3}[.]?[0-9]{1,2} {0,2}([kKmMgGtTpPeE][iI]?)?[bB]?",
    ) {
        if values::AsDuration::deserialize(read(&duration)).is_ok() {
            prop_assert!(DELAY.is_valid(&json!(duration)), "{duration:?}");
        }
        if values::AsSize::deserialize(read(&size)).is_ok() {
            prop_assert!(PAYLOAD.is_valid(&json!(size)), "{size:?}");
        }
    }
}
