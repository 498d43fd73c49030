//! The buckets of histograms, each chosen for its use.

/// Seconds within a pod, and between pods: from a small room on an idle pod to a stall worth a page.
pub(super) const POD: &[f64] = &[
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
];
/// Sockets that an emit is for: from one to the largest room of a pod.
pub(super) const RECIPIENTS: &[f64] = &[
    0.0, 1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0,
    50_000.0,
];
/// Seconds of calls to other services: from a service beside the pod to one that lets it wait.
pub(super) const SERVICE: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];
