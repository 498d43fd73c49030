//! `roomcast doctor` outside of a cluster; in one, see `kubernetes/rbac.rs`.

use std::process::Output;

use serde_json::Value;

use super::support::{OPEN, Pod, Redis, config_file, roomcast};

fn doctor(config: &str, args: &[&str]) -> (String, Output) {
    let file = config_file(config);
    let mut command = roomcast();
    command.args(["doctor", "--timeout", "1s", "--config"]).arg(file.path()).args(args);
    let output = command.env_remove("KUBERNETES_SERVICE_HOST").output().unwrap();
    (String::from_utf8(output.stdout.clone()).unwrap(), output)
}

/// Settings with a Redis, and one more setting of the backplane.
fn with(redis: &str, more: &str) -> String {
    format!(
        "{OPEN}\n[backplane]\nkind = \"pubsub\"\nurl = \"{redis}\"\ntimeout = \"500ms\"\nheartbeat = \"100ms\"\n{more}"
    )
}

#[test]
fn it_says_what_it_cannot_look_at() {
    let (lines, output) = doctor(OPEN, &[]);
    for line in [
        "skipped  redis: backplane.kind is \"none\"",
        "skipped  kubernetes: there is no cluster",
        "skipped  pod: none runs here",
        "skipped  ingress: nothing is known",
        "skipped  dns: the configuration has no names",
    ] {
        assert!(lines.contains(line), "{line}: {lines}");
    }
    assert!(lines.contains(" open files: "), "{lines}");
    assert_eq!(output.status.code(), Some(0), "{lines}");
}

#[test]
fn a_configuration_that_is_wrong_is_an_error_of_its_own() {
    let (lines, output) = doctor("drain.widnow = \"1s\"", &[]);
    assert!(lines.starts_with("error    configuration: drain"), "{lines}");
    assert!(lines.contains("did you mean `window`?"), "{lines}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn a_redis_that_is_well_is_ok_and_one_that_is_away_is_an_error() {
    let mut redis = Redis::start();
    let config = with(&redis.url(), "");
    let (lines, output) = doctor(&config, &[]);
    for about in ["redis: 7", "redis channels: ", "redis keys: ", "redis memory: "] {
        let major = if about == "redis: 7" { "redis: " } else { about };
        assert!(lines.contains(&format!("ok       {major}")), "{about}: {lines}");
    }
    assert_eq!(output.status.code(), Some(0), "{lines}");
    redis.kill();
    let (lines, output) = doctor(&config, &[]);
    assert!(lines.contains("error    redis: "), "{lines}");
    assert!(lines.contains("look at backplane.url"), "{lines}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_an_access_control_list_forbids_is_named() {
    let redis = Redis::start();
    redis.command("ACL SETUSER deaf on >pw ~* &none +@all");
    redis.command("ACL SETUSER keyless on >pw ~none &* +@all");
    let user =
        |name: &str| with(&redis.url(), &format!("username = \"{name}\"\npassword = \"pw\""));
    let (lines, output) = doctor(&user("deaf"), &[]);
    assert!(lines.contains("error    redis channels: "), "{lines}");
    assert!(lines.contains("ok       redis keys: "), "{lines}");
    assert_eq!(output.status.code(), Some(1));
    let (lines, _) = doctor(&user("keyless"), &[]);
    assert!(lines.contains("error    redis keys: ") && lines.contains("{roomcast}"), "{lines}");
    assert!(lines.contains("ok       redis channels: "), "{lines}");
    let (lines, _) =
        doctor(&with(&redis.url(), "username = \"nobody\"\npassword = \"secret-word\""), &[]);
    assert!(lines.contains("error    redis: ") && !lines.contains("secret-word"), "{lines}");
}

#[tokio::test]
async fn pods_are_asked_and_the_way_of_clients_is_tried() {
    let redis = Redis::start();
    let config = with(&redis.url(), "");
    let pods = [Pod::start(&config), Pod::start(&config)];
    for pod in &pods {
        pod.metric_reaches("roomcast_backplane_connected", 1.0).await;
    }
    let url = format!("http://{}", pods[0].public);
    let args = ["--internal-listen", &pods[0].internal, "--public-url", &url];
    let run = || doctor(&config, &args);
    let (lines, output) = run();
    for line in [
        "ok       pod: ready: serving",
        "ok       peers: 2 of 2 addresses answer",
        "ok       ingress: long-polling: a session begins",
        "ok       ingress: a WebSocket opens",
        "ok       ingress: the requests of 3 sessions reach their pods",
    ] {
        assert!(lines.contains(line), "{line}: {lines}");
    }
    assert_eq!(output.status.code(), Some(0), "{lines}");
    // Something else stands there.
    let url = format!("http://{}", pods[1].internal);
    let (lines, output) = doctor(&config, &["--public-url", &url]);
    assert!(lines.contains("error    ingress: ") && lines.contains("404"), "{lines}");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn it_is_a_list_of_json_for_programs() {
    let (json, output) = doctor(
        "[auth.jwt]\njwks_url = \"https://no-such-host.invalid/keys\"\naudience = \"a\"",
        &["--format", "json"],
    );
    let findings: Value = serde_json::from_str(&json).unwrap();
    let findings = findings.as_array().unwrap();
    let dns = findings.iter().find(|finding| finding["about"] == "dns").unwrap();
    assert_eq!(dns["level"], "error");
    assert!(dns["found"].as_str().unwrap().contains("no-such-host.invalid"));
    assert!(dns["remedy"].as_str().unwrap().contains("auth.jwt.jwks_url"));
    assert_eq!(output.status.code(), Some(1));
}
