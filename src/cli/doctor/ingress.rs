//! What stands between clients and pods: the settings for it, and, where its address is given, what it makes of requests.

use http::{StatusCode, header};
use reqwest::{Client, Url};

use super::report::Report;
use crate::config::Config;

/// The first session of Engine.IO, as a stock client asks for it.
const POLLING: &str = "EIO=4&transport=polling";
const WEBSOCKET: &str = "EIO=4&transport=websocket";
/// Sessions whose requests must all find their pods.
const SESSIONS: usize = 3;
/// A packet that a pod answers and nobody else sees: a client that asks for a namespace that there is not.
const STRANGER: &str = "40/roomcast-doctor,";
/// So much of an answer is shown.
const SHOWN: usize = 120;

/// Looks at both.
pub(super) async fn look(
    config: &Config,
    url: Option<&Url>,
    in_cluster: bool,
    client: &Client,
    report: &mut Report,
) {
    settings(config, in_cluster, report);
    let Some(url) = url else {
        report.skipped(
            "ingress",
            "nothing is known of what stands before the pods; --public-url https://HOST asks through it",
        );
        return;
    };
    let mut url = url.clone();
    url.set_path(&config.public.path);
    if polling(&url, client, report).await {
        stays(&url, client, report).await;
        websocket(&url, client, report).await;
    }
}

fn settings(config: &Config, in_cluster: bool, report: &mut Report) {
    let proxies = &config.public.proxies;
    if !proxies.trusted.is_empty() {
        report.ok(
            "proxies",
            "the addresses of clients are those that trusted load balancers tell; whether yours is among them shows where \
             the log has clients' addresses",
        );
        return;
    }
    let found =
        "public.proxies.trusted is empty: behind a load balancer, all clients have its address";
    if in_cluster && config.admission.max_per_address > 0 {
        let remedy = "name the addresses of the load balancer's pods, such as \"10.244.0.0/16\": \
                      admission.max_per_address counts all of its clients as one";
        report.error("proxies", found, remedy);
    } else {
        report.ok("proxies", found);
    }
}

/// Whether a session begins.
async fn polling(url: &Url, client: &Client, report: &mut Report) -> bool {
    let url = asking(url, None);
    let answer = match client.get(url.clone()).send().await {
        Ok(answer) => answer,
        Err(error) => {
            let remedy = "is this the address that clients use, and does its name resolve here?";
            report.error("ingress", error.to_string(), remedy);
            return false;
        }
    };
    let status = answer.status();
    let begins = session(&answer.text().await.unwrap_or_default()).is_some();
    if begins {
        report.ok("ingress", "long-polling: a session begins");
    } else {
        report.error(
            "ingress",
            format!("{url} answered {status}, and no session"),
            "route public.path of this host to the Service's public port; 502 or 503: it has no pod that is ready",
        );
    }
    begins
}

/// Whether a WebSocket gets through.
async fn websocket(url: &Url, client: &Client, report: &mut Report) {
    let mut url = url.clone();
    url.set_query(Some(WEBSOCKET));
    let request = client
        .get(url)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, "cm9vbWNhc3QgZG9jdG9yIQ==");
    match request.send().await.map(|answer| answer.status()) {
        Ok(StatusCode::SWITCHING_PROTOCOLS) => report.ok("ingress", "a WebSocket opens"),
        Ok(status) => report.error(
            "ingress",
            format!("a WebSocket does not open: {status}"),
            "let the load balancer pass Upgrade and Connection on; clients stay with long-polling until then",
        ),
        Err(error) => report.error("ingress", format!("a WebSocket does not open: {error}"), "see above"),
    }
}

/// Whether each request of a session finds its pod, though each may reach another one.
async fn stays(url: &Url, client: &Client, report: &mut Report) {
    for _ in 0..SESSIONS {
        let Ok(answer) = client.get(asking(url, None)).send().await else { return };
        let Some(session) = session(&answer.text().await.unwrap_or_default()) else { return };
        let url = asking(url, Some(&session));
        let requests = [client.post(url.clone()).body(STRANGER), client.get(url.clone())];
        for (request, what) in requests.into_iter().zip(["a POST", "a poll"]) {
            let (found, remedy) = match request.send().await {
                Ok(answer) if answer.status().is_success() => continue,
                Ok(answer) => {
                    let status = answer.status();
                    let said = answer.text().await.unwrap_or_default();
                    let said: String = said.chars().take(SHOWN).collect();
                    (
                        format!("{what} of a session was answered {status}: {said}"),
                        "all pods need the same sessions.secret, or Redis, and must reach each other's internal port",
                    )
                }
                Err(error) => (
                    format!("{what} of a session: {error}"),
                    "is a time-out there shorter than this?",
                ),
            };
            report.error("ingress", found, remedy);
            return;
        }
        // Its end.
        let _ = client.post(url).body("1").send().await;
    }
    report.ok("ingress", format!("the requests of {SESSIONS} sessions reach their pods"));
}

/// The address of a poll, of a session if there is one.
fn asking(url: &Url, session: Option<&str>) -> Url {
    let mut url = url.clone();
    url.set_query(Some(POLLING));
    if let Some(session) = session {
        url.query_pairs_mut().append_pair("sid", session);
    }
    url
}

/// The id in the packet that opens a session.
fn session(body: &str) -> Option<String> {
    let open: serde_json::Value = serde_json::from_str(body.strip_prefix('0')?).ok()?;
    Some(open["sid"].as_str()?.to_owned())
}
