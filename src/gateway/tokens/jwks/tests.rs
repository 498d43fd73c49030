#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::{Router, body::Body, extract::State as Shared, response::Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinSet};

use super::{super::signer::Signer, *};
use crate::{
    config::Config,
    gateway::tokens::{TokenError, Tokens},
};

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the server of the set does.
#[derive(Clone)]
enum Behaviour {
    Answers(u16, String),
    /// It answers with a set, after a while.
    AnswersLate(Duration, String),
    /// It takes the request and never answers.
    Hangs,
    /// It begins to answer.
    Stalls,
    Redirects(String),
}

/// A server with a key set, which ends with the test.
struct Issuer {
    behaviour: Arc<Mutex<Behaviour>>,
    requests: Arc<AtomicUsize>,
    url: String,
}

impl Issuer {
    async fn start(keys: &[Value]) -> Self {
        let behaviour = Arc::new(Mutex::new(Behaviour::Answers(200, set(keys))));
        let requests = Arc::new(AtomicUsize::new(0));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let router =
            Router::new().fallback(answer).with_state((behaviour.clone(), requests.clone()));
        tokio::spawn(async { axum::serve(listener, router).await });
        Self { behaviour, requests, url }
    }

    fn behave(&self, behaviour: Behaviour) {
        *self.behaviour.lock() = behaviour;
    }

    fn publish(&self, keys: &[Value]) {
        self.behave(Behaviour::Answers(200, set(keys)));
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Waits for so many more requests.
    async fn asked_again(&self, times: usize) {
        let reach = self.requests() + times;
        eventually("the set is fetched", || self.requests() >= reach).await;
    }

    fn settings(&self) -> Jwt {
        Jwt {
            jwks_url: self.url.clone(),
            jwks_min_interval: Duration::from_millis(100),
            jwks_timeout: Duration::from_secs(2),
            ..Config::defaults().auth.jwt
        }
    }

    fn tokens(&self) -> Tokens {
        kept_fresh(&self.settings())
    }
}

type Shown = (Arc<Mutex<Behaviour>>, Arc<AtomicUsize>);

async fn answer(Shared((behaviour, requests)): Shared<Shown>) -> Response {
    requests.fetch_add(1, Ordering::SeqCst);
    let behaviour = behaviour.lock().clone();
    match behaviour {
        Behaviour::Answers(status, text) => {
            Response::builder().status(status).body(Body::from(text)).unwrap()
        }
        Behaviour::AnswersLate(after, text) => {
            tokio::time::sleep(after).await;
            Response::new(Body::from(text))
        }
        Behaviour::Hangs => std::future::pending().await,
        Behaviour::Stalls => {
            let begun = futures_util::stream::once(async { Ok::<_, Infallible>("{\"keys\":[") });
            let never = futures_util::stream::pending();
            Response::new(Body::from_stream(futures_util::StreamExt::chain(begun, never)))
        }
        Behaviour::Redirects(to) => {
            Response::builder().status(302).header("location", to).body(Body::empty()).unwrap()
        }
    }
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn kept_fresh(settings: &Jwt) -> Tokens {
    let tokens = Tokens::new(settings).unwrap().unwrap();
    tokio::spawn(tokens.clone().stay_fresh());
    tokens
}

async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "not in {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn claims() -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    json!({"sub": "ada", "exp": now.as_secs() + 60})
}

#[tokio::test]
async fn keys_of_every_kind_are_used_and_a_new_one_is_fetched_when_it_is_named() {
    let (rsa, p256) = (Signer::rsa(), Signer::p256());
    let (p384, ed) = (Signer::p384(), Signer::ed25519());
    let issuer = Issuer::start(&[rsa.jwk("r"), p256.jwk("p"), p384.jwk("q"), ed.jwk("e")]).await;
    let tokens = issuer.tokens();
    for (signer, algorithm, kid) in [
        (&rsa, "RS256", "r"),
        (&rsa, "PS512", "r"),
        (&p256, "ES256", "p"),
        (&p384, "ES384", "q"),
        (&ed, "EdDSA", "e"),
    ] {
        let token = signer.named(algorithm, kid, &claims());
        assert_eq!(tokens.check(&token).await.unwrap()["sub"], "ada", "{algorithm}");
    }
    // The key of another name, or no name, is not it.
    let misnamed = ed.named("EdDSA", "r", &claims());
    assert_eq!(tokens.check(&misnamed).await, Err(TokenError::Algorithm));
    let unnamed = ed.token("EdDSA", &claims());
    assert_eq!(tokens.check(&unnamed).await, Err(TokenError::UnknownKey));

    // Rotation: the new key is accepted without a restart, the old one until it is taken out.
    let (old, next) = (ed.named("EdDSA", "e", &claims()), Signer::ed25519());
    issuer.publish(&[ed.jwk("e"), next.jwk("f")]);
    assert!(tokens.check(&next.named("EdDSA", "f", &claims())).await.is_ok());
    assert!(tokens.check_now(&old).is_ok());
    issuer.publish(&[next.jwk("f")]);
    let forged = Signer::ed25519().named("EdDSA", "g", &claims());
    assert_eq!(tokens.check(&forged).await, Err(TokenError::UnknownKey));
    assert_eq!(tokens.check_now(&old), Err(TokenError::UnknownKey));
    assert!(tokens.check_now(&next.named("EdDSA", "f", &claims())).is_ok());
}

#[tokio::test]
async fn the_set_is_fetched_again_by_itself() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let issuer = Issuer::start(&[old.jwk("old")]).await;
    let tokens = kept_fresh(&Jwt { jwks_refresh: Duration::from_millis(150), ..issuer.settings() });
    let token = old.named("EdDSA", "old", &claims());
    assert!(tokens.check(&token).await.is_ok());
    issuer.publish(&[new.jwk("new")]);
    eventually("the old key goes", || tokens.check_now(&token).is_err()).await;
    assert!(tokens.check_now(&new.named("EdDSA", "new", &claims())).is_ok());
}

