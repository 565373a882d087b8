//! What of logs the configuration needs, and of traffic the API speaks.

#[path = "../../src/observe/log.rs"]
pub mod log;
#[path = "../../src/observe/traffic.rs"]
pub mod traffic;
