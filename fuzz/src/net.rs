//! What of sockets a body needs.

#[path = "../../src/net/pace.rs"]
pub mod pace;
