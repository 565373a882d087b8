//! Reading the ledger: linearizable unless the client asks for less.

use super::submit::SubmitError;
use super::{Service, ServiceError};
use crate::api::codec::Consistency;
use crate::ident::RecordId;
use crate::limits;
use crate::record::Record;
use crate::solo::Books;
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
        let found = self.read(consistency, move |books| books.get(&wanted)).await?;
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
        let read = move |books: &Books| books.page(after.as_ref(), limit + 1);
        let (mut records, total) = self.read(consistency, read).await?;
        let more = records.len() > limit;
        records.truncate(limit);
        let next = if more { records.last().map(|record| record.id.clone()) } else { None };
        Ok(RecordsPage { records, next, total })
    }

    /// Reads this node's copy, after the barrier where `consistency` asks for it, else together
    /// with what this node acknowledged alone, on a thread that may wait for the disk.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        consistency: Consistency,
        read: impl FnOnce(&Books) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, ServiceError> {
        if consistency == Consistency::Linearizable {
            self.parts().ledger.barrier().await?;
        }
        let ledger = self.parts().ledger.ledger().ok_or(SubmitError::NotReady)?;
        let stale = consistency == Consistency::Stale;
        let journal = if stale { self.parts().ledger.journal() } else { None };
        let books = Books::new(ledger, journal);
        Ok(self.parts().rt.blocking(move || read(&books)).await?)
    }
}
