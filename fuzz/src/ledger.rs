//! What the log holds.

#[path = "../../src/ledger/command.rs"]
pub mod command;

pub use command::{Command, Outcome};
