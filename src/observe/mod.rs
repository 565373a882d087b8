//! What operators see: events, traffic, metrics and log set-up. Anyone may emit; nothing
//! here knows what the numbers mean. Begin with `events`.

pub mod events;
pub mod log;
pub mod metrics;
pub mod recent;
pub mod traffic;
pub mod warnings;
