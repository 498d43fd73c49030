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
        "Redis and the network. Messages of Node servers and emitters carry no time.";
}
