#![allow(clippy::unwrap_used)]

use std::io::Write;

use serde_json::json;

use super::{signer::Signer, *};
use crate::config::{Config, JwtAlgorithm, Secret};

const SECRET: &str = "a secret of at least thirty-two bytes";

fn settings() -> Jwt {
    Config::defaults().auth.jwt
}

fn with_secret() -> Jwt {
    Jwt { secret: vec![Secret::new(SECRET)], ..settings() }
}

fn tokens(settings: &Jwt) -> Tokens {
    Tokens::new(settings).unwrap().unwrap()
}

/// Tokens of the keys in files, one file each.
fn tokens_of(signers: &[&Signer]) -> Tokens {
    let files: Vec<_> = signers
        .iter()
        .map(|signer| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(signer.pem().as_bytes()).unwrap();
            file
        })
        .collect();
    let names = files.iter().map(|file| file.path().to_str().unwrap().to_owned()).collect();
    tokens(&Jwt { public_key_file: names, ..settings() })
}

fn seconds() -> u64 {
    now().as_secs()
}

/// Claims that are accepted by default.
fn good() -> Value {
    json!({"sub": "ada", "exp": seconds() + 60})
}

fn refused(tokens: &Tokens, token: &str) -> TokenError {
    tokens.check_now(token).unwrap_err()
}

#[test]
fn each_reason_has_a_series_from_the_start() {
    let mut reasons: Vec<_> = TokenError::ALL.map(TokenError::reason).into();
    reasons.push("ok");
    reasons.sort_unstable();
    assert_eq!(reasons, TOKEN_CHECKS.values_of("result"));
}

#[test]
fn every_algorithm_is_checked_with_keys_of_its_family() {
    let (secret, rsa) = (Signer::secret(SECRET), Signer::rsa());
    let (p256, p384, ed) = (Signer::p256(), Signer::p384(), Signer::ed25519());
    let public = tokens_of(&[&rsa, &p256, &p384, &ed]);
    for (signer, algorithms) in [
        (&rsa, &["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"][..]),
        (&p256, &["ES256"]),
        (&p384, &["ES384"]),
        (&ed, &["EdDSA"]),
    ] {
        for algorithm in algorithms {
            let token = signer.token(algorithm, &good());
            assert_eq!(public.check_now(&token).unwrap()["sub"], "ada", "{algorithm}");
            let mut forged = token.into_bytes();
            let last = forged.len() - 20;
            forged[last] = if forged[last] == b'A' { b'B' } else { b'A' };
            let forged = String::from_utf8(forged).unwrap();
            assert_eq!(refused(&public, &forged), TokenError::Signature, "{algorithm}");
        }
    }
    let ours = tokens(&with_secret());
    for algorithm in ["HS256", "HS384", "HS512"] {
        let token = secret.token(algorithm, &good());
        assert_eq!(ours.check_now(&token).unwrap()["sub"], "ada", "{algorithm}");
        let theirs = Signer::secret("another secret").token(algorithm, &good());
        assert_eq!(refused(&ours, &theirs), TokenError::Signature);
        assert_eq!(refused(&public, &token), TokenError::Algorithm, "no secret is set");
    }
    assert_eq!(refused(&ours, &rsa.token("RS256", &good())), TokenError::Algorithm);
}

#[test]
fn a_public_key_is_not_taken_for_the_secret_of_an_hmac() {
    let (rsa, ed) = (Signer::rsa(), Signer::ed25519());
    let public = tokens_of(&[&rsa, &ed]);
    for signer in [&rsa, &ed] {
        let pem = signer.pem();
        for secret in [pem.as_bytes(), pem.trim_end().as_bytes()] {
            let token = Signer::secret(secret).token("HS256", &good());
            assert_eq!(refused(&public, &token), TokenError::Algorithm);
        }
    }
    // Also where both kinds are in use.
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(rsa.pem().as_bytes()).unwrap();
    let name = file.path().to_str().unwrap().to_owned();
    let both = tokens(&Jwt { public_key_file: vec![name], ..with_secret() });
    let token = Signer::secret(rsa.pem()).token("HS256", &good());
    assert_eq!(refused(&both, &token), TokenError::Signature);
    // A key of one curve does not check the other's.
    let curve = tokens_of(&[&Signer::p256()]);
    assert_eq!(refused(&curve, &Signer::p384().token("ES384", &good())), TokenError::Algorithm);
}

