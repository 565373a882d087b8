//! What of consensus is said.

#[path = "../../src/raft/types.rs"]
pub mod types;
