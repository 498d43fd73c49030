//! Finds pods that Redis does not name, because it is away or full: Kubernetes knows their addresses, and each address is
//! asked once which pod is there.
//!
//! A pod that answers proves that it is of this cluster, by the secret that the pods share: what is forwarded is shown
//! to no other program that got the address. Who asks proves nothing: an id is no secret.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::Duration,
};

use axum::body::Body;
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use futures_util::{StreamExt, stream};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use parking_lot::Mutex;
use socketioxide_core::Sid;
use tokio::{
    sync::{self, watch},
    time::{Instant, timeout},
};

use crate::edge::packets::session_id::Seal;

/// Where a pod says which one it is, on the internal listener.
pub(crate) const PATH: &str = "/forward/identity";
/// So many are asked at a time.
const AT_ONCE: usize = 32;
/// One that answered, or did not, is asked again after this time, if somebody is looked for: a pod that is started
/// anew may have the address of the one before.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest answer.
const ANSWER: usize = 256;

/// Finds pods by asking addresses that Kubernetes knows.
pub(super) struct PodDiscovery {
    addresses: watch::Receiver<BTreeSet<SocketAddr>>,
    seal: Arc<Seal>,
    client: Client<HttpConnector, Body>,
    /// Longest wait for one to answer, and for all.
    limit: Duration,
    /// As they answered.
    known: Mutex<HashMap<SocketAddr, Answer>>,
    /// Held by who asks: others that look for somebody wait for the same answers.
    asking: sync::Mutex<()>,
}

/// What came of asking.
struct Answer {
    pod: Option<Sid>,
    at: Instant,
}

impl PodDiscovery {
    pub fn new(
        addresses: watch::Receiver<BTreeSet<SocketAddr>>,
        seal: Arc<Seal>,
        client: Client<HttpConnector, Body>,
        limit: Duration,
    ) -> Self {
        let (known, asking) = Default::default();
        Self { addresses, seal, client, limit, known, asking }
    }

    /// Where a pod is, if one of them is it.
    pub async fn find(&self, pod: Sid) -> Option<SocketAddr> {
        if let Some(address) = self.known_as(pod) {
            return Some(address);
        }
        timeout(self.limit, async {
            let _one_at_a_time = self.asking.lock().await;
            if let Some(address) = self.known_as(pod) {
                return Some(address);
            }
            self.look_for(pod).await
        })
        .await
        .ok()?
    }

    /// Waits until nobody is at an address any longer.
    pub async fn lost(&self, address: SocketAddr) {
        let mut addresses = self.addresses.clone();
        if addresses.wait_for(|addresses| !addresses.contains(&address)).await.is_err() {
            // Nobody watches any longer.
            std::future::pending().await
        }
    }

    fn known_as(&self, pod: Sid) -> Option<SocketAddr> {
        let addresses = self.addresses.borrow();
        let known = self.known.lock();
        let mut answers = known.iter().filter(|(address, _)| addresses.contains(address));
        answers.find(|(_, answer)| answer.pod == Some(pod)).map(|(address, _)| *address)
    }

    /// Asks those that have not been asked of late, until one of them is the pod.
    async fn look_for(&self, pod: Sid) -> Option<SocketAddr> {
        let addresses = self.addresses.borrow().clone();
        let open: Vec<_> = {
            let mut known = self.known.lock();
            known.retain(|address, _| addresses.contains(address));
            let is_open = |address: &SocketAddr| {
                known.get(address).is_none_or(|answer| answer.at.elapsed() >= AGAIN)
            };
            addresses.into_iter().filter(is_open).collect()
        };
        let asked =
            stream::iter(open).map(|address| async move { (address, self.ask(address).await) });
        let mut answers = std::pin::pin!(asked.buffer_unordered(AT_ONCE));
        while let Some((address, answer)) = answers.next().await {
            self.known.lock().insert(address, Answer { pod: answer, at: Instant::now() });
            if answer == Some(pod) {
                return Some(address);
            }
        }
        None
    }

    /// Which pod is at an address, if one of this cluster is.
    async fn ask(&self, address: SocketAddr) -> Option<Sid> {
        let mut nonce = [0; 16];
        aws_lc_rs::rand::fill(&mut nonce).ok()?;
        let nonce = BASE64_URL_SAFE_NO_PAD.encode(nonce);
        let request = Request::get(format!("http://{address}{PATH}?{nonce}")).body(Body::empty());
        let answer = async {
            let answer = self.client.request(request.ok()?).await.ok()?;
            let found = answer.status() == StatusCode::OK;
            let body = Limited::new(answer.into_body(), ANSWER).collect().await.ok()?;
            found.then(|| body.to_bytes())
        };
        // Less than all together may take: what does not answer is known as that.
        let answer = timeout(self.limit / 2, answer).await.ok()??;
        let (pod, proof) = std::str::from_utf8(&answer).ok()?.split_once(' ')?;
        let pod = pod.parse().ok()?;
        let known = self.seal.proves(pod, &nonce, proof);
        if !known {
            tracing::debug!(%address, "a pod there is not of this cluster, or does not share its secret yet");
        }
        known.then_some(pod)
    }
}

/// What a pod answers to who asks which one it is; nothing to a question that is none.
pub(crate) fn identity(seal: &Seal, query: Option<&str>) -> Option<String> {
    // As long as ours, and never that of a session.
    let nonce =
        query.filter(|nonce| BASE64_URL_SAFE_NO_PAD.decode(nonce).is_ok_and(|n| n.len() == 16))?;
    Some(format!("{} {}", seal.pod(), seal.proof(nonce)))
}