#[test]
fn what_is_not_signed_or_no_token_is_refused() {
    let ours = tokens(&with_secret());
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    for none in ["none", "None", "NONE", "nOnE", "", "HS257"] {
        for signature in ["", "AAAA"] {
            let token = format!("{}.{}.{signature}", part(json!({"alg": none})), part(good()));
            assert_eq!(refused(&ours, &token), TokenError::Algorithm, "{none}");
        }
    }
    let signed = Signer::secret(SECRET);
    let valid = signed.token("HS256", &good());
    let stripped = valid.rsplit_once('.').unwrap().0;
    for text in ["", ".", "..", "...", "a.b.c", "no token", "é.é.é", stripped] {
        assert_eq!(refused(&ours, text), TokenError::Malformed, "{text}");
    }
    assert_eq!(refused(&ours, &format!("{stripped}.")), TokenError::Signature);
    assert_eq!(refused(&ours, &format!("{valid}.")), TokenError::Malformed);
    // Extensions that must be understood are not.
    let header = json!({"alg": "HS256", "crit": ["b64"], "b64": false});
    assert_eq!(refused(&ours, &signed.token_with(&header, &good())), TokenError::Malformed);
    // A key that the token brings along is its bearer's.
    let own = Signer::rsa();
    let header = json!({"alg": "RS256", "jwk": own.jwk("own"), "jku": "http://127.0.0.1:1/"});
    assert_eq!(refused(&ours, &own.token_with(&header, &good())), TokenError::Algorithm);
    assert_eq!(
        refused(&tokens_of(&[&Signer::rsa()]), &own.token_with(&header, &good())),
        TokenError::Signature
    );
    // Claims are an object.
    assert_eq!(refused(&ours, &signed.token("HS256", &json!([1]))), TokenError::Malformed);
}

#[test]
fn time_is_looked_at_with_leeway() {
    let ours = tokens(&Jwt { leeway: Duration::from_secs(30), ..with_secret() });
    let signer = Signer::secret(SECRET);
    let check = |claims: Value| ours.check_now(&signer.token("HS256", &claims)).err();
    let (past, soon) = (seconds() - 20, seconds() + 20);
    assert_eq!(check(json!({"exp": past, "nbf": soon})), None);
    assert_eq!(check(json!({"exp": past as f64 + 0.25})), None);
    assert_eq!(check(json!({"exp": seconds() - 40})), Some(TokenError::Expired));
    let early = json!({"exp": seconds() + 90, "nbf": seconds() + 40});
    assert_eq!(check(early), Some(TokenError::NotYetValid));
    assert_eq!(check(json!({"sub": "ada"})), Some(TokenError::NoExpiry));
    for wrong in [json!("2100-01-01"), json!(-1), json!([soon]), json!(1e300), json!(true)] {
        // Whatever it is called, it is no time in the future.
        assert!(check(json!({"exp": wrong})).is_some(), "{wrong}");
        assert!(check(json!({"exp": soon, "nbf": wrong})).is_some(), "{wrong}");
    }

    let lasting = tokens(&Jwt { require_exp: false, ..with_secret() });
    let claims = lasting.check_now(&signer.token("HS256", &json!({"sub": "ada"}))).unwrap();
    assert_eq!(lasting.valid_for(&claims), None);
    let old = signer.token("HS256", &json!({"exp": 1}));
    assert_eq!(refused(&lasting, &old), TokenError::Expired);
}

