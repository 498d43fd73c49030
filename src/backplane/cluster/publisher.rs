//! Messages on their way to the other servers of a namespace.

use metrics::counter;
use socketioxide_core::Str;

use super::{Cluster, ClusterError};
use crate::{
    backplane::{
        Emit, Source,
        delivery::Arrived,
        redis::Receipt,
        stages::Accepted,
        wire::{Answer, Message, Outgoing, WireError},
    },
    telemetry::metrics::BACKPLANE_DROPPED,
};

/// Sends messages to the other servers.
#[derive(Clone, Copy)]
pub struct Publisher<'a>(pub(super) &'a Cluster);

impl Publisher<'_> {
    /// Sends a message to the servers of a namespace; an answer to the one who asked.
    pub fn send(
        &self,
        namespace: &str,
        message: &Message,
        to: Option<&str>,
    ) -> Result<(), ClusterError> {
        let message = self.encode(namespace, message, to)?;
        Ok(self.0.redis.outbox.send(message, None)?)
    }

    /// Answers a question of the server that asked it.
    pub fn reply(&self, namespace: &str, to: Option<&str>, question: &str, answer: Answer) {
        let message = Message::Answer { question: question.to_owned(), answer };
        // What cannot be sent is counted by the outbox.
        if let Err(error) = self.send(namespace, &message, to) {
            tracing::debug!(%error, "an answer cannot be sent");
        }
    }

    /// Sends an emit.
    pub fn emit(
        &self,
        namespace: &Str,
        emit: &Emit,
        arrived: &Arrived,
    ) -> Result<(), ClusterError> {
        let message = self.encode(namespace, &emit.message(arrived), None)?;
        let accepted = emit.accepted(namespace.clone(), arrived);
        Ok(self.0.redis.outbox.send(message, Some(accepted))?)
    }

    /// The same for a publisher that can be told, as [`Self::hand`].
    pub fn begin(
        &self,
        namespace: &Str,
        emit: &Emit,
        arrived: &Arrived,
    ) -> Result<Option<Receipt>, ClusterError> {
        // The stream has the entry until Redis has the message: it is not kept for later here.
        let may_keep = emit.source != Source::Stream;
        let accepted = emit.accepted(namespace.clone(), arrived);
        self.hand(namespace, &emit.message(arrived), may_keep, Some(accepted))
    }

    /// Sends a message for someone who can be told whether it goes out: when Redis has confirmed it, or
    /// when it is kept until Redis is back.
    pub async fn tell(&self, namespace: &str, message: &Message) -> Result<(), ClusterError> {
        match self.hand(namespace, message, true, None)? {
            Some(receipt) => Ok(receipt.confirmed().await?),
            None => Ok(()),
        }
    }

    /// The beginning of it: the message is on its way. There is no receipt for one that is kept until Redis is
    /// back, which it is only if it may be.
    fn hand(
        &self,
        namespace: &str,
        message: &Message,
        may_keep: bool,
        accepted: Option<Accepted>,
    ) -> Result<Option<Receipt>, ClusterError> {
        let message = self.encode(namespace, message, None)?;
        let outbox = &self.0.redis.outbox;
        if may_keep && outbox.keeps() {
            outbox.offer(message, accepted)?;
            return Ok(None);
        }
        Ok(Some(outbox.send_registered(message, accepted)?))
    }

    /// Writes a message. A client may send what a browser can read and no other server: that is counted.
    fn encode(
        &self,
        namespace: &str,
        message: &Message,
        to: Option<&str>,
    ) -> Result<Outgoing, WireError> {
        self.0.wire.encode(namespace, message, to).inspect_err(|error| {
            counter!(BACKPLANE_DROPPED.name, "reason" => "unencodable").increment(1);
            tracing::debug!(%error, namespace, "a message cannot be written for other pods");
        })
    }
}
