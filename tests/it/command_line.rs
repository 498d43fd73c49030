//! Commands, exit codes, and where settings come from.

use std::process::Output;

use serde_json::json;

use super::{
    raw::Raw,
    support::{API_KEY, OPEN, Pod, config_file, roomcast},
};

fn run(args: &[&str]) -> Output {
    roomcast().args(args).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn version_names_commit_and_build_date() {
    let version = stdout(&run(&["--version"]));
    assert!(version.starts_with("roomcast 0."), "{version}");
    assert!(version.contains("commit ") && version.contains("built 20"), "{version}");
}

#[test]
fn the_printed_defaults_are_a_valid_configuration() {
    let defaults = stdout(&run(&["print-config"]));
    let file = config_file(&defaults);
    let output = run(&["check-config", "--config", file.path().to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn the_printed_schema_is_one_of_draft_7_without_references() {
    let output = run(&["config-schema"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let schema: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(schema["properties"]["drain"]["properties"]["timeout"]["default"], "20s");
    assert!(!stdout(&output).contains("\"$ref\""));
}

#[test]
fn check_config_says_all_that_is_wrong_with_exit_code_64() {
    let file = config_file(
        "[public]\nlisen = \"x\"\npath = \"//\"\ntcp_keepalive = \"500ms\"\n[drain]\ntimeout = \"1s\"\nwindow = \"2s\"\n\
         [log]\nlevel = \"a=b=c\"\n[backplane]\nkind = \"nats\"\n[namespaces.\"/\"]\n",
    );
    let output = run(&[
        "check-config",
        "--config",
        file.path().to_str().unwrap(),
        "--set",
        "limits.send_queue=1",
    ]);
    assert_eq!(output.status.code(), Some(64));
    let text = stderr(&output);
    for line in [
        "public.lisen = \"x\" (file ",
        "did you mean `listen`?",
        "public.path = \"//\": expected a path",
        "public.tcp_keepalive = 500ms: the system takes whole seconds",
        "drain.timeout = 1s: must be longer than drain.window",
        "backplane.kind = \"nats\" (file ",
        "expected one of \"auto\", \"none\", \"pubsub\", \"sharded\"",
        "namespaces./.auth = \"required\": needs auth.jwt.secret",
        "limits.send_queue = 1: must be at least 16",
        "log.level = \"a=b=c\": ",
    ] {
        assert!(text.contains(line), "{line}\nin\n{text}");
    }
}

#[test]
fn check_config_warns_of_what_works_for_one_pod_only() {
    let warnings = |more: &[&str]| {
        let url = ["check-config", "--set", "backplane.url=redis://redis:6379"];
        let output = run(&[&url[..], more].concat());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        stderr(&output)
    };
    let text = warnings(&[]);
    for line in [
        "warning: internal.listen = [127.0.0.1:9000]: nobody on another machine reaches it",
        "warning: drain.delay = 0ns: ",
        "warning: drain.window = 0ns: all connections are closed at once",
    ] {
        assert!(text.contains(line), "{line}\nin\n{text}");
    }
    let listen = "internal.listen=0.0.0.0:9000";
    let set = ["--set", listen, "--set", "drain.delay=5s", "--set", "drain.window=10s"];
    assert_eq!(warnings(&set), "");
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let check = |environment: &[(&str, &str)], flags: &[&str]| {
        let file = config_file("limits.name_length = 1");
        let output = roomcast()
            .args(["check-config", "--config", file.path().to_str().unwrap()])
            .args(flags)
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        (output.status.code(), stderr(&output))
    };
    assert!(check(&[], &[]).1.contains("limits.name_length = 1"));
    let environment = [("ROOMCAST__LIMITS__NAME_LENGTH", "2")];
    assert!(check(&environment, &[]).1.contains("limits.name_length = 2"));
    assert!(
        check(&environment, &["--set", "limits.name_length=3"])
            .1
            .contains("limits.name_length = 3")
    );
    assert_eq!(check(&environment, &["--set", "limits.name_length=99"]).0, Some(0));
    let unknown = check(&[("ROOMCAST__PUBLIC__LISTN", "x")], &["--set", "limits.name_length=99"]);
    assert!(unknown.1.contains("public.listn") && unknown.1.contains("`listen`"), "{}", unknown.1);
}

#[test]
fn wrong_usage_is_64_and_a_failure_is_1() {
    assert_eq!(run(&["--no-such-flag"]).status.code(), Some(64));
    assert_eq!(run(&["--config", "/nowhere.toml"]).status.code(), Some(64));
    assert_eq!(run(&["--set", "log.level=a=b=c", "serve"]).status.code(), Some(64));
    assert_eq!(run(&["token", "--sub", "ada"]).status.code(), Some(64));
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["--listen", &address, "--internal-listen", "127.0.0.1:0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("cannot listen on {address} (public.listen)")));
    let unreachable = run(&["emit", "--url", "http://127.0.0.1:1", "--api-key", API_KEY, "event"]);
    assert_eq!(unreachable.status.code(), Some(1), "{}", stderr(&unreachable));
}

#[test]
fn a_token_is_not_printed_when_it_would_not_be_what_was_asked_for() {
    let file = config_file("[auth.jwt]\nsecret = \"a secret for the tests only, long enough\"\n");
    let token = |flags: &[&str]| {
        let config = ["token", "--config", file.path().to_str().unwrap(), "--sub", "ada"];
        run(&[&config[..], flags].concat())
    };
    for (flag, value, remedy) in [
        ("--ttl", "0s", "1s or more"),
        ("--ttl", "999ms", "1s or more"),
        ("--ttl", "soon", "expected number"),
        ("--claim", "sub=eve", "with --sub"),
        ("--claim", "exp=4102444800", "with --ttl"),
        ("--claim", "iat=1", "leave it out"),
        ("--claim", "role", "expected KEY=VALUE"),
    ] {
        let refused = token(&[flag, value]);
        let text = stderr(&refused);
        assert_eq!((refused.status.code(), stdout(&refused).as_str()), (Some(64), ""), "{text}");
        for part in [flag, value, remedy] {
            assert!(text.contains(part), "{part}\nin\n{text}");
        }
    }
    for good in [["--ttl", "1s"], ["--claim", "role=admin"]] {
        let output = token(&good);
        assert_eq!(stdout(&output).trim().split('.').count(), 3, "{}", stderr(&output));
    }
}

#[test]
fn emit_says_which_option_cannot_be_used() {
    for url in ["127.0.0.1:9000", "localhost:9000", "ftp://pod:9000", "http://", "http://pod?x=1"] {
        let refused = run(&["emit", "--url", url, "--api-key", API_KEY, "event"]);
        assert_eq!(refused.status.code(), Some(64), "{url}");
        for part in ["--url", url, "expected http://HOST:PORT"] {
            assert!(stderr(&refused).contains(part), "{part}\nin\n{}", stderr(&refused));
        }
    }
    let to = ["emit", "--url", "http://127.0.0.1:1"];
    for (flags, code, text) in [
        (&["--config", "/nowhere.toml", "--api-key", API_KEY][..], 64, "/nowhere.toml"),
        (&["--set", "api.kes=x", "--api-key", API_KEY], 64, "api.kes"),
        (&[], 64, "api.keys of --config"),
        (&["--api-key", "two\nlines"], 64, "--idempotency-key, cannot be sent"),
        (&["--api-key", API_KEY], 1, "http://127.0.0.1:1/api/v1/emit cannot be reached"),
    ] {
        let output = run(&[&to[..], flags, &["event"]].concat());
        assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
        assert!(stderr(&output).contains(text), "{text}\nin\n{}", stderr(&output));
    }
}

#[tokio::test]
async fn emit_has_the_key_and_the_address_of_the_configuration() {
    let pod = Pod::start(OPEN);
    let mut member = Raw::member(&pod).await;
    for listen in [pod.internal.to_string(), pod.internal.replace("127.0.0.1", "0.0.0.0")] {
        let file = config_file(&format!("internal.listen = {listen:?}\n{OPEN}"));
        let emit = move || run(&["emit", "--config", file.path().to_str().unwrap(), "news"]);
        let output = tokio::task::spawn_blocking(emit).await.unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
        member.expect(r#"42["news"]"#).await;
    }
}

#[tokio::test]
async fn emit_publishes_through_a_running_pod() {
    let pod = Pod::start(OPEN);
    let mut member = Raw::member(&pod).await;
    let url = format!("http://{}", pod.internal);
    let emit = |key: &'static str| {
        let url = url.clone();
        tokio::task::spawn_blocking(move || {
            run(&[
                "emit",
                "--url",
                &url,
                "--api-key",
                key,
                "-r",
                "public-a",
                "news",
                "{\"n\":1}",
                "plain text",
            ])
        })
    };
    let output = emit(API_KEY).await.unwrap();
    assert_eq!(
        stdout(&output).trim(),
        json!({"accepted": true}).to_string(),
        "{}",
        stderr(&output)
    );
    member.expect(r#"42["news",{"n":1},"plain text"]"#).await;

    // With a key, it is emitted once.
    for _ in 0..2 {
        let url = url.clone();
        let again = move || {
            let key = ["--idempotency-key", "one"];
            run(&[&["emit", "--url", &url, "--api-key", API_KEY, "again"][..], &key[..]].concat())
        };
        let output = tokio::task::spawn_blocking(again).await.unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    assert_eq!(pod.metric("roomcast_emits_total{source=\"api\"}").await, 2.0);

    let refused = emit("some-other-key-of-an-api").await.unwrap();
    assert_eq!(refused.status.code(), Some(1));
    assert!(stderr(&refused).contains("unauthorized"), "{}", stderr(&refused));
}

#[tokio::test]
async fn secrets_come_from_files_and_never_reach_the_log() {
    let secret = "a secret for the tests only, long enough";
    let keys = config_file(&format!("{API_KEY}\n\nanother-key-of-the-tests\n"));
    let jwt = config_file(secret);
    let config = format!(
        "[api]\nkeys_file = {:?}\n[auth.jwt]\nsecret_file = {:?}\n[namespaces.\"/\"]\n",
        keys.path(),
        jwt.path()
    );
    let pod = Pod::start_with_log(&config, "trace");
    let event = json!({"event": "e", "args": ["a payload that is private"]});
    assert_eq!(pod.publish(&event).await.0, 200);
    let (status, _) = pod.publish_raw(Some("another-key-of-the-tests"), event.to_string()).await;
    assert_eq!(status, 200);
    let mut raw = Raw::open(&pod).await;
    raw.send(tokio_tungstenite::tungstenite::Message::text("40{\"token\":\"a.bad.token\"}")).await;
    raw.expect("44{\"data\":{\"code\":\"token_invalid\"}").await;
    let logs = serde_json::to_string(&pod.logs()).unwrap();
    for private in [API_KEY, secret, "another-key", "a.bad.token", "a payload that is private"] {
        assert!(!logs.contains(private), "{private} is in the log");
    }
}
