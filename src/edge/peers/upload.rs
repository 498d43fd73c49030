//! The body of a request on its way from a client to another pod: whether the client or the pod is waited for. A client may be as slow as
//! the limits of this pod allow; the other pod is to take what there is, and to answer, without delay.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

/// Which side is waited for.
#[derive(Debug, Clone, Copy)]
enum WaitingFor {
    /// The client, for more of the body.
    Client,
    /// The pod: to take what has come, or to answer.
    Pod,
    /// Nobody: the rest did not come.
    Broken,
}

/// Why the request is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum UploadError {
    /// The pod did nothing.
    Late,
    /// The client did not send all of the body.
    Broken,
}

/// A body that tells which side is waited for.
struct TrackedBody {
    body: Body,
    turn: watch::Sender<WaitingFor>,
}

/// Which side a [`TrackedBody`] waits for.
pub(super) struct UploadProgress(watch::Receiver<WaitingFor>);

/// Tracks a body while it is sent.
pub(crate) fn track(body: Body) -> (Body, UploadProgress) {
    let (turn, progress) = watch::channel(WaitingFor::Pod);
    (Body::new(TrackedBody { body, turn }), UploadProgress(progress))
}

impl UploadProgress {
    /// Waits until the pod has done nothing for so long, or the client broke off.
    pub async fn given_up(mut self, limit: Duration) -> UploadError {
        loop {
            let turn = *self.0.borrow_and_update();
            let changed = match turn {
                WaitingFor::Broken => return UploadError::Broken,
                WaitingFor::Client => self.0.changed().await,
                WaitingFor::Pod => match timeout(limit, self.0.changed()).await {
                    Ok(changed) => changed,
                    Err(_) => return UploadError::Late,
                },
            };
            if changed.is_err() {
                // All is sent that will be: what is left is the answer.
                sleep(limit).await;
                return UploadError::Late;
            }
        }
    }
}

impl HttpBody for TrackedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        self.turn.send_replace(match &frame {
            Poll::Pending => WaitingFor::Client,
            Poll::Ready(Some(Err(_))) => WaitingFor::Broken,
            Poll::Ready(_) => WaitingFor::Pod,
        });
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::{FutureExt, StreamExt, stream};
    use http_body_util::BodyExt;
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_slow_client_is_waited_for_and_then_the_pod() {
        let pieces = stream::iter(0..3).then(|_| async {
            sleep(LIMIT * 5).await;
            Ok::<_, std::io::Error>(Bytes::from_static(b"a"))
        });
        let (body, progress) = track(Body::from_stream(pieces));
        let begun = Instant::now();
        let (sent, given_up) = tokio::join!(body.collect(), progress.given_up(LIMIT));
        assert_eq!(sent.unwrap().to_bytes(), "aaa");
        assert_eq!((given_up, begun.elapsed()), (UploadError::Late, LIMIT * 16));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_does_not_take_it_is_not_waited_for() {
        let (_body, progress) = track(Body::from("a"));
        let begun = Instant::now();
        assert_eq!(progress.given_up(LIMIT).await, UploadError::Late);
        assert_eq!(begun.elapsed(), LIMIT);
    }

    #[tokio::test]
    async fn what_the_client_breaks_off_is_its_own_fault() {
        let broken = stream::iter([Ok(Bytes::from_static(b"a")), Err(std::io::Error::other("x"))]);
        let (body, progress) = track(Body::from_stream(broken));
        assert!(body.collect().await.is_err());
        assert_eq!(progress.given_up(LIMIT).now_or_never(), Some(UploadError::Broken));
    }
}
