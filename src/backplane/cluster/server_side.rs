//! Events between servers, and how long this pod works on the answers.

use std::{future::Future, pin::Pin, sync::Arc};

use futures_util::FutureExt;
use metrics::counter;
use serde_json::Value as Json;
use tokio::time::timeout;

use super::Cluster;
use crate::{backplane::wire::Answer, tasks, telemetry::metrics::BACKPLANE_DROPPED};

/// Most handlers that wait at a time.
pub(super) const MOST: usize = 256;

/// Answers to events between servers.
pub trait ServerSide: Send + Sync {
    /// Handles an event of another server: its name and its arguments. The answer goes to it if it
    /// asked for one.
    fn handle(&self, event: String, arguments: Vec<Json>) -> ServerAnswer;
}

/// The answer to such an event; nothing if the other server is to get none.
pub enum ServerAnswer {
    /// It is known.
    Now(Option<Json>),
    /// It takes time.
    Later(Pin<Box<dyn Future<Output = Option<Json>> + Send>>),
}

/// Answers another server, if it asked.
pub(super) fn answer(
    cluster: &Arc<Cluster>,
    namespace: &str,
    from: Option<&str>,
    question: Option<String>,
    answer: ServerAnswer,
) {
    let mut later = match answer {
        ServerAnswer::Now(answer) => {
            return tell(cluster, namespace, from, question.as_deref(), answer);
        }
        ServerAnswer::Later(later) => later,
    };
    // Handlers begin in the order of the events, as on Node.
    if let Some(answer) = (&mut later).now_or_never() {
        return tell(cluster, namespace, from, question.as_deref(), answer);
    }
    let Ok(permit) = cluster.server_events.clone().try_acquire_owned() else {
        counter!(BACKPLANE_DROPPED.name, "reason" => "server events").increment(1);
        tracing::debug!(namespace, "an event of another server is given up: too many wait");
        return;
    };
    let cluster = cluster.clone();
    let (namespace, from) = (namespace.to_owned(), from.map(str::to_owned));
    tasks::spawn("cluster", async move {
        // Who asked waits no longer, either.
        let answer = timeout(cluster.settings.request_timeout, later).await;
        drop(permit);
        match answer {
            Ok(answer) => {
                tell(&cluster, &namespace, from.as_deref(), question.as_deref(), answer);
            }
            Err(_) => tracing::warn!(
                namespace,
                "on_server_side took longer than backplane.request_timeout, and was given up"
            ),
        }
    });
}

fn tell(
    cluster: &Cluster,
    namespace: &str,
    to: Option<&str>,
    question: Option<&str>,
    answer: Option<Json>,
) {
    if let (Some(question), Some(answer)) = (question, answer) {
        cluster.publisher().reply(namespace, to, question, Answer::ServerSide(answer));
    }
}
