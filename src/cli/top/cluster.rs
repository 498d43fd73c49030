//! Which pods there are, and what each says.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, stream};
use reqwest::{Client, Response};
use serde::Deserialize;

use super::page::Page;

/// Longest wait for an answer.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// Pods that are asked at the same time.
const AT_ONCE: usize = 32;
/// Bytes of an answer.
const LARGEST: usize = 16 << 20;

/// How the cluster is reached.
pub(super) struct Way {
    pub client: Client,
    /// A pod, without a slash at the end.
    pub pod: String,
    pub key: Option<String>,
}

/// What the pods said at one time.
pub(super) struct Sample {
    pub at: Instant,
    pub pods: Vec<Said>,
    /// Why it may not be all.
    pub note: Option<String>,
}

/// What a pod said.
pub(super) struct Said {
    pub name: String,
    /// Its page, or why there is none.
    pub page: Result<Page, String>,
}

/// What is read of the answer to `/api/v1/cluster`.
#[derive(Deserialize)]
struct Cluster {
    pods: Vec<Pod>,
    backplane: Backplane,
}

#[derive(Deserialize)]
struct Pod {
    address: String,
}

#[derive(Deserialize)]
struct Backplane {
    connected: bool,
}

impl Way {
    /// Asks all pods.
    pub async fn sample(&self) -> Sample {
        let (pods, note) = match self.pods().await {
            Ok((pods, connected)) => {
                let cut_off = || format!("{} is cut off from the other pods", self.pod);
                (pods, (!connected).then(cut_off))
            }
            Err(why) => {
                let note = format!("only {}: the others are not known: {why}", self.pod);
                (vec![(self.pod.clone(), self.pod.clone())], Some(note))
            }
        };
        let asked = pods.into_iter().map(|(name, url)| async move {
            let page = self.text(&format!("{url}/metrics"), None).await;
            Said { name, page: page.map(|text| Page::read(&text)) }
        });
        let pods = stream::iter(asked).buffered(AT_ONCE).collect().await;
        Sample { at: Instant::now(), pods, note }
    }

    /// The pods, by name and address, and whether they are all.
    async fn pods(&self) -> Result<(Vec<(String, String)>, bool), String> {
        let key = self.key.as_deref().ok_or("there is no key of the API (--api-key-file)")?;
        let text = self.text(&format!("{}/api/v1/cluster", self.pod), Some(key)).await?;
        let mut cluster: Cluster =
            serde_json::from_str(&text).map_err(|_| "that is no pod of Roomcast")?;
        cluster.pods.sort_by(|a, b| a.address.cmp(&b.address));
        let named = cluster.pods.into_iter().map(|Pod { address }| {
            let url = format!("http://{address}");
            (address, url)
        });
        Ok((named.collect(), cluster.backplane.connected))
    }

    async fn text(&self, url: &str, key: Option<&str>) -> Result<String, String> {
        let mut request = self.client.get(url);
        if let Some(key) = key {
            request = request.bearer_auth(key);
        }
        let response = request.send().await.map_err(|error| reason(&error))?;
        let status = response.status();
        let text = body(response).await?;
        if status.is_success() {
            return Ok(text);
        }
        let code = serde_json::from_str::<serde_json::Value>(&text).ok();
        let code = code.as_ref().and_then(|body| body["error"]["code"].as_str());
        Err(code.map_or_else(|| format!("status {}", status.as_u16()), str::to_owned))
    }
}

fn reason(error: &reqwest::Error) -> String {
    let reason = if error.is_timeout() {
        "no answer in time"
    } else if error.is_builder() {
        "no such address, or a key that cannot be sent"
    } else {
        "no answer"
    };
    reason.to_owned()
}

async fn body(mut response: Response) -> Result<String, String> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| reason(&error))? {
        if body.len() + piece.len() > LARGEST {
            return Err("an answer that is too large".to_owned());
        }
        body.extend_from_slice(&piece);
    }
    Ok(String::from_utf8_lossy(&body).into_owned())
}
