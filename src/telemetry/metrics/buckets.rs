//! The buckets of histograms, each chosen for its use.

/// Seconds within a pod, and between pods: from a small room on an idle pod to a stall worth a page.
pub(super) const POD: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Seconds of connections: from one that is refused at once to a day.
pub(super) const DAY: &[f64] =
    &[0.1, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 10_800.0, 28_800.0, 86_400.0];
/// Seconds that letting a client in takes: from one beside the pod to `engine.connect_timeout`.
pub(super) const HANDSHAKE: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 45.0];
/// Packets that wait, up to `limits.send_queue`.
pub(super) const QUEUE_PACKETS: &[f64] =
    &[0.0, 1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 8192.0, 16_384.0];
/// Bytes that wait, up to `limits.send_queue_bytes`.
pub(super) const QUEUE_BYTES: &[f64] = &[
    0.0,
    1024.0,
    16_384.0,
    65_536.0,
    262_144.0,
    1_048_576.0,
    4_194_304.0,
    8_388_608.0,
    16_777_216.0,
];
/// Sockets that an emit is for: from one to the largest room of a pod.
pub(super) const RECIPIENTS: &[f64] = &[
    0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0,
    50_000.0,
];
/// Seconds of calls to other services: from a service beside the pod to one that lets it wait.
pub(super) const SERVICE: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
