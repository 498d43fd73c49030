//! The internal listener: the API's errors, probes and metrics.

use std::{io::Write, time::Duration};

use roomcast::client::Client;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::{
    raw::Raw,
    support::{API_KEY, OPEN, PATIENCE, Pod, Redis, get},
};

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
        (
            r#"{"event":"a","rooms":[]}"#,
            400,
            "invalid_request",
            "rooms: is empty or null; leave it out",
        ),
        (
            r#"{"event":"a","rooms":null}"#,
            400,
            "invalid_request",
            "rooms: is empty or null; leave it out",
        ),
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

    let (status, answer) = pod.ask("sockets/%ff").await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")));
    assert!(answer["error"]["message"].as_str().unwrap().contains("`id`"), "{answer}");
    let counted =
        r#"roomcast_api_requests_total{path="/api/v1/sockets/{id}",result="invalid_request"}"#;
    assert_eq!(pod.metric(counted).await, 1.0);
}

#[tokio::test]
async fn a_list_that_is_empty_or_null_does_not_mean_everyone() {
    let pod = Pod::start(OPEN);
    let client = Client::builder(format!("http://{}", pod.public)).connect().await.unwrap();
    client.join_rooms(["public-a"]).await.unwrap();
    for list in [json!([]), json!(null)] {
        for (path, body) in [
            ("sockets/disconnect", json!({"in": list})),
            ("sockets/disconnect", json!({"in": list, "close": true})),
            ("rooms/join", json!({"in": list, "rooms": ["public-b"]})),
            ("rooms/leave", json!({"in": list, "rooms": ["public-a"]})),
            ("rooms/leave", json!({"rooms": list})),
        ] {
            let (status, answer) = pod.post(path, None, body.to_string()).await;
            let code = &answer["error"]["code"];
            assert_eq!((status, code), (400, &json!("invalid_request")), "{path} {body}");
        }
    }
    let (_, answer) = pod.ask(&format!("sockets/{}", client.id().unwrap())).await;
    let rooms = answer["socket"]["rooms"].as_array().unwrap();
    assert_eq!(rooms.len(), 2, "it is where it was: {answer}");
    assert!(rooms.contains(&json!("public-a")), "{answer}");
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

#[tokio::test]
async fn each_emit_of_a_batch_has_its_result() {
    let pod = Pod::start(OPEN);
    let batch = json!({"emits": [
        {"event": "one"},
        {"event": "two", "rom": []},
        {"event": "three", "namespace": "/none"},
        {"event": "four", "ack_timeout": "1s"},
        7,
        {"event": "five", "args": [1]},
        {"event": "six", "rooms": null},
        {"event": "seven", "except": null},
    ]});
    let (status, answer) = pod.post("batch", None, batch.to_string()).await;
    assert_eq!(status, 200, "{answer}");
    let codes: Vec<_> = answer["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| {
            let accepted = result["accepted"].as_bool().map(|_| "accepted");
            accepted.or(result["error"]["code"].as_str()).unwrap()
        })
        .collect();
    let (ok, wrong) = ("accepted", "invalid_request");
    assert_eq!(codes, [ok, wrong, "unknown_namespace", wrong, wrong, ok, wrong, ok]);
    assert_eq!(pod.metric("roomcast_emits_total{source=\"api\"}").await, 3.0);

    let many = json!({"emits": vec![json!({"event": "a"}); 1001]});
    for (body, word) in [("{}", "emits"), (r#"{"emits":[]}"#, "1000"), (&many.to_string(), "1000")]
    {
        let (status, answer) = pod.post("batch", None, body.into()).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")));
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{answer}");
    }
}

#[tokio::test]
async fn a_key_is_emitted_once() {
    let pod = Pod::start(&format!("api.idempotency_ttl = \"15s\"\n{OPEN}"));
    let emits = || pod.metric("roomcast_emits_total{source=\"api\"}");
    let (body, other) = (json!({"event": "a"}).to_string(), json!({"event": "b"}).to_string());
    let accepted = (200, json!({"accepted": true}));
    for key in ["one", "one", "\"one\""] {
        assert_eq!(pod.post("emit", Some(key), body.clone()).await, accepted);
    }
    assert_eq!(emits().await, 1.0);
    assert_eq!(pod.post("emit", Some("two"), body.clone()).await, accepted);
    assert_eq!(emits().await, 2.0);

    let (status, answer) = pod.post("emit", Some("one"), other.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (422, &json!("idempotency_key_reused")));
    let long = "k".repeat(256);
    for key in ["", &long, "\u{fc}"] {
        let (status, answer) = pod.post("emit", Some(key), body.clone()).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &json!("invalid_request")), "{key}");
    }
    // What was not emitted can be sent again, with another body too.
    let none = json!({"event": "a", "namespace": "/none"}).to_string();
    assert_eq!(pod.post("emit", Some("three"), none).await.0, 404);
    assert_eq!(pod.post("emit", Some("three"), body.clone()).await, accepted);

    let batch = json!({"emits": [{"event": "a"}, {"event": ""}]}).to_string();
    let first = pod.post("batch", Some("four"), batch.clone()).await;
    assert_eq!(first, pod.post("batch", Some("four"), batch).await);
    assert_eq!(pod.post("emit", Some("four"), body).await.0, 422);
    assert_eq!(emits().await, 4.0);

    let url = format!("http://{}/api/v1/emit", pod.internal);
    let request = reqwest::Client::new().post(url).bearer_auth(API_KEY);
    let answer = request.header("idempotency-key", "two").body(r#"{"event":"a"}"#).send().await;
    assert_eq!(answer.unwrap().headers()["idempotent-replayed"], "true");

    // Its time ends.
    let begun = std::time::Instant::now();
    while pod.post("emit", Some("one"), other.clone()).await.0 != 200 {
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_key_is_taken_while_its_request_runs_and_its_client_may_go() {
    let pod = Pod::start(OPEN);
    // A client that is asked and never answers keeps the request for as long as it may.
    let mut client = Raw::open(&pod).await;
    client.send(Message::text("40")).await;
    client.expect("40{").await;
    let body = json!({"event": "a", "ack_timeout": "5s"}).to_string();
    let first = pod.post("emit", Some("one"), body.clone());
    // The caller hangs up.
    tokio::select! {
        _ = first => panic!("it is answered before the client answers"),
        () = client.expect("42") => {}
    }
    let (status, answer) = pod.post("emit", Some("one"), body.clone()).await;
    assert_eq!((status, &answer["error"]["code"]), (409, &json!("idempotency_key_in_use")));
    let begun = std::time::Instant::now();
    let answer = loop {
        let (status, answer) = pod.post("emit", Some("one"), body.clone()).await;
        if status == 200 {
            break answer;
        }
        assert!(begun.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert_eq!((&answer["missing"], &answer["answers"]), (&json!(1), &json!([])));
    assert_eq!(pod.metric("roomcast_emits_total{source=\"api\"}").await, 1.0);
}

#[tokio::test]
async fn the_api_describes_itself() {
    let pod = Pod::start(OPEN);
    let url = format!("http://{}/api/v1/openapi.json", pod.internal);
    assert_eq!(get(&url).await.0, 401);
    let request = reqwest::Client::new().get(url).bearer_auth(API_KEY);
    let document: Value = request.send().await.unwrap().json().await.unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    // Those that mean everyone when they are left out are lists, and nothing else.
    for (schema, list) in [("EmitRequest", "rooms"), ("Move", "in"), ("Disconnect", "in")] {
        let list = &document["components"]["schemas"][schema]["properties"][list];
        assert_eq!(list["type"], "array", "{schema}: {list}");
    }
    // Each of its paths is in the guide, and has a series from the start.
    let guide = include_str!("../../docs/api.md");
    let (_, metrics) = get(&format!("http://{}/metrics", pod.internal)).await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for method in methods.as_object().unwrap().keys() {
            let named = format!("`{} /api/v1{path}`", method.to_uppercase());
            assert!(guide.contains(&named), "docs/api.md lacks {named}");
        }
        let label = format!("path=\"/api/v1{path}\"");
        assert!(metrics.contains(&label), "API_ROUTES of src/config/api.rs lacks {path}");
    }
}

#[tokio::test]
async fn presence_says_who_is_in_rooms_on_all_pods() {
    let redis = Redis::start();
    let config = format!(
        "{OPEN}\n[backplane]\nkind = \"pubsub\"\nurl = \"{}\"\nheartbeat = \"200ms\"\n",
        redis.url()
    );
    let (one, mut two) = (Pod::start(&config), Pod::start(&config));
    for pod in [&one, &two] {
        pod.metric_reaches("roomcast_backplane_connected", 1.0).await;
    }
    let member = async |pod: &Pod, rooms: &[&str]| {
        let client = Client::builder(format!("http://{}", pod.public)).connect().await.unwrap();
        client.join_rooms(rooms.iter().copied()).await.unwrap();
        client
    };
    let a = member(&one, &["public-a"]).await;
    let b = member(&two, &["public-a", "public-b"]).await;
    let (a_id, b_id) = (a.id().unwrap(), b.id().unwrap());
    let ids = |room: &Value| {
        let members = room["members"].as_array().unwrap();
        let mut ids: Vec<_> = members.iter().map(|member| member["id"].clone()).collect();
        ids.sort_by_key(ToString::to_string);
        assert_eq!(room["count"], ids.len());
        ids
    };
    let mut both = vec![json!(a_id), json!(b_id)];
    both.sort_by_key(ToString::to_string);
    for pod in [&one, &two] {
        let (status, answer) =
            pod.ask("presence?room=public-a&room=public-b&room=empty&room=public-a").await;
        assert_eq!((status, &answer["pods"]), (200, &json!({"asked": 2, "silent": 0})), "{answer}");
        let rooms = answer["rooms"].as_object().unwrap();
        assert_eq!(rooms.keys().collect::<Vec<_>>(), ["empty", "public-a", "public-b"]);
        assert_eq!(ids(&rooms["public-a"]), both);
        assert_eq!(ids(&rooms["public-b"]), [json!(b_id)]);
        assert_eq!(rooms["empty"], json!({"count": 0, "members": []}));
        assert_eq!(rooms["public-b"]["members"][0]["data"], json!({}));
    }
    // A pod that does not answer is not left out in silence.
    two.signal("-STOP");
    let (_, answer) = one.ask("presence?room=public-a").await;
    assert_eq!(ids(&answer["rooms"]["public-a"]), [json!(a_id)]);
    assert_eq!(answer["pods"]["silent"], 1, "{answer}");
    two.signal("-CONT");
    two.signal("-KILL");
    two.wait();

    let many = "room=a&".repeat(101);
    let long = format!("room={}", "a".repeat(257));
    for (query, code, word) in [
        ("", "invalid_request", "1 to 100"),
        (&many, "invalid_request", "1 to 100"),
        ("room=", "invalid_request", "256 bytes"),
        (&long, "invalid_request", "256 bytes"),
        ("room=a&rom=b", "invalid_request", "unknown parameter"),
        ("room=a&namespace=/none", "unknown_namespace", "/none"),
    ] {
        let (_, answer) = one.ask(&format!("presence?{query}")).await;
        assert_eq!(answer["error"]["code"], code, "{query}: {answer}");
        assert!(answer["error"]["message"].as_str().unwrap().contains(word), "{query}: {answer}");
    }
    assert_eq!(get(&format!("http://{}/api/v1/presence?room=a", one.internal)).await.0, 401);
}

#[tokio::test]
async fn what_callers_publish_and_hang_up_on_is_whole_on_all_pods_or_on_none() {
    let redis = Redis::start();
    let settings = format!("{OPEN}\n[backplane]\nkind = \"pubsub\"\nurl = \"{}\"\n", redis.url());
    let pods = [Pod::start(&settings), Pod::start(&settings)];
    let mut members = Vec::new();
    for pod in &pods {
        wait_until_ready(pod).await;
        members.push(Raw::member(pod).await);
    }
    let files = pods[0].metric("process_open_fds").await;
    for number in 0..200 {
        let body = json!({"event": "number", "args": [number]}).to_string();
        let mut stream = std::net::TcpStream::connect(&pods[0].internal).unwrap();
        let request = format!(
            "POST /api/v1/emit HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        // With no time to linger, the connection is reset.
        socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    // Each has been begun or never will be, once its connection has gone. What is emitted then comes behind all of them.
    files_fall_to(&pods[0], files).await;
    assert_eq!(pods[0].publish(&json!({"event": "last"})).await.0, 200);
    let mut got = Vec::new();
    for member in &mut members {
        let mut texts = std::collections::BTreeSet::new();
        loop {
            let text = member.next().await.unwrap();
            if text == r#"42["last"]"# {
                break;
            }
            texts.insert(text);
        }
        got.push(texts);
    }
    assert_eq!(got[0], got[1]);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_with_408() {
    let pod = Pod::start(&format!("public.request_timeout = \"300ms\"\n{OPEN}"));
    let address = pod.internal.clone();
    let answer = tokio::task::spawn_blocking(move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        let request = format!(
            "POST /api/v1/emit HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {API_KEY}\r\nContent-Length: 99\r\n\r\n{{"
        );
        stream.write_all(request.as_bytes()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut answer = String::new();
        std::io::Read::read_to_string(&mut stream, &mut answer).unwrap();
        answer
    });
    let answer = answer.await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
}

#[tokio::test]
async fn a_redis_that_is_full_does_not_keep_a_new_pod_from_being_ready() {
    let redis = Redis::start();
    let settings = format!(
        "{OPEN}\n[backplane]\nkind = \"pubsub\"\nurl = \"{}\"\nheartbeat = \"100ms\"\n",
        redis.url()
    );
    let old = Pod::start(&settings);
    wait_until_ready(&old).await;
    redis.command("CONFIG SET maxmemory 1");
    let new = Pod::start(&settings);
    wait_until_ready(&new).await;
    new.metric_reaches("roomcast_backplane_record_failures_total", 1.0).await;
    assert!(new.logs().iter().any(|line| {
        line["message"].as_str().is_some_and(|message| message.contains("cannot find this one"))
            && line["error"].as_str().is_some_and(|error| error.contains("OOM"))
    }));
    let mut member = Raw::member(&new).await;
    assert_eq!(old.publish(&json!({"event": "news"})).await.0, 200);
    member.expect(r#"42["news"]"#).await;
    // Once there is room, it is found.
    redis.command("CONFIG SET maxmemory 0");
    let found = async {
        while old.ask("cluster").await.1["pods"].as_array().unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, found).await.unwrap();
}

async fn wait_until_ready(pod: &Pod) {
    let ready = async {
        while pod.readyz().await != 200 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ready).await.expect("the pod is not ready");
}

#[tokio::test]
async fn a_key_does_only_what_it_is_for_and_has_idempotency_keys_of_its_own() {
    let settings = r#"
    api.keys = [
        "the-key-for-everything",
        { key = "the-key-of-the-shop", scopes = ["emit"], namespaces = ["/shop"] },
        { key = "the-key-of-a-reader", scopes = "read" },
    ]
    [namespaces."/"]
    auth = "none"
    [namespaces."/shop"]
    auth = "none"
    "#;
    let pod = Pod::start(settings);
    let post = async |key: &str, path: &str, body: Value, idempotency: &str| {
        let url = format!("http://{}/api/v1/{path}", pod.internal);
        let request = reqwest::Client::new().post(url).bearer_auth(key);
        let request = request.header("idempotency-key", idempotency).body(body.to_string());
        let response = request.send().await.unwrap();
        let replayed = response.headers().contains_key("idempotent-replayed");
        let status = response.status().as_u16();
        (status, replayed, response.json::<Value>().await.unwrap())
    };
    let (all, shop, reader) =
        ("the-key-for-everything", "the-key-of-the-shop", "the-key-of-a-reader");
    let news = json!({"event": "news", "namespace": "/shop"});
    let elsewhere = json!({"event": "news"});
    assert_eq!(post(shop, "emit", news.clone(), "1").await.0, 200);
    assert!(post(shop, "emit", news.clone(), "1").await.1, "it is sent again");
    let (status, replayed, _) = post(all, "emit", elsewhere.clone(), "1").await;
    assert_eq!((status, replayed), (200, false), "another caller's key is another one");

    let close = json!({"namespace": "/shop", "close": true});
    for (key, path, body) in [
        (shop, "emit", &elsewhere),
        (shop, "sockets/disconnect", &close),
        (shop, "rooms/join", &json!({"namespace": "/shop", "rooms": ["a"]})),
        (shop, "rebalance", &json!({"share": 0.1, "per_second": 1})),
        (reader, "emit", &news),
        (reader, "batch", &json!({"emits": [news]})),
    ] {
        let (status, _, answer) = post(key, path, body.clone(), "2").await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (403, &json!("forbidden")),
            "{path} {answer}"
        );
    }
    // In a batch, each is on its own.
    let (status, _, answer) = post(shop, "batch", json!({"emits": [news, elsewhere]}), "3").await;
    assert_eq!((status, &answer["results"][0]), (200, &json!({"accepted": true})));
    assert_eq!(answer["results"][1]["error"]["code"], "forbidden");
    let get = async |key: &str, path: &str| {
        let url = format!("http://{}/api/v1/{path}", pod.internal);
        let request = reqwest::Client::new().get(url).bearer_auth(key);
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(get(reader, "sockets").await, 200);
    assert_eq!(get(shop, "sockets?namespace=/shop").await, 403);
    assert_eq!(get(shop, "openapi.json").await, 200);
}

/// When clients have taken all files that are theirs, probes still answer.
#[tokio::test]
async fn clients_do_not_take_the_last_open_files() {
    let pod = Pod::start_within_files(OPEN, 256);
    let files = pod.metric("process_open_fds").await;
    let streams: Vec<_> =
        (0..400).filter_map(|_| std::net::TcpStream::connect(&pod.public).ok()).collect();
    pod.metric_reaches("roomcast_requests_refused_total{code=\"file_limit\"}", 100.0).await;
    for path in ["livez", "readyz", "metrics"] {
        assert_eq!(get(&format!("http://{}/{path}", pod.internal)).await.0, 200, "{path}");
    }
    let told = pod.logs().iter().filter(|line| line["level"] == "WARN").count();
    assert!(told <= 5, "{told} lines");
    drop(streams);
    // A WebSocket is let in again.
    files_fall_to(&pod, files).await;
    Raw::member(&pod).await;
}

/// Waits until a pod has no more files open than these.
async fn files_fall_to(pod: &Pod, files: f64) {
    let fall = async {
        while pod.metric("process_open_fds").await > files {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, fall).await.expect("connections stay open");
}
