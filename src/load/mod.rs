//! Load on a cluster, and what clients saw of it: latencies, the longest gap without a success,
//! a timeline. Knows the client, not the nodes. Begin with [`generator::run`]; `schedule` has the
//! rule of the open loop, `meter` counts, `gap` has the rule for the client gap, `compare` says
//! whether two runs differ beyond noise.

pub mod compare;
pub mod gap;
pub mod generator;
pub mod histogram;
pub mod material;
pub mod meter;
pub mod mix;
pub mod monitor;
pub mod random;
pub mod report;
mod request;
mod schedule;
pub mod timeline;

pub use gap::Gaps;
pub use generator::{Checked, Done, LoadError, LoadPlan, Outcome};
pub use material::Material;
pub use meter::Meter;
pub use mix::{Mix, Mode};
pub use monitor::Monitor;
pub use report::BenchReport;
