//! Whether Redis would serve a pod with these settings: for `roomcast doctor`, on a connection of its own. It does what a
//! pod does, since what an access control list forbids is known by trying only.

use std::time::{Duration, Instant};

use fred::{
    clients::Client,
    error::Error,
    interfaces::{ClientLike, EventInterface, KeysInterface, PubsubInterface},
    types::{Expiration, InfoKind},
};
use tokio::time::timeout;

use super::{PodRecord, SetupError, cluster::Registry, redis::once};
use crate::config::{self, BackplaneKind};

/// What Redis said.
pub(crate) struct Examined {
    /// Its version, if it tells.
    pub version: Option<String>,
    /// From a ping to its answer.
    pub ping: Duration,
    /// Bytes in use, and how many there may be, if it tells and there is a limit.
    pub memory: Option<(u64, u64)>,
    /// Whether what is published on the channels of the cluster comes back.
    pub heard: Result<(), String>,
    /// Whether keys of the cluster can be written.
    pub kept: Result<(), String>,
    /// The pods that have records.
    pub pods: Result<Vec<PodRecord>, String>,
}

/// Looks at it. Each wait is as long as `backplane.timeout`.
///
/// # Errors
/// If it cannot be reached, or does not take the credentials; the text says why.
pub(crate) async fn examine(settings: &config::Backplane) -> Result<Examined, String> {
    let client = once(settings).map_err(|error: SetupError| error.to_string())?;
    let connecting = timeout(settings.timeout * 2, client.init()).await;
    connecting
        .map_err(|_| format!("no connection within {:?}", settings.timeout * 2))?
        .map_err(|error| error.to_string())?;
    let begun = Instant::now();
    client.ping::<()>(None).await.map_err(|error| error.to_string())?;
    let ping = begun.elapsed();
    // A service that hides it works all the same.
    let info = |kind| {
        let client = client.clone();
        async move { client.info::<String>(Some(kind)).await.unwrap_or_default() }
    };
    let (server, memory) = (info(InfoKind::Server).await, info(InfoKind::Memory).await);
    let name = format!("doctor-{:016x}", fastrand::u64(..));
    let examined = Examined {
        version: value(&server, "redis_version").map(str::to_owned),
        ping,
        memory: number(&memory, "used_memory")
            .zip(number(&memory, "maxmemory").filter(|most| *most > 0)),
        heard: hear(&client, settings, &name).await,
        kept: keep(&client, settings, &name).await.map_err(|error| error.to_string()),
        pods: Registry::new(client.clone(), settings)
            .list()
            .await
            .map_err(|error| error.to_string()),
    };
    let _ = timeout(settings.timeout, client.quit()).await;
    Ok(examined)
}

/// A line of `INFO`.
fn value<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
}

fn number(info: &str, name: &str) -> Option<u64> {
    value(info, name)?.parse().ok()
}

/// Publishes on a channel of each kind that pods use, and waits for it.
async fn hear(client: &Client, settings: &config::Backplane, name: &str) -> Result<(), String> {
    let sharded = settings.kind() == BackplaneKind::Sharded;
    for channel in [
        format!("{}-pulse#{name}", settings.key_prefix),
        format!("{}#/{name}#", settings.channel_prefix),
    ] {
        let mut messages = client.message_rx();
        let heard = async {
            if sharded {
                client.ssubscribe(channel.as_str()).await?;
                client.spublish::<(), _, _>(channel.as_str(), name).await?;
            } else {
                client.subscribe(channel.as_str()).await?;
                client.publish::<(), _, _>(channel.as_str(), name).await?;
            }
            loop {
                match messages.recv().await {
                    Ok(message) if message.channel == channel.as_str() => return Ok(()),
                    // Others, or some were missed.
                    _ => {}
                }
            }
        };
        let heard: Result<Result<(), Error>, _> = timeout(settings.timeout, heard).await;
        heard
            .map_err(|_| {
                format!(
                    "what is published on {channel:?} does not come back within {:?}",
                    settings.timeout
                )
            })?
            .map_err(|error| format!("{channel:?}: {error}"))?;
    }
    Ok(())
}

/// Writes a key of those that pods write, and takes it away.
async fn keep(client: &Client, settings: &config::Backplane, name: &str) -> Result<(), Error> {
    let key = format!("{{{}}}:pod:{name}", settings.key_prefix);
    let soon = Some(Expiration::PX(1000));
    client.set::<(), _, _>(key.as_str(), name, soon, None, false).await?;
    client.del(key.as_str()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_info_are_read() {
        let info = "# Server\r\nredis_version:7.0.15\r\nused_memory:12\r\nused_memory_human:9B\r\n";
        assert_eq!(value(info, "redis_version"), Some("7.0.15"));
        assert_eq!((number(info, "used_memory"), number(info, "maxmemory")), (Some(12), None));
    }
}
