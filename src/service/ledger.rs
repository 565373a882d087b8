//! What the use cases need of the ledger, so that tests can stand in for a cluster.

use std::future::Future;
use std::pin::Pin;

use super::submit::{SubmitError, Submitted};
use crate::ledger::query::Ledger;
use crate::record::{Durability, Record};
use crate::solo::Journal;

/// What a call of [`LedgerAccess`] returns.
pub type LedgerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SubmitError>> + Send + 'a>>;

/// The way to the replicated ledger and to this node's copy.
pub trait LedgerAccess: Send + Sync + 'static {
    /// Gets a record acknowledged, or finds the one already there under its id. With
    /// [`Durability::Quorum`] for `least` by a quorum and not by this node alone. Not
    /// cancel-safe: called from tasks that run to their end.
    fn put(&self, record: Record, least: Durability) -> LedgerFuture<'_, Submitted>;

    /// Waits until this node's copy holds everything that a quorum, or this node alone,
    /// acknowledged before the call.
    ///
    /// # Cancel safety
    /// Safe.
    fn barrier(&self) -> LedgerFuture<'_, ()>;

    /// This node's copy; `None` until it belongs to a cluster or serves alone.
    fn ledger(&self) -> Option<Ledger>;

    /// What this node acknowledged alone, where it can.
    fn journal(&self) -> Option<Journal>;
}
