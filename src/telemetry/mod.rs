//! What a pod tells about itself: logs, metrics and traces.

mod limits;
mod lines;
pub mod logs;
pub mod metrics;
pub mod runtime;
pub mod traces;

pub use limits::{Reached, Total};
