//! `roomcast token`: a JSON Web Token for development.

use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::{Failure, key_value};
use crate::{
    config::Config,
    gateway::{Claims, Tokens},
};

/// Options of `roomcast token`.
#[derive(Debug, Args)]
pub(super) struct TokenArgs {
    /// Whom the token is for (the claim `sub`).
    #[arg(long, value_name = "USER")]
    sub: String,
    /// Another claim; its value may be JSON. May be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = claim)]
    claim: Vec<(String, String)>,
    /// How long the token is valid, 1s or more.
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = ttl)]
    ttl: Duration,
}

/// A claim that no other option has.
fn claim(text: &str) -> Result<(String, String), String> {
    let (name, value) = key_value(text)?;
    let remedy = match name.as_str() {
        "sub" => "say whom the token is for with --sub",
        "exp" => "say how long the token is valid with --ttl",
        "iat" => "leave it out: it is the time at which the token is made",
        _ => return Ok((name, value)),
    };
    Err(format!("the claim `{name}` is not set here; {remedy}"))
}

fn ttl(text: &str) -> Result<Duration, String> {
    let ttl = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    // `exp` has whole seconds; only the leeway of the pod would accept it.
    if ttl < Duration::from_secs(1) {
        return Err(
            "the token would have ended before it is used: give it 1s or more, such as --ttl 1h"
                .into(),
        );
    }
    Ok(ttl)
}

pub(super) fn token(config: &Config, args: &TokenArgs) -> Result<(), Failure> {
    let tokens = Tokens::new(&config.auth.jwt).map_err(Failure::runtime)?.ok_or_else(|| {
        Failure::Usage(
            "auth.jwt.secret is not set; use the configuration of the pod that the token is for (--config)".into(),
        )
    })?;
    let claims = args.claim.iter().map(|(name, value)| {
        let json = serde_json::from_str(value).unwrap_or_else(|_| Value::from(value.as_str()));
        (name.clone(), json)
    });
    let token = tokens
        .mint(&args.sub, Claims::from_iter(claims), args.ttl)
        .map_err(|error| Failure::Usage(error.to_string()))?;
    println!("{token}");
    Ok(())
}
