//! The way to the ledger of a node that can serve alone: to the leader while there is a
//! quorum, to the own journal while there is none.
//!
//! A request may be on its way to the leader when solo begins. It is then journalled under its
//! own id, whether or not Raft may still commit it: the drain puts it by id, and the ledger
//! holds it once. Likewise an id that waits in the journal is never given another record here:
//! the one that waits is what a repeated request gets, and what it brings to the ledger.

use std::sync::Arc;

use super::ledger::{LedgerAccess, LedgerFuture};
use super::submit::{SubmitError, Submitted, Submitter};
use crate::detector::introspect::Condition;
use crate::ident::RecordId;
use crate::ledger::query::Ledger;
use crate::limits::{READ_MAX, SUBMIT_MAX};
use crate::record::{Durability, Record};
use crate::rt::ClientRt;
use crate::solo::{Entered, Journal, JournalError, Sink, SinkError, SinkFuture, Solo};
use crate::store::Store;

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct LedgerOrJournal {
    pub submitter: Submitter,
    pub solo: Solo,
    pub journal: Journal,
    pub store: Arc<dyn Store>,
    pub rt: ClientRt,
}

impl LedgerOrJournal {
    async fn put(&self, record: Record, least: Durability) -> Result<Submitted, SubmitError> {
        if self.solo.is_on() {
            return self.alone(record, least).await;
        }
        let waiting = self.waiting(&record.id).await?;
        let waited = waiting.is_some();
        let record = waiting.unwrap_or(record);
        let submitted = tokio::select! {
            submitted = self.submitter.put(record.clone()) => submitted,
            () = self.solo.is(true) => return self.alone(record, least).await,
        };
        match submitted {
            // It began at the same moment.
            Err(SubmitError::NoQuorum { .. } | SubmitError::NotReady) if self.solo.is_on() => {
                self.alone(record, least).await
            }
            // The ledger may have had it from here just now, and the id was there before.
            submitted => submitted
                .map(|submitted| Submitted { replayed: submitted.replayed || waited, ..submitted }),
        }
    }

    async fn alone(&self, record: Record, least: Durability) -> Result<Submitted, SubmitError> {
        if least == Durability::Quorum {
            return Err(SubmitError::Solo);
        }
        let entered = tokio::time::timeout(SUBMIT_MAX, self.journal.enter(record)).await;
        let stuck = SubmitError::Unwell { condition: Condition::StuckDisk };
        let Entered { record, replayed, durability } = entered.map_err(|_| stuck)??;
        Ok(Submitted { record, replayed, durability })
    }

    /// What waits in the journal under `id`.
    async fn waiting(&self, id: &RecordId) -> Result<Option<Record>, SubmitError> {
        if self.journal.size().records == 0 {
            return Ok(None);
        }
        let (journal, id) = (self.journal.clone(), id.clone());
        let found = self.rt.blocking(move || journal.get(&id)).await;
        Ok(found.map_err(JournalError::from)?)
    }

    async fn barrier(&self) -> Result<(), SubmitError> {
        let reading = async {
            let mut sizes = self.journal.sizes();
            let drained = sizes.wait_for(|size| size.records == 0);
            let drained = tokio::time::timeout(READ_MAX, drained).await.map(|_| ());
            if drained.is_err() {
                return Err(SubmitError::Draining { records: self.journal.size().records });
            }
            self.submitter.barrier().await
        };
        tokio::select! {
            biased;
            () = self.solo.is(true) => Err(SubmitError::Solo),
            read = reading => read,
        }
    }
}

impl LedgerAccess for LedgerOrJournal {
    fn put(&self, record: Record, least: Durability) -> LedgerFuture<'_, Submitted> {
        Box::pin(Self::put(self, record, least))
    }

    fn barrier(&self) -> LedgerFuture<'_, ()> {
        Box::pin(Self::barrier(self))
    }

    fn ledger(&self) -> Option<Ledger> {
        let alone = self.solo.is_on() || self.journal.size().records > 0;
        let own = || alone.then(|| Ledger::new(Arc::clone(&self.store)));
        self.submitter.ledger().or_else(own)
    }

    fn journal(&self) -> Option<Journal> {
        Some(self.journal.clone())
    }
}

impl Sink for Submitter {
    fn put(&self, record: Record) -> SinkFuture<'_, Record> {
        Box::pin(async move {
            let submitted = Self::put(self, record).await;
            submitted
                .map(|submitted| submitted.record)
                .map_err(|error| SinkError(error.to_string()))
        })
    }

    fn settle(&self) -> SinkFuture<'_, ()> {
        Box::pin(
            async move { Self::barrier(self).await.map_err(|error| SinkError(error.to_string())) },
        )
    }

    fn ledger(&self) -> Option<Ledger> {
        Self::ledger(self)
    }
}

#[cfg(test)]
#[cfg(not(sim))]
#[path = "alone_tests.rs"]
mod tests;
