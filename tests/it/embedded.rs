//! A pod inside another program, by the public API of the crate.

use std::future::pending;

use roomcast::{BuildError, Event, Namespace, Reply, Server, config::Config};
use tokio::sync::oneshot;

use super::support::get;

fn config() -> Config {
    let mut config = Config::defaults();
    config.public.listen = vec!["127.0.0.1:0".parse().unwrap(), "[::1]:0".parse().unwrap()];
    config.internal.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config
}

#[tokio::test]
async fn it_listens_on_both_versions_of_ip_and_ends_when_told() {
    let pod = Server::builder(config()).build().unwrap().bind().unwrap();
    let [v4, v6] = pod.public()[..] else { panic!("{:?}", pod.public()) };
    assert!(v4.is_ipv4() && v6.is_ipv6());
    let (stop, stopped) = oneshot::channel::<()>();
    let running = tokio::spawn(pod.run(async { drop(stopped.await) }, pending()));
    for address in [v4, v6] {
        let url = format!("http://{address}/socket.io/?EIO=4&transport=polling");
        assert_eq!(get(&url).await.0, 200, "{address}");
    }
    drop(stop);
    let outcome = running.await.unwrap();
    assert_eq!((outcome.connections, outcome.cut), (2, 0));
}

#[tokio::test]
async fn each_namespace_has_one_owner() {
    let echo = |event: &Event<'_>| Reply::json(event.name());
    let claim = || {
        Namespace::new("/twice").authentication(roomcast::config::AuthPolicy::None).on("e", echo)
    };
    let built = Server::builder(config()).namespace(claim()).namespace(claim()).build();
    assert!(matches!(built, Err(BuildError::NamespaceClaimedTwice(path)) if path == "/twice"));
}

#[tokio::test]
async fn tokens_cannot_be_asked_for_without_a_key() {
    let built = Server::builder(config()).namespace(Namespace::new("/members")).build();
    assert!(matches!(built, Err(BuildError::NoKey(path)) if path == "/members"));
    // An address that is taken is named, with its setting.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = config();
    config.internal.listen = vec![taken.local_addr().unwrap()];
    let error = Server::builder(config).build().unwrap().bind().err().unwrap();
    assert!(error.to_string().contains("internal.listen"), "{error}");
}
