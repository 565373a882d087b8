//! What of logs the configuration needs.

#[path = "../../src/observe/log.rs"]
pub mod log;
