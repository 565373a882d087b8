//! Load on a cluster, and what clients saw of it: latencies, the longest gap without a success,
//! a timeline. Knows the client, not the nodes. Begin with [`generator::run`]; `meter` counts,
//! `gap` has the rule for the client gap.

pub mod gap;
pub mod generator;
pub mod histogram;
pub mod meter;
pub mod monitor;
pub mod random;
pub mod report;

pub use gap::Gaps;
pub use generator::{Done, LoadError, LoadPlan, Mode, Outcome};
pub use meter::Meter;
pub use monitor::Monitor;
pub use report::BenchReport;
