//! The internal listener: the API's errors, probes and metrics.

use serde_json::{Value, json};

use super::support::{API_KEY, OPEN, Pod, get};

#[tokio::test]
async fn an_emit_is_accepted_with_a_key_only() {
    let pod = Pod::start(OPEN);
    let body = json!({"event": "news"}).to_string();
    assert_eq!(
        pod.publish_raw(Some(API_KEY), body.clone()).await,
        (200, json!({"accepted": true}))
    );
    for key in [None, Some("a-key-for-the-tests-onlyy"), Some("")] {
        let (status, answer) = pod.publish_raw(key, body.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (401, &json!("unauthorized")), "{key:?}");
    }
    pod.metric_reaches(
        "roomcast_api_requests_total{path=\"/api/v1/emit\",result=\"unauthorized\"}",
        3.0,
    )
    .await;
    pod.metric_reaches("roomcast_emits_total{source=\"api\"}", 1.0).await;
}

#[tokio::test]
async fn without_keys_the_api_is_off() {
    let pod = Pod::start("");
    let (status, answer) = pod.publish(&json!({"event": "news"})).await;
    assert_eq!((status, &answer["error"]["code"]), (403, &json!("api_disabled")));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_said() {
    let pod = Pod::start(OPEN);
    for (body, status, code, word) in [
        ("", 400, "invalid_request", "EOF"),
        ("[]", 400, "invalid_request", "struct"),
        ("{\"event\":", 400, "invalid_request", "EOF"),
        ("{}", 400, "invalid_request", "event"),
        (r#"{"event":"a","rom":["x"]}"#, 400, "invalid_request", "rom"),
        (r#"{"event":""}"#, 400, "invalid_request", "event"),
        (r#"{"event":"connect"}"#, 400, "invalid_request", "reserved"),
        (r#"{"event":"a","rooms":[]}"#, 400, "invalid_request", "leave it out"),
        (r#"{"event":"a","rooms":"x"}"#, 400, "invalid_request", "sequence"),
        (r#"{"event":"a","namespace":"/none"}"#, 404, "unknown_namespace", "/none"),
    ] {
        let (got, answer) = pod.publish_raw(Some(API_KEY), body.into()).await;
        assert_eq!((got, &answer["error"]["code"]), (status, &json!(code)), "{body}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{body}: {answer}");
    }
    let huge = json!({"event": "a", "args": ["x".repeat(1_100_000)]});
    let (status, answer) = pod.publish(&huge).await;
    assert_eq!((status, &answer["error"]["code"]), (413, &json!("payload_too_large")));

    let (status, answer) = get(&format!("http://{}/api/v1/emit", pod.internal)).await;
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!((status, &answer["error"]["code"]), (401, &json!("unauthorized")));
    let request = reqwest::Client::new().get(format!("http://{}/api/v1/emit", pod.internal));
    let answer: Value = request.bearer_auth(API_KEY).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"]["code"], "method_not_allowed");
    let request = reqwest::Client::new().post(format!("http://{}/api/v1/nothing", pod.internal));
    let answer: Value = request.bearer_auth(API_KEY).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"]["code"], "not_found");
}

#[tokio::test]
async fn probes_answer_and_every_metric_is_of_the_reference() {
    let pod = Pod::start(OPEN);
    assert_eq!(get(&format!("http://{}/livez", pod.internal)).await, (200, "ok\n".into()));
    assert_eq!(get(&format!("http://{}/readyz", pod.internal)).await, (200, "serving\n".into()));
    pod.publish(&json!({"event": "news"})).await;
    let (_, page) = get(&format!("http://{}/metrics", pod.internal)).await;
    let reference = include_str!("../../docs/metrics.md");
    let names = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let ours: Vec<_> = names.filter(|name| name.starts_with("roomcast_")).collect();
    assert!(ours.contains(&"roomcast_emit_duration_seconds"), "{ours:?}");
    for name in ours {
        assert!(reference.contains(&format!("| `{name}` |")), "{name}");
    }
    assert!(page.contains("process_resident_memory_bytes"));
    // The internal paths are not on the public listener.
    for path in ["livez", "readyz", "metrics", "api/v1/emit", ""] {
        assert_eq!(get(&format!("http://{}/{path}", pod.public)).await.0, 404, "{path}");
    }
}
