#![allow(clippy::unwrap_used)]

use std::io::Write;

use super::*;
use crate::config::{BackplaneKind, JoinPolicy};

fn file(ending: &str, text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(ending: &str, text: &str, flags: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let file = file(ending, text);
    Sources {
        file: Some(file.path().to_owned()),
        flags: flags.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
    }
    .load()
}

fn problems(text: &str) -> Vec<String> {
    let error = load(".toml", text, &[]).unwrap_err();
    error.problems.iter().map(ToString::to_string).collect()
}

#[test]
fn the_defaults_are_complete() {
    let config = Config::defaults();
    assert_eq!(config.public.listen.len(), 2);
    assert_eq!(config.limits.max_payload, 1_000_000);
    assert!(config.namespaces.is_empty());
}

#[test]
fn toml_and_yaml_say_the_same() {
    let toml = "[[namespaces.\"/\".rooms]]\npattern = \"public-*\"\njoin = \"anyone\"\nrelay = [\"chat\"]\n\
                [namespaces.\"/\"]\nauth = \"none\"\n";
    let yaml = "namespaces:\n  /:\n    auth: none\n    rooms:\n      - pattern: public-*\n        \
                join: anyone\n        relay: chat\n";
    for config in [load(".toml", toml, &[]), load(".yaml", yaml, &[])] {
        let config = config.unwrap();
        let rule = &config.namespaces["/"].rooms[0];
        assert_eq!(rule.pattern, "public-*");
        assert_eq!(rule.join, JoinPolicy::Anyone);
        assert_eq!(rule.relay, ["chat"]);
    }
}

#[test]
fn flags_win_over_the_file() {
    let flags = [("public.listen", "127.0.0.1:1"), ("limits.send_queue", "99")];
    let config = load(".toml", "public.listen = \"127.0.0.1:2\"", &flags).unwrap();
    assert_eq!(config.public.listen, ["127.0.0.1:1".parse().unwrap()]);
    assert_eq!(config.limits.send_queue, 99);
}

#[test]
fn every_problem_is_named_with_key_value_source_and_remedy() {
    let found = problems(
        "[public]\nlisen = \"0.0.0.0:80\"\nbacklog = \"many\"\n\
         [drain]\ntimeout = \"soon\"\n\
         [engine]\nparser = \"xml\"\n\
         [[namespaces.\"/\".rooms]]\njoin = \"anyone\"\n\
         [[namespaces.\"/\".rooms]]\npattern = \"a\"\njoin = \"everyone\"\n",
    );
    let expect = [
        ("drain.timeout = \"soon\"", "expected a duration with its unit, such as \"25s\""),
        ("engine.parser = \"xml\"", "expected one of \"json\", \"msgpack\""),
        ("namespaces./.rooms.0", "`pattern` is missing"),
        ("namespaces./.rooms.1.join = \"everyone\"", "expected one of \"auto\", \"anyone\""),
        ("public.backlog = \"many\"", "expected u32"),
        ("public.lisen = \"0.0.0.0:80\"", "unknown key; did you mean `listen`?"),
    ];
    for (key, remedy) in expect {
        let line = found.iter().find(|line| line.starts_with(key));
        let line = line.unwrap_or_else(|| panic!("{key} in {found:#?}"));
        assert!(line.contains(remedy), "{line}");
        assert!(line.contains("(file ") || line.contains("is missing"), "{line}");
    }
}

#[test]
fn a_bare_number_is_a_size_in_bytes_and_no_duration() {
    let yaml = "limits:\n  max_payload: 2000000\nnamespaces:\n  /:\n    auth: none\n    limits:\n      max_payload: 4096\n";
    let config = load(".yaml", yaml, &[]).unwrap();
    assert_eq!(config.limits.max_payload, 2_000_000);
    assert_eq!(config.namespaces["/"].limits.max_payload, Some(4096));
    for (written, bytes) in [("3000000", 3_000_000), ("\"3000000\"", 3_000_000), ("3MB", 3_000_000)]
    {
        let config = load(".toml", "", &[("limits.max_payload", written)]).unwrap();
        assert_eq!(config.limits.max_payload, bytes, "{written}");
    }
    // What is refused is named, whatever kind of number it is, and wherever it came from.
    for (key, value) in [
        ("drain.timeout", "20"),
        ("engine.ping_interval", "25000"),
        ("limits.write_timeout", "-5"),
        ("limits.write_timeout", "1.5"),
        ("limits.max_payload", "-1"),
        ("limits.max_payload", "1.5"),
        ("limits.max_payload", "true"),
        ("api.idempotency_ttl", "3600"),
        ("hooks.timeout", "2"),
        ("public.backlog", "-1"),
    ] {
        let (section, name) = key.split_once('.').unwrap();
        let yaml = format!("{section}:\n  {name}: {value}\n");
        for error in [
            load(".toml", "", &[(key, value)]).unwrap_err(),
            load(".yaml", &yaml, &[]).unwrap_err(),
        ] {
            let text = error.problems[0].to_string();
            let rest = text.strip_prefix(&format!("{key} = {value}"));
            assert!(rest.is_some_and(|rest| rest.starts_with([' ', ':'])), "{text}");
            assert!(text.contains(": expected "), "{text}");
        }
    }
    let nothing = load(".yaml", "limits:\n  max_payload:\n", &[]).unwrap_err().to_string();
    assert!(nothing.contains("limits.max_payload = null ("), "{nothing}");
}

#[test]
fn secrets_are_never_shown() {
    let found = problems(
        "[api]\nkeys = [\"tiny key\", 123456789]\nkey = \"tiny misspelt\"\n\
         [auth]\njwt = \"tiny misplaced\"\n[backplane]\nulr = \"redis://tiny\"\n",
    );
    let text = found.join("\n");
    assert!(text.contains("(hidden)"), "{text}");
    assert!(!text.contains("tiny") && !text.contains("123456789"), "{text}");
}

#[test]
fn a_file_that_cannot_be_read_or_parsed_is_named() {
    let missing = Sources { file: Some("nowhere.toml".into()), flags: vec![] }.load().unwrap_err();
    assert!(missing.to_string().contains("nowhere.toml"), "{missing}");
    let broken = load(".toml", "[public\n", &[]).unwrap_err();
    assert!(broken.to_string().contains("cannot be parsed"), "{broken}");
}

#[test]
fn what_is_insecure_is_an_error_unless_it_is_allowed() {
    let short = file(".txt", "31 bytes, one less than is needed\n".get(..31).unwrap());
    let file_setting = format!("auth.jwt.secret_file = {:?}", short.path());
    for (text, key) in [
        ("api.keys = \"fifteen-letters\"", "api.keys"),
        ("api.keys = [\"a-key-of-16-bytes\", \"short\"]", "api.keys"),
        (
            "auth.jwt.secret = [\"a secret of thirty-two bytes, or more\", \"secret\"]",
            "auth.jwt.secret",
        ),
        (file_setting.as_str(), "auth.jwt.secret"),
        ("sessions.secret = \"secret\"", "sessions.secret"),
        ("public.proxies.trusted = [\"10.0.0.0/8\", \"0.0.0.0/0\"]", "public.proxies.trusted"),
        ("public.proxies.trusted = \"::/0\"", "public.proxies.trusted"),
        ("public.proxies.trusted = [\"0.0.0.0/1\"]", "public.proxies.trusted"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].starts_with(&format!("{key} = ")), "{found:?}");
        assert!(found[0].contains("allow_insecure = true"), "{found:?}");
        let allowed = load(".toml", &format!("allow_insecure = true\n{text}"), &[]).unwrap();
        assert!(allowed.warnings().iter().any(|warning| warning.key == key), "{text}");
    }
    for good in [
        "api.keys = \"sixteen-letters-\"",
        "auth.jwt.secret = \"a secret of at least 32 bytes ...\"",
        "public.proxies.trusted = [\"10.0.0.0/8\", \"fc00::/7\", \"192.0.2.1\"]",
    ] {
        assert!(load(".toml", good, &[]).is_ok(), "{good}");
    }
}

