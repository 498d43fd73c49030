//! Who may read: the API server is asked by a SubjectAccessReview, and its answer is kept for a moment.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use k8s_openapi::api::authorization::v1::{
    NonResourceAttributes, ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec,
};
use kube::api::PostParams;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::{
    asked::{Asked, GROUP, VERSION},
    front_proxy::Caller,
};
use crate::kube::{Api, Call, calls::CallError};

/// How long an answer is believed, as the servers of Kubernetes do by default: so long a right that was taken away goes on.
const FRESH: Duration = Duration::from_secs(10);
/// Answers that are kept at most.
const MOST: usize = 256;

/// Asks, and keeps answers.
pub struct Access {
    api: Api,
    answers: Mutex<Answers>,
}

impl Access {
    pub fn new(api: Api) -> Self {
        Self { api, answers: Mutex::default() }
    }

    /// Whether a caller may have what it asks for.
    ///
    /// # Errors
    /// If the API server does not say: then nobody may.
    pub async fn may(
        &self,
        caller: &Caller,
        asked: &Asked<'_>,
        path: &str,
    ) -> Result<bool, CallError> {
        let spec = review(caller, asked, path);
        let key = digest(&spec);
        if let Some(allowed) = self.answers.lock().get(&key, Instant::now()) {
            return Ok(allowed);
        }
        let reviews = kube::Api::<SubjectAccessReview>::all(self.api.client());
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let request = PostParams::default();
        let answer = self.api.call(Call::Access, reviews.create(&request, &review)).await?;
        // `denied` is said by an authorizer that overrules others.
        let allowed =
            answer.status.is_some_and(|status| status.allowed && status.denied != Some(true));
        self.answers.lock().keep(key, allowed, Instant::now());
        Ok(allowed)
    }
}

/// The question. The API server has asked itself the same of the same request before it passed it on.
fn review(caller: &Caller, asked: &Asked<'_>, path: &str) -> SubjectAccessReviewSpec {
    let mut spec = SubjectAccessReviewSpec {
        user: Some(caller.username.clone()),
        uid: caller.uid.clone(),
        groups: Some(caller.groups.clone()),
        extra: Some(caller.extra.clone()).filter(|extra| !extra.is_empty()),
        ..SubjectAccessReviewSpec::default()
    };
    if let Asked::Metric { namespace, name } = asked {
        spec.resource_attributes = Some(ResourceAttributes {
            group: Some(GROUP.into()),
            version: Some(VERSION.into()),
            resource: Some((*name).into()),
            namespace: Some((*namespace).into()),
            // The path ends with the resource, so that Kubernetes takes it for a list.
            verb: Some("list".into()),
            ..ResourceAttributes::default()
        });
    } else {
        spec.non_resource_attributes =
            Some(NonResourceAttributes { path: Some(path.into()), verb: Some("get".into()) });
    }
    spec
}

/// What stands for a question: names are as long as who asks makes them.
fn digest(spec: &SubjectAccessReviewSpec) -> [u8; 32] {
    Sha256::digest(serde_json::to_vec(spec).unwrap_or_default()).into()
}

/// Answers, by question.
#[derive(Default)]
struct Answers(HashMap<[u8; 32], (bool, Instant)>);

impl Answers {
    fn get(&self, key: &[u8; 32], now: Instant) -> Option<bool> {
        let (allowed, since) = self.0.get(key)?;
        (now.duration_since(*since) < FRESH).then_some(*allowed)
    }

    fn keep(&mut self, key: [u8; 32], allowed: bool, now: Instant) {
        if self.0.len() >= MOST {
            self.0.retain(|_, (_, since)| now.duration_since(*since) < FRESH);
        }
        if self.0.len() >= MOST {
            // So many callers at once are no autoscalers.
            self.0.clear();
        }
        self.0.insert(key, (allowed, now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(username: &str, groups: &[&str]) -> Caller {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        Caller { username: username.into(), uid: None, groups, extra: Default::default() }
    }

    #[test]
    fn an_answer_is_for_one_question_and_ends() {
        let metric = |namespace, name| Asked::Metric { namespace, name };
        let keys = [
            digest(&review(&caller("a", &["g"]), &metric("n", "m"), "/p")),
            digest(&review(&caller("b", &["g"]), &metric("n", "m"), "/p")),
            digest(&review(&caller("a", &["h"]), &metric("n", "m"), "/p")),
            digest(&review(&caller("a", &[]), &metric("n", "m"), "/p")),
            digest(&review(&caller("a", &["g"]), &metric("o", "m"), "/p")),
            digest(&review(&caller("a", &["g"]), &metric("n", "l"), "/p")),
            digest(&review(&caller("a", &["g"]), &Asked::Version, "/p")),
            digest(&review(&caller("a", &["g"]), &Asked::Other, "/q")),
        ];
        let now = Instant::now();
        let mut answers = Answers::default();
        for (count, key) in keys.into_iter().enumerate() {
            assert_eq!(answers.get(&key, now), None, "{count}");
            answers.keep(key, count % 2 == 0, now);
        }
        for (count, key) in keys.iter().enumerate() {
            assert_eq!(answers.get(key, now + FRESH / 2), Some(count % 2 == 0));
            assert_eq!(answers.get(key, now + FRESH), None);
        }
    }

    #[test]
    fn answers_are_bounded_whoever_asks() {
        let (mut answers, now) = (Answers::default(), Instant::now());
        for number in 0..3 * MOST {
            let mut key = [0; 32];
            key[..8].copy_from_slice(&number.to_be_bytes());
            answers.keep(key, true, now);
            assert!(answers.0.len() <= MOST);
            assert_eq!(answers.get(&key, now), Some(true));
        }
    }

    #[test]
    fn a_number_is_asked_for_as_kubernetes_names_it() {
        let metric = Asked::Metric { namespace: "prod", name: "roomcast_connections" };
        let spec = review(&caller("hpa", &["system:authenticated"]), &metric, "/ignored");
        let attributes = spec.resource_attributes.unwrap_or_default();
        assert_eq!(
            [attributes.verb, attributes.resource, attributes.namespace, attributes.group],
            ["list", "roomcast_connections", "prod", GROUP].map(|text| Some(text.to_owned()))
        );
        assert!(spec.non_resource_attributes.is_none());
        let spec = review(&caller("a", &[]), &Asked::Version, "/apis/x");
        let attributes = spec.non_resource_attributes.unwrap_or_default();
        assert_eq!(
            (attributes.path.as_deref(), attributes.verb.as_deref()),
            (Some("/apis/x"), Some("get"))
        );
        assert!(spec.resource_attributes.is_none());
    }
}
