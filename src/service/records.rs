//! Reading the ledger: linearizable unless the client asks for less.

use super::submit::SubmitError;
use super::{Service, ServiceError};
use crate::api::codec::Consistency;
use crate::ident::RecordId;
use crate::ledger::query::Ledger;
use crate::limits;
use crate::record::Record;
use crate::store::StoreError;

/// One page of the ledger, in order of id.
#[derive(Debug, Clone)]
pub struct RecordsPage {
    pub records: Vec<Record>,
    /// The next page's `after`; `None` on the last page.
    pub next: Option<RecordId>,
    /// Records in all, at the moment of the read.
    pub total: u64,
}

impl Service {
    /// # Errors
    /// [`ServiceError::RecordNotFound`], and those of the barrier and the store.
    pub async fn record(
        &self,
        id: RecordId,
        consistency: Consistency,
    ) -> Result<Record, ServiceError> {
        let wanted = id.clone();
        let found = self.read(consistency, move |ledger| ledger.get(&wanted)).await?;
        found.ok_or(ServiceError::RecordNotFound { id })
    }

    /// Records with ids greater than `after`; `limit` is brought within
    /// [`limits::RECORDS_PAGE_MAX`].
    ///
    /// # Errors
    /// Those of the barrier and the store.
    pub async fn records(
        &self,
        after: Option<RecordId>,
        limit: usize,
        consistency: Consistency,
    ) -> Result<RecordsPage, ServiceError> {
        let limit = limit.clamp(1, limits::RECORDS_PAGE_MAX);
        // One more than asked for tells whether there is a next page.
        let read = move |ledger: &Ledger| ledger.page(after.as_ref(), limit + 1);
        let (mut records, total) = self.read(consistency, read).await?;
        let more = records.len() > limit;
        records.truncate(limit);
        let next = if more { records.last().map(|record| record.id.clone()) } else { None };
        Ok(RecordsPage { records, next, total })
    }

    /// Reads this node's copy, after the barrier where `consistency` asks for it, on a
    /// thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        consistency: Consistency,
        read: impl FnOnce(&Ledger) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        if consistency == Consistency::Linearizable {
            self.parts().ledger.barrier().await?;
        }
        let ledger = self.parts().ledger.ledger().ok_or(SubmitError::NotReady)?;
        Ok(self.parts().rt.blocking(move || read(&ledger)).await?)
    }
}