#[test]
fn what_is_weak_is_warned_of_and_works() {
    let text = "allow_insecure = true\n[api]\nkeys = \"short\"\n[auth.jwt]\nsecret = \"short\"\n[backplane]\nkind = \"none\"\nurl = \"redis://:pw@x\"\n\
                [engine]\nallow_eio3 = true\n[namespaces.\"/chat\"]\n";
    let warnings = load(".toml", text, &[]).unwrap().warnings();
    let keys: Vec<_> = warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(keys, ["api.keys", "auth.jwt.secret", "engine.allow_eio3", "backplane.url"]);
    assert!(!format!("{warnings:?}").contains("pw"), "{warnings:?}");
    assert!(Config::defaults().warnings().is_empty());
}

#[test]
fn an_address_of_redis_alone_makes_a_cluster_unless_the_kind_is_set() {
    let url = "[backplane]\nurl = \"redis://127.0.0.1\"\n";
    for (more, kind) in [
        ("", BackplaneKind::Pubsub),
        ("kind = \"auto\"", BackplaneKind::Pubsub),
        ("kind = \"sharded\"", BackplaneKind::Sharded),
        ("kind = \"none\"", BackplaneKind::None),
    ] {
        let config = load(".toml", &format!("{url}{more}"), &[]).unwrap();
        assert_eq!(config.backplane.kind(), kind, "{more}");
    }
    let secret = file(".txt", "redis://127.0.0.1\n");
    let from_file = format!("[backplane]\nurl_file = {:?}\n", secret.path());
    let config = load(".toml", &from_file, &[]).unwrap();
    assert_eq!(config.backplane.kind(), BackplaneKind::Pubsub);
    assert_eq!(Config::defaults().backplane.kind(), BackplaneKind::None);
    let alone = problems("backplane.kind = \"pubsub\"");
    assert!(alone[0].contains("needs backplane.url"), "{alone:?}");
}

