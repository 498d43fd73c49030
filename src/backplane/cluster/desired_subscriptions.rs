//! What a pod of the cluster wants to hear.

use std::sync::Arc;

use super::Cluster;
use crate::backplane::{redis::DesiredSubscriptions, wire::Wire};

pub(super) struct ClusterSubscriptions(pub Arc<Cluster>);

impl ClusterSubscriptions {
    fn namespaces(&self) -> Vec<String> {
        let all = self.0.namespaces.all();
        all.iter().map(|members| members.local.path().to_string()).collect()
    }

    /// Where answers come from namespaces that this pod is no server of.
    fn answers_elsewhere(&self) -> Vec<String> {
        let mut others = self.0.namespaces.elsewhere.all();
        others.retain(|namespace| self.0.namespaces.get(namespace).is_err());
        others.iter().flat_map(|namespace| self.0.wire.answers(namespace)).collect()
    }
}

impl DesiredSubscriptions for ClusterSubscriptions {
    fn channels(&self) -> Vec<String> {
        match &self.0.wire {
            Wire::Classic(wire) => {
                let here = self.namespaces();
                let here = here.iter().flat_map(|namespace| wire.channels(namespace));
                here.chain(self.answers_elsewhere()).collect()
            }
            Wire::Sharded(_) => Vec::new(),
        }
    }

    fn patterns(&self) -> Vec<String> {
        match &self.0.wire {
            Wire::Classic(wire) => {
                self.namespaces().iter().map(|namespace| wire.pattern(namespace)).collect()
            }
            Wire::Sharded(_) => Vec::new(),
        }
    }

    fn echo(&self) -> Option<String> {
        let namespace = self.namespaces().into_iter().min()?;
        match &self.0.wire {
            // It looks like the channel of a room that nobody is in. Clients may join a room of any name that they
            // know, the pod's id too: its members would miss their emits here, and a server of Node
            // that has one would try to read a pulse.
            Wire::Classic(wire) => Some(wire.room_channel(&namespace, &self.0.echo)),
            Wire::Sharded(_) => None,
        }
    }

    fn shards(&self) -> Vec<String> {
        let Wire::Sharded(wire) = &self.0.wire else {
            return Vec::new();
        };
        let mut shards = Vec::new();
        for members in self.0.namespaces.all() {
            let namespace = members.local.path().as_str();
            // Rooms first: once the pod is counted as a server, it must hear everything.
            let rooms = members.lookup().rooms();
            shards.extend(rooms.iter().filter_map(|room| wire.room_subscription(namespace, room)));
            shards.extend(wire.channels(namespace));
        }
        shards.extend(self.answers_elsewhere());
        shards
    }

    fn room(&self, namespace: &str, room: &str) -> Option<String> {
        match &self.0.wire {
            Wire::Classic(_) => None,
            Wire::Sharded(wire) => wire.room_subscription(namespace, room),
        }
    }

    fn answers(&self, namespace: &str) -> Vec<String> {
        self.0.wire.answers(namespace)
    }

    fn hears_answers(&self, namespace: &str) -> bool {
        self.0.namespaces.get(namespace).is_ok() || self.0.namespaces.elsewhere.asks(namespace)
    }

    fn has_members(&self, namespace: &str, room: &str) -> bool {
        self.0.namespaces.has(namespace, room)
    }
}
