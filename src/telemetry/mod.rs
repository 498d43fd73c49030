//! What a pod tells about itself: logs and metrics.

mod limits;
pub mod logs;
pub mod metrics;

pub use limits::{Reached, Total};
