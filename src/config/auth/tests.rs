#![allow(clippy::unwrap_used)]

use std::io::Write;

use crate::config::{Config, ConfigError, Sources};

fn file(ending: &str, text: &str) -> tempfile::NamedTempFile {
    let mut file = tempfile::Builder::new().suffix(ending).tempfile().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn load(text: &str) -> Result<Config, ConfigError> {
    let file = file(".toml", text);
    Sources { file: Some(file.path().to_owned()), flags: vec![] }.load()
}

fn problems(text: &str) -> String {
    load(text).unwrap_err().to_string()
}

const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
    MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
    -----END PUBLIC KEY-----\n";

#[test]
fn secrets_come_one_or_many_and_from_files() {
    let long = "a secret from a file, of thirty-two bytes";
    let (one, empty) = (file("", &format!("{long}\n")), file("", "\n"));
    let text =
        |secret: &str| format!("[auth.jwt]\nsecret = {secret}\nsecret_file = {:?}\n", one.path());
    let secrets = |text: &str| -> Vec<String> {
        let config = load(text).unwrap();
        config.auth.jwt.secret.iter().map(|secret| secret.expose().to_owned()).collect()
    };
    assert_eq!(secrets(&text("\"\"")), [long]);
    let (first, second) =
        ("the first of them, of thirty-two bytes", "the second one, of thirty-two bytes");
    let two = text(&format!("[{first:?}, {second:?}]"));
    assert_eq!(secrets(&two), [first, second, long]);
    let found = problems(&format!(
        "[auth.jwt]\nsecret_file = [{:?}, \"/nowhere\"]\n",
        empty.path().to_str().unwrap()
    ));
    assert!(found.contains("is empty"), "{found}");
    assert!(found.contains("auth.jwt.secret_file = \"/nowhere\": cannot be read"), "{found}");
}

#[test]
fn a_file_that_holds_no_public_key_is_named_with_the_remedy() {
    let with = |pem: &str| {
        let file = file(".pem", pem);
        let text = format!("[auth.jwt]\npublic_key_file = {:?}\n", file.path());
        load(&text).map_err(|error| error.to_string())
    };
    assert!(with(ED25519).is_ok());
    assert!(with(&format!("two keys:\n{ED25519}{ED25519}")).is_ok());
    let block =
        |name: &str, body: &str| format!("-----BEGIN {name}-----\n{body}\n-----END {name}-----\n");
    for (pem, remedy) in [
        (block("PRIVATE KEY", "AAAA"), "-pubout"),
        (block("EC PRIVATE KEY", "AAAA"), "private key"),
        (block("CERTIFICATE", "AAAA"), "openssl x509"),
        (block("RSA PUBLIC KEY", "AAAA"), "RSAPublicKey_in"),
        (block("PUBLIC KEY", "AAAA"), "another kind"),
        (block("PUBLIC KEY", "!!!!"), "no PEM"),
        ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA".to_owned(), "BEGIN PUBLIC KEY"),
        (String::new(), "BEGIN PUBLIC KEY"),
    ] {
        let found = with(&pem).unwrap_err();
        assert!(found.contains("auth.jwt.public_key_file = "), "{found}");
        assert!(found.contains(remedy), "{remedy} in {found}");
    }
    let found = problems("[auth.jwt]\npublic_key_file = \"/nowhere.pem\"\n");
    assert!(found.contains("\"/nowhere.pem\": cannot be read"), "{found}");
}

#[test]
fn what_makes_no_sense_is_named() {
    let found = problems(
        "[auth]\ncookie = \"a b\"\n[auth.jwt]\njwks_refresh = \"1s\"\njwks_timeout = \"0s\"\n\
         leeway = \"1h\"\nmax_token = \"10B\"\nissuer = [\"\"]\njwks_ca_file = \"/nowhere\"\n",
    );
    for line in [
        "auth.cookie = \"a b\": expected letters",
        "auth.jwt.jwks_refresh = 1s: must not be shorter",
        "auth.jwt.jwks_timeout = 0ns: must be longer",
        "auth.jwt.leeway = 3600s: must be at most 600s",
        "auth.jwt.max_token = 10: must be at least 256",
        "auth.jwt.issuer = [\"\"]: an empty name",
        "auth.jwt.jwks_ca_file = \"/nowhere\": cannot be read",
    ] {
        assert!(found.contains(line), "{line} in {found}");
    }
    let found = problems("[auth.jwt]\nalgorithms = [\"RS256\", \"none\"]\n");
    assert!(found.contains("\"none\"") && found.contains("\"HS256\""), "{found}");
    for (url, remedy) in [
        ("id.example.com/jwks", "such as"),
        ("file:///etc/keys", "https://"),
        ("https://user:hush@id.example.com/", "without user and password"),
    ] {
        let found = problems(&format!("[auth.jwt]\njwks_url = {url:?}\n"));
        assert!(found.contains(remedy) && !found.contains("hush"), "{found}");
    }
}

#[test]
fn what_is_risky_is_warned_of() {
    let warnings = |text: &str| -> Vec<String> {
        load(text).unwrap().warnings().iter().map(|warning| warning.key.clone()).collect()
    };
    assert_eq!(warnings("[auth]\ncookie = \"session\"\n"), ["auth.cookie"]);
    let origins = "[auth]\ncookie = \"session\"\n[admission]\norigins = \"https://a.example\"\n";
    assert!(warnings(origins).is_empty());
    let http = "[auth.jwt]\njwks_url = \"http://id.example/\"\n";
    assert_eq!(warnings(http), ["auth.jwt.jwks_url", "auth.jwt.audience"]);
    let https = "[auth.jwt]\njwks_url = \"https://id.example/\"\naudience = \"chat\"\n";
    assert!(warnings(https).is_empty());
}
