//! Whether newer pods replace this one, as the records of the pods have it. Pods of one template are of one kind: a
//! ReplicaSet made them, and a rollout replaces them all by those of another.

use std::{
    env,
    time::{Duration, SystemTime},
};

use crate::{backplane::PodRecord, drain::Rollout};

/// Where Kubernetes' Downward API puts what tells the templates of a Deployment apart
/// (`metadata.labels['pod-template-hash']`), by custom.
const TEMPLATE: &str = "K8S_POD_TEMPLATE_HASH";
/// The same of the name of the pod (`metadata.name`).
const NAME: &str = "K8S_POD_NAME";
/// Most characters of a label's value.
const LONGEST: usize = 63;

/// Which pods this one is like.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Kind {
    /// What its template is called; empty if it does not know.
    pub template: String,
    /// The Deployment that it belongs to. Others may share its Redis, and are no part of its rollouts.
    pub deployment: Option<String>,
}

impl Kind {
    /// What the environment says of this pod, which would wait so long for a rollout.
    pub fn of_environment(rollout_wait: Duration) -> Self {
        let get = |name| env::var(name).ok().filter(|text| !text.is_empty());
        let template = get(TEMPLATE);
        match template.as_deref() {
            None if !rollout_wait.is_zero() => tracing::warn!(
                "drain.rollout_wait has no effect: {TEMPLATE} is not set; set it from metadata.labels['pod-template-hash']"
            ),
            Some(text) if !is_label(text) => tracing::warn!(
                value = text,
                "{TEMPLATE} is no value of a label, and not used; set it from metadata.labels['pod-template-hash']"
            ),
            _ => {}
        }
        Self::new(template.unwrap_or_default(), get(NAME).as_deref())
    }

    fn new(template: String, name: Option<&str>) -> Self {
        if !is_label(&template) {
            return Self::default();
        }
        // DEPLOYMENT-TEMPLATE-RANDOM. A long name is cut, and then does not tell.
        let deployment = name
            .and_then(|name| name.rsplit_once('-'))
            .and_then(|(replica_set, _)| replica_set.strip_suffix(&template)?.strip_suffix('-'));
        Self { deployment: deployment.map(str::to_owned), template }
    }
}

fn is_label(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (1..=LONGEST).contains(&text.len()) && text.chars().all(plain)
}

/// What the records of all pods say of a rollout that replaces this one.
///
/// One is under way when a pod of another template of its Deployment is there that has started later and has not been
/// told to end. After a rollback those are pods of the template before, which are newer then.
pub(super) fn of(own: &PodRecord, all: &[PodRecord]) -> Rollout {
    let Some(template) = own.template.as_deref().filter(|template| !template.is_empty()) else {
        return Rollout::None;
    };
    let same_deployment = |other: &PodRecord| match (&own.deployment, &other.deployment) {
        (Some(own), Some(other)) => own == other,
        _ => true,
    };
    let (mut replaced, mut ready) = (false, 0);
    let others = all.iter().filter(|other| other.id != own.id && other.is_serving());
    for other in others.filter(|other| same_deployment(other)) {
        match other.template.as_deref() {
            // It knows of no template: no Deployment of this kind made it.
            Some("") => {}
            Some(others) if others == template => ready += 1,
            // A build before does not tell, so that it was made from another template.
            _ => replaced |= is_later(&other.since, &own.since),
        }
    }
    if replaced { Rollout::UnderWay { ready } } else { Rollout::None }
}

