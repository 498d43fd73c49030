import { quantiles, rate, sum } from "./quantiles.mjs";

const PODS = { by: ["pod", "instance"] };

export const CLIENTS = [
  {
    title: "Connections, by pod",
    means: "Where clients are. Uneven for long: the load balancer has a favourite, or a pod is new; `POST /api/v1/rebalance` gives some away.",
    unit: "short",
    stack: true,
    queries: [sum("roomcast_connections", PODS)],
  },
  {
    title: "Connections, by transport",
    means: "Polling much above its usual share: something between clients and pods breaks WebSockets.",
    unit: "short",
    stack: true,
    queries: [sum("roomcast_connections", { by: ["transport"] })],
  },
  {
    title: "Opened",
    means: "How fast clients arrive, by the transport that they begin with. Its peak after a deploy is what the other pods must take.",
    unit: "cps",
    queries: [rate("roomcast_connections_opened_total", { by: ["transport"] })],
  },
  {
    title: "Closed, by reason",
    means: "`ping timeout` rising: clients lose their network, or pods stall. `server shutting down`: drains. `queue full`, `write timeout`: clients that do not read.",
    unit: "cps",
    queries: [rate("roomcast_connections_closed_total", { by: ["reason"] })],
  },
  {
    title: "Handshake to CONNECT",
    means: "From the opening request to the first namespace that lets the client in: tokens, hooks, the network of the client.",
    unit: "s",
    queries: quantiles([0.5, 0.99], "roomcast_handshake_duration_seconds", { by: ["transport"] }),
  },
  {
    title: "How long connections last",
    means: "Of those that ended. A p50 that falls to minutes: clients come and go, by a proxy's time-out or by reloads.",
    unit: "s",
    queries: quantiles([0.5, 0.9], "roomcast_connection_duration_seconds", { by: ["transport"] }),
  },
  {
    title: "Upgrades to WebSocket",
    means: "By result. Those that fail go on with polling, which costs more.",
    unit: "cps",
    queries: [rate("roomcast_upgrades_total", { by: ["result"] })],
  },
  {
    title: "Sockets, by namespace",
    means: "One for each connection and namespace that it joined.",
    unit: "short",
    stack: true,
    queries: [sum("roomcast_sockets", { by: ["nsp"] })],
  },
  {
    title: "Rooms, by namespace",
    means: "Rooms with members, counted on each pod that has some; sockets' own rooms are not among them.",
    unit: "short",
    queries: [sum("roomcast_rooms", { by: ["nsp"] })],
  },
  {
    title: "Children of dynamic namespaces",
    means: "By their parent. At `limits.child_namespaces`, clients that ask for another are refused.",
    unit: "short",
    queries: [sum("roomcast_child_namespaces", { by: ["nsp"] })],
  },
  {
    title: "Events from clients",
    means: "Accepted ones, by namespace. The refused are in the row below.",
    unit: "ops",
    queries: [rate("roomcast_events_total", { by: ["nsp"], where: 'result="ok"' })],
  },
  {
    title: "Acks that clients were asked for",
    means: "`timeout` rising beside `asked`: clients do not answer, or their handlers do not call back.",
    unit: "ops",
    queries: [rate("roomcast_acks_total", { by: ["result"] })],
  },
  {
    title: "Traffic",
    means: "Bytes from and to clients, as they are when they are not compressed.",
    unit: "Bps",
    queries: [rate("roomcast_bytes_total", { by: ["transport", "direction"] })],
  },
  {
    title: "Packets",
    means: "Packets of Engine.IO, pings among them.",
    unit: "pps",
    queries: [rate("roomcast_packets_total", { by: ["transport", "direction"] })],
  },
  {
    title: "Forwarded requests",
    means: "Requests that came to another pod than that of their session: a hop each. `failed` for more than moments: pods do not reach each other.",
    unit: "reqps",
    queries: [rate("roomcast_forwarded_requests_total", { by: ["transport", "result"] })],
  },
  {
    title: "Passing through for other pods",
    means: "WebSockets and polls of sessions that other pods have. Many: turn on the affinity that the load balancer has.",
    unit: "short",
    queries: [
      ["sum(roomcast_relayed_websockets{$pods})", "WebSockets"],
      ["sum(roomcast_held_polls{$pods})", "polls"],
    ],
  },
];
