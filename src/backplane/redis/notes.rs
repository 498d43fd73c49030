//! What pods note for each other in Redis, each note under a name and for a time.

use std::{sync::Arc, time::Duration};

use fred::{
    clients::Client,
    error::{Error, ErrorKind},
    interfaces::KeysInterface,
    types::{Expiration, SetOptions},
};

use super::{Health, timed::Timed};

/// Notes of the cluster.
pub struct Notes {
    commands: Client,
    health: Arc<Health>,
    prefix: String,
}

impl Notes {
    /// Notes under this prefix. One hash tag with the other keys of pods, so that one ACL pattern fits all.
    pub fn new(commands: Client, health: Arc<Health>, prefix: &str) -> Self {
        Self { commands, health, prefix: format!("{{{prefix}}}:") }
    }

    /// Writes a note if there is none of this name; else gives the one that is there. `note` is not the same as
    /// what anybody else writes.
    pub async fn claim(
        &self,
        name: &str,
        note: &str,
        lifetime: Duration,
    ) -> Result<Option<String>, Error> {
        if !self.health.is_up() {
            return Err(Error::new(ErrorKind::IO, "this pod is cut off from the backplane"));
        }
        loop {
            let written: Option<String> = self
                .commands
                .set(self.key(name), note, Some(millis(lifetime)), Some(SetOptions::NX), false)
                .timed("set")
                .await?;
            if written.is_some() {
                return Ok(None);
            }
            match self.commands.get::<Option<String>, _>(self.key(name)).timed("get").await? {
                // The command was sent again, as its answer was lost.
                Some(there) if there == note => return Ok(None),
                Some(there) => return Ok(Some(there)),
                // It has ended in between.
                None => {}
            }
        }
    }

    /// Writes a note over what is there.
    pub async fn write(&self, name: &str, note: &str, lifetime: Duration) -> Result<(), Error> {
        self.commands
            .set(self.key(name), note, Some(millis(lifetime)), None, false)
            .timed("set")
            .await
    }

    /// Takes one away.
    pub async fn remove(&self, name: &str) -> Result<(), Error> {
        self.commands.del(self.key(name)).timed("del").await
    }

    fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

fn millis(lifetime: Duration) -> Expiration {
    Expiration::PX(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX))
}