#[test]
fn registered_claims_have_the_types_of_the_standard() {
    let signer = Signer::secret(SECRET);
    let lasting = Jwt { require_exp: false, audience: vec!["chat".into()], ..with_secret() };
    let named = Jwt { issuer: vec!["a".into()], ..lasting.clone() };
    let (ours, named) = (tokens(&lasting), tokens(&named));
    let check = |tokens: &Tokens, more: Value| {
        let mut claims = json!({"sub": "ada", "aud": "chat"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        tokens.check_now(&signer.token("HS256", &claims)).err()
    };
    for time in ["exp", "nbf", "iat"] {
        let odd =
            [json!(null), json!("5"), json!(""), json!([5]), json!({}), json!(true), json!(-1)];
        for odd in odd {
            assert_eq!(
                check(&ours, json!({time: odd})),
                Some(TokenError::Malformed),
                "{time} {odd}"
            );
        }
    }
    let strict = tokens(&with_secret());
    assert_eq!(check(&strict, json!({"exp": null})), Some(TokenError::NoExpiry));
    // Any number is a time; what was issued "later" is a clock that goes ahead.
    for good in [json!({"nbf": 0}), json!({"nbf": 5.5}), json!({"iat": seconds() + 1000})] {
        assert_eq!(check(&ours, good.clone()), None, "{good}");
    }
    for good in [json!(["chat", 5]), json!([null, "chat"]), json!(["shop", {"a": 1}, "chat"])] {
        assert_eq!(check(&ours, json!({"aud": good})), None, "{good}");
    }
    for other in
        [json!([5]), json!([]), json!(5), json!(null), json!({"chat": 1}), json!([["chat"]])]
    {
        assert_eq!(check(&ours, json!({"aud": other})), Some(TokenError::Audience), "{other}");
    }
    assert_eq!(check(&named, json!({"iss": "a"})), None);
    for other in [json!(["a"]), json!(null), json!(5), json!("A")] {
        assert_eq!(check(&named, json!({"iss": other})), Some(TokenError::Issuer), "{other}");
    }
}

#[test]
fn how_long_claims_stay_valid() {
    let ours = tokens(&Jwt { leeway: Duration::from_secs(5), ..with_secret() });
    let left = |exp: Value| ours.valid_for(json!({"exp": exp}).as_object().unwrap());
    let left_of_60 = left((seconds() + 60).into()).unwrap().as_secs();
    assert!((55..=65).contains(&left_of_60), "{left_of_60}");
    assert_eq!(left(1.into()), Some(Duration::ZERO));
    assert_eq!(left(json!(-5.5)), Some(Duration::ZERO));
    assert_eq!(left(json!(1.844_674_407_370_955e19)), None);
    assert_eq!(left(json!(1e300)), None);
    assert_eq!(left(json!(u64::MAX)), None);
    assert!(left(json!(seconds() + 1_000_000_000)).is_some());
}

#[test]
fn issuer_and_audience_are_looked_at_when_they_are_set() {
    let signer = Signer::secret(SECRET);
    let text = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let strict = tokens(&Jwt {
        issuer: text(&["https://a.example", "https://b.example"]),
        audience: text(&["chat", "news"]),
        ..with_secret()
    });
    let check = |iss: Value, aud: Value| {
        let claims = json!({"exp": seconds() + 60, "iss": iss, "aud": aud});
        strict.check_now(&signer.token("HS256", &claims)).err()
    };
    assert_eq!(check("https://b.example".into(), "chat".into()), None);
    assert_eq!(check("https://a.example".into(), json!(["shop", "news"])), None);
    assert_eq!(check("https://a.example".into(), "shop".into()), Some(TokenError::Audience));
    assert_eq!(check("https://a.example".into(), json!([])), Some(TokenError::Audience));
    assert_eq!(check("https://a.example".into(), Value::Null), Some(TokenError::Audience));
    assert_eq!(check("https://c.example".into(), "chat".into()), Some(TokenError::Issuer));
    assert_eq!(check(7.into(), "chat".into()), Some(TokenError::Issuer));
    let none = signer.token("HS256", &json!({"exp": seconds() + 60, "aud": "chat"}));
    assert_eq!(refused(&strict, &none), TokenError::Issuer);
    // Not set: not looked at.
    let claims = json!({"exp": seconds() + 60, "iss": "anyone", "aud": "anything"});
    assert!(tokens(&with_secret()).check_now(&signer.token("HS256", &claims)).is_ok());
}

#[test]
fn several_keys_are_in_use_at_once_and_algorithms_can_be_narrowed() {
    let (old, new) =
        ("the secret that is on its way out, long", "the secret that tokens get now, long");
    let secret = [new, old].map(Secret::new).to_vec();
    let both = tokens(&Jwt { secret: secret.clone(), ..settings() });
    for secret in [old, new] {
        // A name says nothing where keys have none.
        assert!(both.check_now(&Signer::secret(secret).token("HS256", &good())).is_ok());
        assert!(both.check_now(&Signer::secret(secret).named("HS256", "x", &good())).is_ok());
    }
    let minted = both.mint("ada", Claims::new(), Duration::from_secs(60)).unwrap();
    let first = tokens(&Jwt { secret: vec![Secret::new(new)], ..settings() });
    assert!(first.check_now(&minted).is_ok());

    let narrow = Jwt { algorithms: vec![JwtAlgorithm::HS512], secret, ..settings() };
    let narrow = tokens(&narrow);
    assert_eq!(refused(&narrow, &minted), TokenError::Algorithm);
    assert!(narrow.check_now(&Signer::secret(old).token("HS512", &good())).is_ok());
    let minted = narrow.mint("ada", Claims::new(), Duration::from_secs(60)).unwrap();
    assert!(narrow.check_now(&minted).is_ok());
}

#[test]
fn what_is_minted_is_accepted_or_not_minted() {
    let strict = Jwt {
        issuer: vec!["https://a.example".into(), "b".into()],
        audience: vec!["chat".into()],
        ..with_secret()
    };
    let strict = tokens(&strict);
    let mint = |claims: Value, ttl: u64| {
        strict.mint("ada", claims.as_object().unwrap().clone(), Duration::from_secs(ttl))
    };
    let claims = strict.check_now(&mint(json!({"role": "admin"}), 60).unwrap()).unwrap();
    assert_eq!((&claims["sub"], &claims["role"]), (&json!("ada"), &json!("admin")));
    assert_eq!((&claims["iss"], &claims["aud"]), (&json!("https://a.example"), &json!("chat")));
    assert!(strict.check_now(&mint(json!({"iss": "b"}), 60).unwrap()).is_ok());
    let error = mint(json!({"aud": "shop"}), 60).unwrap_err();
    assert!(matches!(error, MintError::Refused(TokenError::Audience)), "{error}");
    let error = mint(json!({"much": "x".repeat(9000)}), 60).unwrap_err();
    assert!(matches!(error, MintError::Refused(TokenError::TooLarge)), "{error}");
    let error = mint(json!({}), 0).unwrap_err();
    assert!(matches!(error, MintError::Ttl(_)), "{error}");
    assert!(mint(json!({}), u64::MAX).is_ok());

    let public = tokens_of(&[&Signer::ed25519()]);
    let error = public.mint("ada", Claims::new(), Duration::from_secs(1)).unwrap_err();
    assert!(matches!(error, MintError::NoSecret), "{error}");
    assert!(Tokens::new(&settings()).unwrap().is_none());
}

#[test]
fn ten_thousand_claims_are_refused_unread() {
    let ours = tokens(&with_secret());
    let mut claims = good();
    for n in 0..10_000 {
        claims[format!("c{n}")] = n.into();
    }
    assert_eq!(
        refused(&ours, &Signer::secret(SECRET).token("HS256", &claims)),
        TokenError::TooLarge
    );
    assert_eq!(refused(&ours, &"x".repeat(8193)), TokenError::TooLarge);
    assert_eq!(refused(&ours, &"x".repeat(8192)), TokenError::Malformed);
}

#[test]
fn the_reference_lists_each_reason() {
    let page = include_str!("../../../docs/auth.md");
    for error in TokenError::ALL {
        assert!(page.contains(&format!("| `{}` |", error.reason())), "docs/auth.md: {error}");
    }
}
