//! What the use cases need of the ledger, so that tests can stand in for a cluster.

use std::future::Future;
use std::pin::Pin;

use super::submit::{SubmitError, Submitted, Submitter};
use crate::ledger::query::Ledger;
use crate::record::Record;

/// What a call of [`LedgerAccess`] returns.
pub type LedgerFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, SubmitError>> + Send + 'a>>;

/// The way to the replicated ledger and to this node's copy.
pub trait LedgerAccess: Send + Sync + 'static {
    /// Commits a record, or finds the one already there under its id. Not cancel-safe:
    /// called from tasks that run to their end.
    fn put(&self, record: Record) -> LedgerFuture<'_, Submitted>;

    /// Waits until this node's copy holds everything acknowledged before the call.
    ///
    /// # Cancel safety
    /// Safe.
    fn barrier(&self) -> LedgerFuture<'_, ()>;

    /// This node's copy; `None` until it belongs to a cluster.
    fn ledger(&self) -> Option<Ledger>;
}

impl LedgerAccess for Submitter {
    fn put(&self, record: Record) -> LedgerFuture<'_, Submitted> {
        Box::pin(Submitter::put(self, record))
    }

    fn barrier(&self) -> LedgerFuture<'_, ()> {
        Box::pin(Submitter::barrier(self))
    }

    fn ledger(&self) -> Option<Ledger> {
        Submitter::ledger(self)
    }
}
