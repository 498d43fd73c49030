//! `roomcast healthcheck` against real pods, and where there is none.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

use super::support::{OPEN, Pod, roomcast, wait_for};

fn healthcheck(args: &[&str]) -> Command {
    let mut command = roomcast();
    command.arg("healthcheck").args(args);
    command
}

/// Its exit code, and what it said.
fn outcome(mut command: Command) -> (Option<i32>, String) {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = [stdout, stderr].concat();
    (status.code(), String::from_utf8(said).unwrap())
}

#[test]
fn a_pod_lives_while_it_drains_and_is_not_ready_then() {
    let mut pod = Pod::start(&format!("drain.delay = \"1h\"\ndrain.timeout = \"1s\"\n{OPEN}"));
    let address = pod.internal.clone();
    let listen = ["--internal-listen", &address];
    let live = || outcome(healthcheck(&listen));
    let ready = || outcome(healthcheck(&[&listen[..], &["--ready"]].concat()));
    assert_eq!(live(), (Some(0), "ok\n".into()));
    assert_eq!(ready(), (Some(0), "serving\n".into()));

    pod.signal("-TERM");
    let (code, said) =
        wait_for("a pod that is not ready", || Some(ready()).filter(|(code, _)| *code != Some(0)));
    assert_eq!(code, Some(1), "{said}");
    let url = format!("http://{address}/readyz");
    assert_eq!(said, format!("roomcast: {url} answered 503 Service Unavailable: announced\n"));
    assert_eq!(live(), (Some(0), "ok\n".into()));
    pod.signal("-TERM");
    pod.wait();
    assert_eq!(live().0, Some(1));
}

#[test]
fn it_asks_where_the_configuration_says_or_where_it_is_told() {
    let pod = Pod::start(OPEN);
    let url = format!("http://{}", pod.internal);
    assert_eq!(outcome(healthcheck(&["--url", &url])), (Some(0), "ok\n".into()));
    // As the image has it. Of several, the first that answers will do; an address that stands for all is this machine's.
    let port = pod.internal.rsplit(':').next().unwrap();
    let mut command = healthcheck(&[]);
    command.env("ROOMCAST__INTERNAL__LISTEN", format!("[\"[::1]:1\", \"0.0.0.0:{port}\"]"));
    // Proxies are for elsewhere.
    for name in ["http_proxy", "HTTP_PROXY", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    assert_eq!(outcome(command), (Some(0), "ok\n".into()));

    let (code, said) = outcome(healthcheck(&["--internal-listen", "127.0.0.1:0"]));
    assert_eq!(code, Some(64));
    assert!(said.contains("internal.listen names no port") && said.contains("--url"), "{said}");
    let (code, said) = outcome(healthcheck(&["--set", "internal.listn=a"]));
    assert_eq!(code, Some(64));
    assert!(said.contains("did you mean `listen`?"), "{said}");
}

#[test]
fn what_is_wrong_is_said_in_a_line() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", silent.local_addr().unwrap());
    let (code, said) = outcome(healthcheck(&["--url", &url, "--timeout", "100ms"]));
    assert_eq!((code, said), (Some(1), format!("roomcast: {url}livez does not answer in time\n")));
    drop(silent);
    let (code, said) = outcome(healthcheck(&["--url", &url]));
    assert_eq!(code, Some(1));
    assert!(said.starts_with(&format!("roomcast: {url}livez cannot be reached: ")), "{said}");
    assert!(said.contains("refused"), "{said}");
    // Somebody else's port.
    let pod = Pod::start(OPEN);
    let (code, said) = outcome(healthcheck(&["--url", &format!("http://{}", pod.public)]));
    assert_eq!(code, Some(1));
    assert!(said.contains("/livez answered 404"), "{said}");
}
