//! The ledger together with the journal: what one node can say of all records it knows.

use std::collections::BTreeMap;

use super::journal::Journal;
use crate::ident::RecordId;
use crate::ledger::query::Ledger;
use crate::record::{Digest, Record};
use crate::store::StoreError;

/// Entries counted at a time.
const COUNT_PAGE: usize = 1000;

/// See the module. Sync, and may wait for the disk: call it off the Raft runtime.
///
/// The journal is always read before the ledger: an entry moves from the one to the other, and
/// is deleted only after this node's copy of the ledger has it, so a record is in at least one
/// of the two. Where both have an id, the ledger's record is the one that counts.
#[derive(Clone)]
pub struct Books {
    ledger: Ledger,
    journal: Option<Journal>,
}

impl Books {
    /// Without a journal they are the ledger alone.
    pub fn new(ledger: Ledger, journal: Option<Journal>) -> Self {
        let journal = journal.filter(|journal| journal.size().records > 0);
        Self { ledger, journal }
    }

    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn get(&self, id: &RecordId) -> Result<Option<Record>, StoreError> {
        let waiting = self.journal.as_ref().map(|journal| journal.get(id)).transpose()?.flatten();
        Ok(self.ledger.get(id)?.or(waiting))
    }

    /// The first record (by id) of the picture with this digest.
    ///
    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn by_stego_digest(&self, digest: &Digest) -> Result<Option<Record>, StoreError> {
        let journal = self.journal.as_ref();
        let waiting = journal.map(|journal| journal.by_stego_digest(digest)).transpose()?.flatten();
        let entered = self.ledger.by_stego_digest(digest)?;
        // Of two with one id the first given is taken, which is the ledger's.
        Ok(entered.into_iter().chain(waiting).min_by(|a, b| a.id.cmp(&b.id)))
    }

    /// Up to `limit` records with ids greater than `after`, in order of id, and the
    /// number of all records.
    ///
    /// # Errors
    /// The store failed or holds what cannot be a record.
    pub fn page(
        &self,
        after: Option<&RecordId>,
        limit: usize,
    ) -> Result<(Vec<Record>, u64), StoreError> {
        let Some(journal) = &self.journal else { return self.ledger.page(after, limit) };
        let waiting = journal.page(after, limit)?;
        let only_waiting = self.only_waiting(journal)?;
        let (entered, total) = self.ledger.page(after, limit)?;
        let by_id = waiting.into_iter().chain(entered).map(|record| (record.id.clone(), record));
        // Of two under one id the later one stays, which is the ledger's.
        let merged: BTreeMap<_, _> = by_id.collect();
        Ok((merged.into_values().take(limit).collect(), total + only_waiting))
    }

    /// Journal entries that the ledger does not have under their id.
    fn only_waiting(&self, journal: &Journal) -> Result<u64, StoreError> {
        let mut found = 0;
        let mut after = None;
        loop {
            let page = journal.page(after.as_ref(), COUNT_PAGE)?;
            for record in &page {
                found += u64::from(self.ledger.get(&record.id)?.is_none());
            }
            match page.last() {
                Some(last) if page.len() == COUNT_PAGE => after = Some(last.id.clone()),
                _ => return Ok(found),
            }
        }
    }
}