#[test]
fn a_database_without_channels_of_its_own_is_warned_of() {
    let warned = |backplane: &str| {
        let warnings =
            load(".toml", &format!("[backplane]\n{backplane}\n"), &[]).unwrap().warnings();
        let mut warnings = warnings.into_iter().map(|warning| warning.to_string());
        warnings.find(|warning| warning.contains("backplane.channel_prefix"))
    };
    let warning = warned("url = \"redis://:pw@127.0.0.1:6379/7\"").unwrap();
    assert!(warning.contains("database 7") && warning.contains("socket.io-7"), "{warning}");
    assert!(!warning.contains("pw"), "{warning}");
    for nothing in [
        "url = \"redis://127.0.0.1\"",
        "url = \"redis://127.0.0.1/0\"",
        "url = \"redis://127.0.0.1/7\"\nchannel_prefix = \"mine\"",
        "url = \"redis-cluster://127.0.0.1/7\"",
        "url = \"redis://127.0.0.1/7\"\nkind = \"none\"",
    ] {
        assert_eq!(warned(nothing), None, "{nothing}");
    }
}

#[test]
fn a_drain_without_time_is_warned_of_where_others_take_over() {
    let keys = |text: &str| {
        let warnings = load(".toml", text, &[]).unwrap().warnings();
        warnings.into_iter().map(|warning| warning.key).collect::<Vec<_>>()
    };
    let redis = "backplane.url = \"redis://127.0.0.1\"\n";
    assert_eq!(keys(redis), ["drain.delay", "drain.window"]);
    assert_eq!(keys(&format!("{redis}drain.window = \"1s\"")), ["drain.delay"]);
    assert!(keys(&format!("{redis}drain.window = \"1s\"\ndrain.delay = \"1s\"")).is_empty());
    assert!(keys("").is_empty());
}

#[test]
fn a_wait_for_a_rollout_that_nobody_tells_of_is_warned_of() {
    let keys = |text: &str| {
        let text = format!("drain.window = \"1s\"\ndrain.delay = \"1s\"\n{text}");
        let warnings = load(".toml", &text, &[]).unwrap().warnings();
        warnings.into_iter().map(|warning| warning.key).collect::<Vec<_>>()
    };
    assert_eq!(keys("drain.rollout_wait = \"5m\""), ["drain.rollout_wait"]);
    let redis = "backplane.url = \"redis://127.0.0.1\"\n";
    assert!(keys(&format!("{redis}drain.rollout_wait = \"5m\"")).is_empty());
    assert!(keys("drain.rollout_wait = \"0s\"").is_empty());
}

#[test]
fn an_origin_that_never_matches_is_a_problem() {
    for key in ["admission.origins", "public.cors.origins"] {
        for origin in ["https://*.com", "https://app.example.com/chat", "app.example.com"] {
            let found = problems(&format!("{key} = [\"https://ok.example\", {origin:?}]"));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with(&format!("{key} = {origin:?}: expected scheme")),
                "{found:?}"
            );
        }
        for origin in ["HTTPS://App.example.com:443", "https://*.example.com"] {
            assert!(load(".toml", &format!("{key} = {origin:?}"), &[]).is_ok());
        }
    }
    assert!(load(".toml", "public.cors.origins = \"*\"", &[]).is_ok());
    assert!(problems("admission.origins = \"*\"")[0].contains("expected scheme"));
}

#[test]
fn the_publish_stream_says_what_it_needs() {
    let stream = "[publish.stream]\nenabled = true\ngroup = \"\"\nbatch = 0\nclaim_after = \"1s\"\n\
                  max_deliveries = 0\ndead_letter_max_len = 0";
    let found = problems(stream);
    for key in ["enabled", "group", "batch", "claim_after", "max_deliveries", "dead_letter_max_len"]
    {
        let key = format!("publish.stream.{key} = ");
        assert!(found.iter().any(|problem| problem.starts_with(&key)), "{key} {found:?}");
    }
    assert!(load(".toml", &stream.replace("enabled = true", "enabled = false"), &[]).is_ok());
}
