//! What of forming a cluster is said.

#[path = "../../src/formation/message.rs"]
pub mod message;