/// Whether a pod started later than another. What cannot be read is no later.
fn is_later(one: &str, other: &str) -> bool {
    let read = |text: &str| humantime::parse_rfc3339(text).ok();
    read(one).zip(read(other)).is_some_and(|(one, other): (SystemTime, SystemTime)| one > other)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pod of a template that started at a second; `!` in front of the template: it drains. Without one, it is of a build
    /// before.
    fn pod(id: &str, template: &str, second: u32) -> PodRecord {
        let (name, draining) = (template.trim_start_matches('!'), template.starts_with('!'));
        PodRecord {
            id: id.to_owned(),
            address: String::new(),
            version: String::new(),
            state: if draining { "draining" } else { "serving" }.to_owned(),
            connections: 1,
            limit: None,
            since: format!("2026-11-28T10:00:{second:02}.500Z"),
            template: Some(name).filter(|name| *name != "-").map(str::to_owned),
            deployment: None,
        }
    }

    /// What the first of these sees.
    fn seen(pods: &[(&str, u32)]) -> Rollout {
        let all: Vec<_> = pods
            .iter()
            .enumerate()
            .map(|(index, (template, second))| pod(&index.to_string(), template, *second))
            .collect();
        of(&all[0], &all)
    }

    #[test]
    fn it_waits_while_newer_pods_are_there_for_those_of_its_own_kind() {
        let ready = |ready| Rollout::UnderWay { ready };
        for (pods, expected, what) in [
            (&[("!a", 1)][..], Rollout::None, "a single pod"),
            (&[("!a", 1), ("a", 2), ("a", 0)], Rollout::None, "scale-in, or a node drain"),
            (&[("!a", 1), ("a", 2), ("a", 0), ("b", 5)], ready(2), "a rollout"),
            (&[("!a", 1), ("!a", 2), ("a", 0), ("b", 5), ("b", 6)], ready(1), "it goes on"),
            (&[("!a", 1), ("!a", 2), ("!a", 0), ("b", 5)], ready(0), "all have been told"),
            (&[("!a", 1), ("a", 2), ("!b", 5)], Rollout::None, "taken back: the new ones end"),
            (&[("!b", 5), ("a", 2), ("a", 3)], Rollout::None, "a new pod ends, old ones are there"),
            (&[("!b", 5), ("b", 6), ("a", 2), ("a", 7)], ready(1), "a rollback, to newer pods"),
            (&[("!a", 1), ("a", 2), ("!b", 5), ("c", 9)], ready(1), "a rollout upon a rollout"),
            (&[("!a", 5), ("a", 2), ("b", 5)], Rollout::None, "not later"),
        ] {
            assert_eq!(seen(pods), expected, "{what}: {pods:?}");
        }
    }

    #[test]
    fn pods_that_do_not_tell_are_of_a_build_before_and_those_without_a_template_of_no_rollout() {
        for (pods, expected, what) in [
            (&[("!-", 1), ("-", 2), ("b", 5)][..], Rollout::None, "it does not know what it is"),
            (&[("!", 1), ("", 2), ("b", 5)], Rollout::None, "nor does this"),
            (&[("!b", 5), ("b", 6), ("-", 2)], Rollout::None, "old ones that have not gone yet"),
            (
                &[("!b", 5), ("b", 6), ("-", 7)],
                Rollout::UnderWay { ready: 1 },
                "back to a build before",
            ),
            (&[("!b", 5), ("b", 6), ("", 7)], Rollout::None, "a pod outside of Kubernetes"),
        ] {
            assert_eq!(seen(pods), expected, "{what}: {pods:?}");
        }
    }

    #[test]
    fn another_deployment_on_the_same_redis_is_no_rollout() {
        let of_deployment = |id, template, second, deployment: &str| PodRecord {
            deployment: Some(deployment.to_owned()),
            ..pod(id, template, second)
        };
        let own = of_deployment("0", "!a", 1, "chat");
        let kin = of_deployment("1", "a", 2, "chat");
        let canary = of_deployment("2", "b", 5, "chat-canary");
        assert_eq!(of(&own, &[own.clone(), kin.clone(), canary.clone()]), Rollout::None);
        let newer = of_deployment("3", "b", 5, "chat");
        assert_eq!(of(&own, &[kin, canary, newer]), Rollout::UnderWay { ready: 1 });
    }

    #[test]
    fn times_are_compared_and_not_their_texts() {
        assert!(is_later("2026-11-28T10:00:00.001Z", "2026-11-28T10:00:00Z"));
        assert!(!is_later("2026-11-28T10:00:00Z", "2026-11-28T10:00:00.001Z"));
        assert!(!is_later("", "2026-11-28T10:00:00Z") && !is_later("2026-11-28T10:00:00Z", "soon"));
    }

    #[test]
    fn the_deployment_is_read_from_the_name_of_the_pod() {
        for (template, name, deployment) in [
            ("5d9c7b", Some("chat-5d9c7b-x2x4z"), Some("chat")),
            ("5d9c7b", Some("my-chat-5d9c7b-x2x4z"), Some("my-chat")),
            ("5d9c7b", Some("a-name-that-is-cut-5d9-x2x4z"), None),
            ("5d9c7b", Some("chat"), None),
            ("5d9c7b", None, None),
        ] {
            let kind = Kind::new(template.to_owned(), name);
            assert_eq!(
                (kind.template.as_str(), kind.deployment.as_deref()),
                (template, deployment)
            );
        }
        for wrong in ["", "a b", "\u{e9}", &"a".repeat(64)] {
            assert_eq!(Kind::new(wrong.to_owned(), Some("chat-x-y")), Kind::default());
        }
    }
}