#[tokio::test]
async fn whatever_comes_instead_of_a_set_the_last_good_one_stays() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(&[signer.jwk("a")]).await;
    let other = Issuer::start(&[Signer::ed25519().jwk("b")]).await;
    let tokens = issuer.tokens();
    let token = signer.named("EdDSA", "a", &claims());
    assert!(tokens.check(&token).await.is_ok());
    let unknown = Signer::ed25519().named("EdDSA", "b", &claims());

    let many: Vec<_> = (0..=MAX_KEYS).map(|n| signer.jwk(&n.to_string())).collect();
    let padding = format!(" {}{}", "x".repeat(1024 * 1024), set(&[]));
    let valid_but_large = format!("{}{}", set(&[signer.jwk("b")]), " ".repeat(1024 * 1024));
    let lies = [
        Behaviour::Answers(500, set(&[signer.jwk("b")])),
        Behaviour::Answers(404, String::new()),
        Behaviour::Answers(200, "<html>maintenance</html>".to_owned()),
        Behaviour::Answers(200, "{\"keys\": {}}".to_owned()),
        Behaviour::Answers(200, "[".repeat(100_000)),
        Behaviour::Answers(200, String::new()),
        Behaviour::Answers(200, set(&[])),
        Behaviour::Answers(200, set(&[json!(1), json!("key"), json!({}), json!(null)])),
        Behaviour::Answers(200, set(&[Signer::secret("not for this").jwk("a")])),
        Behaviour::Answers(200, set(&many)),
        Behaviour::Answers(200, padding),
        Behaviour::Answers(200, valid_but_large),
        Behaviour::Redirects(other.url.clone()),
        Behaviour::Stalls,
        Behaviour::Hangs,
    ];
    for lie in lies {
        issuer.behave(lie);
        let before = issuer.requests();
        assert_eq!(tokens.check(&unknown).await, Err(TokenError::UnknownKey));
        assert!(issuer.requests() > before);
        assert!(tokens.check_now(&token).is_ok());
    }
    assert_eq!(other.requests(), 0, "redirects are not followed");
    // It heals.
    issuer.publish(&[signer.jwk("a"), signer.jwk("b")]);
    assert!(tokens.check(&signer.named("EdDSA", "b", &claims())).await.is_ok());
}

