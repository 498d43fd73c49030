//! Redis, and the other pods.

use super::table::table;

table! {
    BACKPLANE_CONNECTED = Gauge "roomcast_backplane_connected" Backplane []
        "1 while what this pod publishes comes back to it through Redis, 0 while it is cut off."
        "Page on 0. All pods at 0: Redis is away; one of them: its path to Redis. Not there without a backplane.";
    BACKPLANE_RECONNECTS = Counter "roomcast_backplane_reconnects_total" Backplane []
        "Times that the pod was cut off and found back."
        "Rising without an outage: `backplane.timeout` is too short for this Redis, or its output buffer limits for the load.";
    BACKPLANE_RECORD_FAILURES = Counter "roomcast_backplane_record_failures_total" Backplane []
        "Times that the record in which other pods find this one could not be written or theirs not read: Redis is full, or refuses."
        "Rising: other pods do not find this one, and requests of its sessions that reach them are lost. Give Redis memory or disk; the log has its answer.";
    BACKPLANE_PUBLISHED = Counter "roomcast_backplane_published_total" Backplane []
        "Messages for other pods that Redis has confirmed."
        "";
    BACKPLANE_RECEIVED = Counter "roomcast_backplane_received_total" Backplane [result: "handled" "no members"]
        "Messages from Redis: `handled`, or `no members` for a room that nobody here is in, which is not even decoded."
        "Mostly `no members` with `pubsub`: `sharded` would spare this pod the traffic.";
    BACKPLANE_DROPPED = Counter "roomcast_backplane_messages_dropped_total" Backplane [reason: "disconnected" "publish queue full" "publish failed" "unencodable" "child namespaces" "lagged" "receive queue full" "question queue full" "server events" "undecodable"]
        "Messages between pods that were lost: `disconnected`, `publish queue full`, `publish failed`, `unencodable`, `child namespaces` on the way out, `lagged`, `receive queue full`, `question queue full`, `server events`, `undecodable` on the way in."
        "Must be 0 while Redis is there. `undecodable`: something else speaks on these channels. `question queue full`: other servers ask for more than this pod answers (`fetchSockets`, `presence`). `server events`: 256 handlers of `Namespace::on_server_side` wait already. `child namespaces`: as many that only other pods have are asked about at a time as `limits.child_namespaces`.";
    BACKPLANE_LATENCY = Histogram(POD) "roomcast_backplane_latency_seconds" Backplane []
        "Time from a publish on another pod of ours until it is in the queues of the sockets here, by the clocks of both machines."
        "Redis and the network. Messages of Node servers and emitters carry no time. The same in stages: `roomcast_emit_latency_seconds`, explained in [latency](latency.md).";
    REDIS_COMMANDS = Histogram(POD) "roomcast_redis_command_duration_seconds" Backplane [command: "cluster slots" "del" "get" "mget" "ping" "psubscribe" "publish" "pubsub" "punsubscribe" "sadd" "set" "smembers" "spublish" "srem" "ssubscribe" "subscribe" "sunsubscribe" "unsubscribe" "xack" "xadd" "xclaim" "xdel" "xgroup" "xinfo" "xlen" "xpending" "xtrim"]
        "Time until Redis has answered a command, failures included. `publish` and `spublish`: of all messages that were sent in one go."
        "All slow: Redis has no CPU, or the network is slow; one of them: its data is large. Beside [the stages of emits](latency.md), `publish` says how much of that stage is Redis.";
    PUBLISH_QUEUE_MESSAGES = Gauge "roomcast_backplane_publish_queue_messages" Backplane []
        "Messages for other pods that Redis has not confirmed yet, looked at every second."
        "Not falling: Redis takes less than this pod publishes, or is away.";
    PUBLISH_QUEUE_BYTES = Gauge "roomcast_backplane_publish_queue_bytes" Backplane []
        "What they count against `backplane.publish_queue`."
        "At that limit, messages are lost or refused, `publish queue full`.";
    RECEIVE_QUEUE_MESSAGES = Gauge "roomcast_backplane_receive_queue_messages" Backplane []
        "Messages of other servers that wait for this pod to handle them."
        "Not falling: more comes than one thread of this pod can give to its sockets. More pods, or `sharded`.";
    RECEIVE_QUEUE_BYTES = Gauge "roomcast_backplane_receive_queue_bytes" Backplane []
        "What they count against `backplane.receive_queue`."
        "At that limit, messages are lost, `receive queue full`.";
    SUBSCRIPTIONS = Gauge "roomcast_backplane_subscriptions" Backplane []
        "Channels and patterns that this pod is subscribed to."
        "With `sharded`, one for each room with members here: grows with rooms.";
    PEERS = Gauge "roomcast_peers" Backplane [kind: "roomcast" "node", state: "serving" "draining"]
        "Other servers of the cluster, as this pod knows them since its last heartbeat: pods, and Node servers (those that listen in `/`, or in the first of the namespaces), which do not say when they drain."
        "As many as there are replicas, less one. Fewer on one pod: others cannot be reached from it, or it cannot see them. While `roomcast_backplane_connected` is 0, it is what was known last. `draining` for long: a drain hangs.";
    PEER_MESSAGE_AGE = Gauge "roomcast_peer_message_age_seconds" Later [kind: "roomcast" "node"]
        "Time since the last message of any other server of this kind, looked at every second; not there before the first one."
        "Grows while nobody emits, which is no fault. While others emit: their messages do not come here.";
    CLUSTER_QUESTIONS = Counter "roomcast_cluster_questions_total" Backplane [result: "complete" "silent" "cut off"]
        "Questions of this pod to all other servers (sockets, rooms, presence, emits with acks, server-side events): `complete`, `silent` if some did not answer in time, `cut off` if they could not be asked."
        "`silent` rising: a server is overloaded or hangs, and answers are incomplete.";
}
