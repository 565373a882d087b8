//! Bugs that are planted on purpose, to see that the checks catch them.

use std::cell::Cell;

/// One bug each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A voter lets a vote pass a leader's lease without evidence of its own.
    VoteWithoutEvidence,
    /// The log is acknowledged before it is on stable storage.
    AcknowledgeBeforeFsync,
    /// A linearizable read answers without asking whether this node still leads.
    ReadWithoutIndex,
    /// What a node acknowledged alone gets a new id on its way to the ledger.
    DrainUnderNewIds,
}

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Plants a bug on this thread, or removes it.
pub fn set(bug: Option<Bug>) {
    PLANTED.set(bug);
}

pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}