#[tokio::test]
async fn keys_that_must_not_be_used_are_left_out_of_a_set() {
    let signer = Signer::rsa();
    let with = |name: &str, field: &str, value: Value| {
        let mut jwk = signer.jwk(name);
        jwk[field] = value;
        jwk
    };
    let mut short = signer.jwk("short");
    short["n"] = "AQAB".into();
    let issuer = Issuer::start(&[
        signer.jwk("good"),
        with("only", "alg", json!("RS256")),
        with("both", "key_ops", json!(["sign", "verify"])),
        with("future", "alg", json!("XX999")),
        with("other", "alg", json!("ES256")),
        with("encryption", "use", json!("enc")),
        with("wrapping", "key_ops", json!(["wrapKey"])),
        with("private", "d", json!("AQAB")),
        Signer::secret("a secret that is none any more, long enough").jwk("shared"),
        short,
        json!({"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA", "kid": "curve"}),
        json!({"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "point"}),
        json!({"kty": "OKP", "crv": "X25519", "x": "AA", "kid": "exchange"}),
    ])
    .await;
    let tokens = issuer.tokens();
    for (kid, expected) in [
        ("good", None),
        ("only", None),
        ("both", None),
        ("future", Some(TokenError::UnknownKey)),
        ("other", Some(TokenError::UnknownKey)),
        ("encryption", Some(TokenError::UnknownKey)),
        ("wrapping", Some(TokenError::UnknownKey)),
        ("private", Some(TokenError::UnknownKey)),
        ("short", Some(TokenError::UnknownKey)),
    ] {
        let checked = tokens.check(&signer.named("RS256", kid, &claims())).await;
        assert_eq!(checked.err(), expected, "{kid}");
    }
    let other_way = signer.named("PS256", "only", &claims());
    assert_eq!(tokens.check(&other_way).await, Err(TokenError::Algorithm));
    let shared = Signer::secret("a secret that is none any more, long enough");
    let shared = shared.named("HS256", "shared", &claims());
    assert_eq!(tokens.check(&shared).await, Err(TokenError::Algorithm));
}

#[tokio::test]
async fn a_thousand_unknown_names_cost_one_fetch() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(&[signer.jwk("a")]).await;
    let interval = Duration::from_millis(700);
    let tokens = kept_fresh(&Jwt { jwks_min_interval: interval, ..issuer.settings() });
    assert!(tokens.check(&signer.named("EdDSA", "a", &claims())).await.is_ok());

    let (begun, before) = (Instant::now(), issuer.requests());
    let mut checks = JoinSet::new();
    for n in 0..1000 {
        let (tokens, token) = (tokens.clone(), signer.named("EdDSA", &n.to_string(), &claims()));
        checks.spawn(async move { tokens.check(&token).await });
    }
    for checked in checks.join_all().await {
        assert_eq!(checked, Err(TokenError::UnknownKey));
    }
    // One that began with them, and at most as many more as intervals went by.
    let most = 1 + (begun.elapsed().as_millis() / interval.as_millis()) as usize;
    let fetches = issuer.requests() - before;
    assert!((1..=most).contains(&fetches), "{fetches} fetches in {:?}", begun.elapsed());
    println!("1000 unknown names: {fetches} fetch(es) in {:?}", begun.elapsed());
}

#[tokio::test]
async fn a_new_key_is_waited_for_also_right_after_a_fetch() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let issuer = Issuer::start(&[old.jwk("old")]).await;
    let tokens = issuer.tokens();
    assert!(tokens.check(&old.named("EdDSA", "old", &claims())).await.is_ok());
    // Someone else's nonsense has just made the pod fetch the set.
    let _ = tokens.check(&new.named("EdDSA", "nonsense", &claims())).await;
    issuer.publish(&[new.jwk("new")]);
    assert!(tokens.check(&new.named("EdDSA", "new", &claims())).await.is_ok());
}

#[tokio::test]
async fn a_new_key_is_waited_for_also_if_a_fetch_hangs_and_the_next_is_slow() {
    let (old, new) = (Signer::ed25519(), Signer::ed25519());
    let issuer = Issuer::start(&[old.jwk("old")]).await;
    let tokens = kept_fresh(&Jwt { jwks_timeout: Duration::from_secs(5), ..issuer.settings() });
    assert!(tokens.check(&old.named("EdDSA", "old", &claims())).await.is_ok());
    issuer.behave(Behaviour::Hangs);
    let nonsense = new.named("EdDSA", "nonsense", &claims());
    let asking = tokio::spawn({
        let tokens = tokens.clone();
        async move { tokens.check(&nonsense).await }
    });
    issuer.asked_again(1).await;
    issuer.behave(Behaviour::AnswersLate(Duration::from_millis(500), set(&[new.jwk("new")])));
    assert!(tokens.check(&new.named("EdDSA", "new", &claims())).await.is_ok());
    assert_eq!(asking.await.unwrap(), Err(TokenError::UnknownKey));
}

#[tokio::test]
async fn without_a_set_tokens_wait_for_it_and_the_pod_is_not_ready() {
    let signer = Signer::ed25519();
    let issuer = Issuer::start(&[signer.jwk("a")]).await;
    issuer.behave(Behaviour::Hangs);
    let tokens = issuer.tokens();
    let token = signer.named("EdDSA", "a", &claims());
    assert_eq!(tokens.check_now(&token), Err(TokenError::KeysUnavailable));
    assert_eq!(tokens.check(&token).await, Err(TokenError::KeysUnavailable));
    assert!(!tokens.ready());
    issuer.publish(&[signer.jwk("a")]);
    issuer.asked_again(1).await;
    eventually("the set is there", || tokens.ready()).await;
    assert!(tokens.check(&token).await.is_ok());
}

#[tokio::test]
async fn a_check_ends_also_when_nobody_fetches() {
    let issuer = Issuer::start(&[]).await;
    let tokens = Tokens::new(&issuer.settings()).unwrap().unwrap();
    let token = Signer::ed25519().named("EdDSA", "a", &claims());
    assert_eq!(tokens.check(&token).await, Err(TokenError::KeysUnavailable));
    assert_eq!(issuer.requests(), 0);
}

#[test]
fn each_result_has_a_series_from_the_start() {
    let errors = [
        FetchError::Timeout,
        FetchError::Unreachable(String::new()),
        FetchError::Status(reqwest::StatusCode::OK),
        FetchError::TooLarge,
        FetchError::TooManyKeys,
        FetchError::Empty,
    ];
    let mut results: Vec<_> = errors.iter().map(FetchError::label).chain(["ok"]).collect();
    results.sort_unstable();
    assert_eq!(results, JWKS_REFRESHES.values_of("result"));
}
