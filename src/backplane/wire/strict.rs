//! What is not known to be meant reaches nobody: messages whose options are missing or of another type.

#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use serde_json::{Value as Json, json};

use super::{Classic, Format, Message, Sharded, Wire};
use crate::{backplane::transcode::json_to_msgpack, config::SubscriptionMode};

fn msgpack(value: &Json) -> Bytes {
    let mut out = Vec::new();
    json_to_msgpack(&value.to_string(), None, &mut out).unwrap();
    out.into()
}

fn classic() -> Wire {
    Wire::Classic(Classic::new("socket.io", "pod", Format::Json))
}

fn sharded() -> Wire {
    Wire::Sharded(Sharded::new("socket.io", "pod", Format::Json, SubscriptionMode::Dynamic))
}

/// The rooms and exceptions of a message that is read; `None` if it is refused.
fn read(wire: &Wire, channel: &str, payload: &Bytes) -> Option<(Vec<String>, Vec<String>)> {
    let target = match wire.decode(channel, payload).ok()?.unwrap().message {
        Message::Broadcast(broadcast) => broadcast.target,
        Message::Join { target, .. }
        | Message::Leave { target, .. }
        | Message::Disconnect { target, .. }
        | Message::FetchSockets { target, .. } => target,
        other => panic!("{other:?}"),
    };
    Some((target.rooms, target.except))
}

/// A message with these options in every form that there is.
fn in_all_forms(opts: &Json) -> Vec<Option<(Vec<String>, Vec<String>)>> {
    let packet = json!({"type": 2, "data": ["news"], "nsp": "/"});
    let (main, requests) = ("socket.io#/#", "socket.io-request#/#");
    let mut results = vec![
        read(&classic(), main, &msgpack(&json!(["x", packet, opts]))),
        read(
            &classic(),
            requests,
            &msgpack(
                &json!({"type": 7, "uid": "x", "requestId": "r", "packet": packet, "opts": opts}),
            ),
        ),
    ];
    for kind in 2..=5 {
        let request =
            json!({"type": kind, "uid": "x", "requestId": "r", "rooms": ["a"], "opts": opts});
        for payload in [request.to_string().into(), msgpack(&request)] {
            results.push(read(&classic(), requests, &payload));
        }
    }
    for kind in 3..=7 {
        let data = json!({"packet": packet, "requestId": "r", "rooms": ["a"], "opts": opts});
        let message = json!({"type": kind, "uid": "x", "nsp": "/", "data": data});
        for payload in [message.to_string().into(), msgpack(&message)] {
            results.push(read(&sharded(), main, &payload));
        }
    }
    results
}

#[test]
fn odd_options_are_refused_in_every_form() {
    let list = json!(["a"]);
    for odd in [
        json!({"a": 1}),
        json!("a"),
        json!(7),
        json!(true),
        json!([null]),
        json!([{}]),
        json!([["a"]]),
        json!(["a", {}]),
        json!([true]),
    ] {
        for opts in [
            json!({"rooms": odd, "except": [], "flags": {}}),
            json!({"rooms": list, "except": odd}),
            odd.clone(),
        ] {
            if opts.is_object() && opts.get("rooms").is_none() {
                // A map of unknown keys is one without rooms, as on Node.
                continue;
            }
            for (form, result) in in_all_forms(&opts).into_iter().enumerate() {
                assert_eq!(result, None, "form {form} with {opts}");
            }
        }
    }
    for flags in [json!("x"), json!(7), json!([1]), json!({"volatile": 1}), json!({"timeout": "1"})]
    {
        let opts = json!({"rooms": list, "except": [], "flags": flags});
        assert!(in_all_forms(&opts).iter().all(Option::is_none), "{opts}");
    }
    for opts in [json!(null), json!([]), json!("")] {
        assert!(in_all_forms(&opts).iter().all(Option::is_none), "{opts}");
    }
}

#[test]
fn what_emitters_write_is_read() {
    let everybody = Some((vec![], vec![]));
    for opts in [
        json!({}),
        json!({"rooms": [], "except": [], "flags": {}}),
        json!({"rooms": null, "except": null, "flags": null}),
        json!({"rooms": "", "flags": ""}),
        json!({"rooms": [], "flags": [], "future": 1}),
    ] {
        assert!(in_all_forms(&opts).iter().all(|read| *read == everybody), "{opts}");
    }
    let some = Some((vec!["a".to_owned(), "42".to_owned()], vec!["b".to_owned()]));
    let opts =
        json!({"rooms": ["a", 42], "except": ["b"], "flags": {"volatile": true, "timeout": 5}});
    assert!(in_all_forms(&opts).iter().all(|read| *read == some), "{opts}");
}

#[test]
fn what_is_missing_is_not_guessed() {
    for kind in 3..=12 {
        for data in [json!({}), json!({"packet": {"type": 2, "data": ["news"]}}), json!([])] {
            let message = json!({"type": kind, "uid": "x", "nsp": "/", "data": data});
            for payload in [message.to_string().into(), msgpack(&message)] {
                assert!(sharded().decode("socket.io#/#", &payload).is_err(), "{message}");
            }
        }
    }
    for kind in [2, 3, 4, 5, 6, 7] {
        let message = json!({"type": kind, "uid": "x", "requestId": "r"});
        for payload in [message.to_string().into(), msgpack(&message)] {
            assert!(classic().decode("socket.io-request#/#", &payload).is_err(), "{message}");
        }
    }
    // Not an event, and of no namespace that can be read.
    for packet in [
        json!({"type": 1, "data": ["news"], "nsp": "/"}),
        json!({"type": "2", "data": ["news"], "nsp": "/"}),
        json!({"type": 2, "data": ["news"], "nsp": 7}),
    ] {
        let payload = msgpack(&json!(["x", packet, {"rooms": []}]));
        assert!(classic().decode("socket.io#/#", &payload).is_err(), "{packet}");
    }
}

#[test]
fn a_room_that_is_named_as_the_pod_has_no_subscription_of_its_own() {
    let wire = Sharded::new("socket.io", "pod", Format::Json, SubscriptionMode::Dynamic);
    assert_eq!(wire.room_subscription("/", "pod"), None);
    assert_eq!(wire.room_subscription("/", "other").as_deref(), Some("socket.io#/#other#"));
    // Others publish for it on the channel that this pod always has.
    let channel = wire.room_channel("/", "pod").unwrap();
    assert!(wire.channels("/").contains(&channel));
}
