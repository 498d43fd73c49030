//! Redis, as a pod with this configuration would have it.

use super::report::Report;
use crate::{
    backplane::{self, PodRecord},
    config::{BackplaneKind, Config},
};

/// The first version with the answers that pods read (RESP3), and the first with channels of shards.
const OLDEST: u32 = 6;
const OLDEST_SHARDED: u32 = 7;
/// Above this part of its memory, Redis is about to be full.
const NEARLY_FULL: f64 = 0.9;

/// Looks at it, and gives the pods that have records there.
pub(super) async fn look(config: &Config, report: &mut Report) -> Option<Vec<PodRecord>> {
    let settings = &config.backplane;
    if settings.kind() == BackplaneKind::None {
        report.skipped("redis", "backplane.kind is \"none\": a pod on its own");
        return None;
    }
    let examined = match backplane::examine(settings).await {
        Ok(examined) => examined,
        Err(error) => {
            report.error(
                "redis",
                error,
                "look at backplane.url, username and password; in a cluster also at the NetworkPolicies of both sides",
            );
            return None;
        }
    };
    let version = examined.version.as_deref().unwrap_or("of a version that it does not tell");
    report.ok("redis", format!("{version}, answers in {:.1?}", examined.ping));
    let sharded = settings.kind() == BackplaneKind::Sharded;
    let oldest = if sharded { OLDEST_SHARDED } else { OLDEST };
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major.is_some_and(|major| major < oldest) {
        report.error(
            "redis",
            format!(
                "version {version} is too old for backplane.kind = \"{}\"",
                settings.kind().name()
            ),
            format!("take Redis {oldest} or newer, or Valkey"),
        );
    }
    match examined.memory {
        Some((used, most)) if used as f64 > most as f64 * NEARLY_FULL => report.warning(
            "redis memory",
            format!("{} of {} MiB are in use", used >> 20, most >> 20),
            "give it more (maxmemory): pods cannot write their records when it is full",
        ),
        Some((used, most)) => {
            report.ok("redis memory", format!("{} of {} MiB are in use", used >> 20, most >> 20));
        }
        None => report.ok("redis memory", "no limit, or it does not tell"),
    }
    match examined.heard {
        Ok(()) => report.ok("redis channels", "what is published comes back"),
        Err(error) => report.error(
            "redis channels",
            error,
            format!(
                "its user needs the channels {}* and {}*, and the commands of pub/sub",
                settings.channel_prefix, settings.key_prefix
            ),
        ),
    }
    match examined.kept {
        Ok(()) => report.ok("redis keys", "can be written"),
        Err(error) => report.error(
            "redis keys",
            error,
            format!(
                "its user needs the keys that begin with {{{}}}, and it needs room for them",
                settings.key_prefix
            ),
        ),
    }
    examined
        .pods
        .map_err(|error| {
            let remedy = "its user needs smembers, mget, sadd, srem, set, get and del";
            report.error("redis records", error, remedy);
        })
        .ok()
}
